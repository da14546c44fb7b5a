/**
 * A journal in memory whose disk can be taken away. As the real one, it ends a half-written line before the next append.
 */
import { MirrorError } from '../../src/errors.ts';
import type { Journal } from '../../src/world.ts';

export class MemoryJournal implements Journal {
  /** All that was written. */
  text: string;
  /** How many appends there were. */
  appends = 0;
  /** While set, appends fail; a number is how many characters are written before. */
  broken: boolean | number = false;
  /** Called at the start of each append; it goes on when the answer resolves. */
  before: () => Promise<void> = () => Promise.resolve();

  constructor(text = '') {
    this.text = text;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.appends++;
    await this.before();
    if (this.text !== '' && !this.text.endsWith('\n')) this.text += '\n';
    const text = Buffer.from(bytes).toString();
    if (this.broken !== false) {
      this.text += text.slice(0, Number(this.broken === true ? 0 : this.broken));
      throw new MirrorError('FILE_UNREADABLE', 'the journal in memory was told to fail');
    }
    this.text += text;
  }

  /** The last bytes, as a start reads them. */
  readonly tail = async (maxBytes: number): Promise<Uint8Array> => Buffer.from(this.text).subarray(-maxBytes);

  /** Every line that is a record, parsed. */
  records(): Record<string, unknown>[] {
    return this.text.split('\n').flatMap(line => {
      try {
        return [JSON.parse(line) as Record<string, unknown>];
      } catch {
        return [];
      }
    });
  }
}

/**
 * One JSON file of state, written whole. Promises: writes never overtake one another, and what comes while one is under
 * way shares the next. Refuses to know what is in it.
 */
import { MirrorError } from '../errors.ts';
import type { Keep } from '../world.ts';
import { Fields } from '../yaml.ts';

/** The version of every file of this room. */
const VERSION = 1;

/** Reads `what` from `keep`; undefined where it was never written. @throws STATE_INVALID, STATE_NEWER, FILE_UNREADABLE */
export async function readState(keep: Keep, what: string): Promise<Fields | undefined> {
  const bytes = await keep.read();
  if (!bytes) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString());
  } catch (error) {
    throw new MirrorError('STATE_INVALID', `${what} is damaged: remove it`, { cause: error });
  }
  const fields = new Fields(json, `${what}: `, 'STATE_INVALID');
  if (fields.integer('version', { min: 1, max: Number.MAX_SAFE_INTEGER }) > VERSION)
    throw new MirrorError('STATE_NEWER', `${what} is of a newer version of Pinnace`);
  return fields;
}

export class StateFile {
  readonly #keep: Keep;
  readonly #content: () => object;
  /** The write that was begun last, whatever became of it. */
  #begun: Promise<void> = Promise.resolve();
  /** The write that waits for it. */
  #next: Promise<void> | undefined;

  /** `content` gives what is to be written, at the moment of writing. */
  constructor(keep: Keep, content: () => object) {
    this.#keep = keep;
    this.#content = content;
  }

  /** Resolves when what `content` gives now is on disk. @throws FILE_UNREADABLE */
  save(): Promise<void> {
    if (this.#next) return this.#next;
    const write = this.#begun.then(() => {
      this.#next = undefined;
      return this.#keep.write(Buffer.from(`${JSON.stringify({ version: VERSION, ...this.#content() })}\n`));
    });
    this.#next = write;
    this.#begun = write.catch(() => undefined);
    return write;
  }
}

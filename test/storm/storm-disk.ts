/**
 * The disk of a node in a storm: the one in memory, whose writes sometimes take their time, so that a node can die between
 * two of them; and which shows the audit log as it is written.
 */
import type { OpenFile } from '../../src/store/disk.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

export const AUDIT_PATH = '/state/audit.jsonl';

export class StormDisk extends MemoryDisk {
  /** Resolves when the next write may go on; at once, most of the time. */
  pause: () => Promise<void> = () => Promise.resolve();
  /** Hears what was appended to the audit log. */
  recorded: (bytes: Uint8Array) => void = () => undefined;

  override async create(path: string): Promise<OpenFile> {
    await this.pause();
    return this.#slow(await super.create(path));
  }

  override async openAppend(path: string): Promise<OpenFile> {
    const file = await super.openAppend(path);
    if (path !== AUDIT_PATH) return this.#slow(file);
    return {
      ...file,
      write: async (bytes, position) => {
        await this.pause();
        await file.write(bytes, position);
        this.recorded(bytes);
      },
    };
  }

  override async rename(from: string, to: string): Promise<void> {
    await this.pause();
    return super.rename(from, to);
  }

  #slow(file: OpenFile): OpenFile {
    return {
      ...file,
      write: async (bytes, position) => {
        await this.pause();
        await file.write(bytes, position);
      },
      sync: async () => {
        await this.pause();
        await file.sync();
      },
    };
  }
}

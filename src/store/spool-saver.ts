/**
 * Gives whole contents of the spool the names by which a later run trusts them. Promises: a name is given only to what
 * was synced; one at a time, since each sync holds a thread of the few that also read and write. Refuses to know why a
 * content is there.
 */
import { closeAfter, type Disk } from './disk.ts';

/** What the name of a file ends in that a later run does not trust. */
export const PARTIAL_SUFFIX = '.part';

/** A file of the spool: its path changes once, when it is saved. */
export interface Savable {
  path: string;
  /** True when it is no longer of the spool: removed, or handed over. */
  readonly gone: boolean;
  /** While it is synced and gets its name. */
  saving: Promise<void> | undefined;
}

export class SpoolSaver {
  readonly #disk: Disk;
  #last: Promise<void> = Promise.resolve();

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Saves a file after those that were added before; answers at once. */
  add(file: Savable): void {
    this.#last = this.#last.then(async () => {
      if (file.gone) return;
      file.saving = this.#save(file).catch(() => undefined); // It stays for this run; a later one does not find it.
      await file.saving;
      file.saving = undefined;
    });
  }

  /** Resolves when all that was added is saved, or cannot be. */
  settled(): Promise<void> {
    return this.#last;
  }

  async #save(file: Savable): Promise<void> {
    const partial = file.path;
    const open = await this.#disk.openRead(partial);
    if (!open) return;
    await closeAfter(open, () => open.sync());
    const name = partial.slice(0, -PARTIAL_SUFFIX.length);
    // First a second name, then the old one goes: whoever opens it meanwhile finds one of them.
    if (!(await this.#disk.link(partial, name))) return;
    file.path = name;
    await this.#disk.remove(partial);
  }
}

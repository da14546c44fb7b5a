/**
 * Gives whole contents of the spool the names by which a later run trusts them. Promises: a name is given only to what
 * was synced; one at a time, since each sync holds a thread of the few that also read and write, and while nothing is on
 * its way, since a disk that syncs is slow for everybody. Refuses to know why a content is there.
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
  readonly #idle: () => boolean;
  readonly #waiting: Savable[] = [];
  #last: Promise<void> = Promise.resolve();

  /** `idle` says that nothing is on its way. */
  constructor(disk: Disk, idle: () => boolean) {
    this.#disk = disk;
    this.#idle = idle;
  }

  /** To be saved when there is time. */
  add(file: Savable): void {
    this.#waiting.push(file);
  }

  /** Saves what waits, as long as nothing is on its way; answers at once. */
  whileIdle(): void {
    this.#last = this.#last.then(() => this.#run(this.#idle));
  }

  /** Saves all that waits now. */
  all(): Promise<void> {
    this.#last = this.#last.then(() => this.#run(() => true));
    return this.#last;
  }

  async #run(goOn: () => boolean): Promise<void> {
    while (goOn()) {
      const file = this.#waiting.shift();
      if (!file) return;
      if (file.gone) continue;
      file.saving = this.#save(file).catch(() => undefined); // It stays for this run; a later one does not find it.
      await file.saving;
      file.saving = undefined;
    }
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

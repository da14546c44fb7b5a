/**
 * The spool on disk: what is fetched, on its way and whole. Promises: never more than `maxBytes` in all, room that is
 * promised included; a whole file found at start was synced before it got its name; what is open is never evicted and
 * stays readable. Refuses to know who proved the bytes, and when.
 */
import { join } from 'node:path';
import { assert, MirrorError } from '../errors.ts';
import { algorithmOf, type Digest, hexOf } from '../oci/oci.ts';
import type { World } from '../world.ts';
import { contentOf, type Disk, isDiskFull, type OpenFile } from './disk.ts';
import { foundIn } from './spool-found.ts';
import { PARTIAL_SUFFIX, type Savable, SpoolSaver } from './spool-saver.ts';
import { type Kept, SpoolWriting, type WritingRooms } from './spool-writing.ts';
import type { Content, Spool, Spooled } from './store.ts';

/** Whole contents that are kept at most, however small. */
const CONTENTS_MAX = 65_536;
/** A spool on disk, which also works when nobody waits. */
export interface OpenSpool extends Spool {
  /** Resolves when every content committed so far would be found by a later run, as far as the disk allows. */
  settled(): Promise<void>;
}

/** A whole content of the spool. */
interface Whole extends Savable {
  readonly digest: Digest;
  readonly size: number;
  /** Who has it open. */
  readers: number;
  gone: boolean;
}

/**
 * Opens the spool in the folder `dir`, made where missing; partial files of an earlier run go, whole ones stay, the least
 * recently used first to leave. `maxBytes` counts contents alone. @throws FILE_UNREADABLE
 */
export async function openSpool(disk: Disk, dir: string, maxBytes: number, world: World): Promise<OpenSpool> {
  await disk.mkdir(dir);
  const { found, named } = await foundIn(disk, dir);
  const spool = new DiskSpool(disk, dir, maxBytes, world, named);
  for (const { digest, size, path } of found) await spool.found(digest, size, path);
  await spool.fit();
  return spool;
}

class DiskSpool implements OpenSpool {
  readonly #disk: Disk;
  readonly #dir: string;
  readonly #maxBytes: number;
  readonly #world: World;
  /** The least recently used first. */
  readonly #whole = new Map<Digest, Whole>();
  /** Contents on their way, and how much of each is on disk. */
  readonly #reserved = new Set<{ readonly size: number; readonly written: number }>();
  /** Bytes of all that is whole or reserved, and of what is gone but still open. */
  #used = 0;
  /** The highest number in a name. */
  #named: number;
  readonly #saver: SpoolSaver;

  constructor(disk: Disk, dir: string, maxBytes: number, world: World, named: number) {
    this.#disk = disk;
    this.#dir = dir;
    this.#maxBytes = maxBytes;
    this.#world = world;
    this.#named = named;
    this.#saver = new SpoolSaver(disk);
  }

  get free(): number {
    return Math.max(0, this.#maxBytes - this.#used + this.#evictable());
  }

  get used(): number {
    return this.#used;
  }

  settled(): Promise<void> {
    return this.#saver.settled();
  }

  list(): readonly Digest[] {
    return [...this.#whole.keys()];
  }

  /** Takes note of a whole file of an earlier run. */
  async found(digest: Digest, size: number, path: string): Promise<void> {
    const older = this.#whole.get(digest);
    if (older) await this.#remove(older);
    this.#whole.set(digest, { digest, size, path, readers: 0, gone: false, saving: undefined });
    this.#used += size;
  }

  /** Evicts until the limits hold. */
  async fit(): Promise<void> {
    await this.#evict(() => this.#used > this.#maxBytes || this.#whole.size > CONTENTS_MAX);
  }

  async open(digest: Digest): Promise<Content | undefined> {
    const whole = this.#whole.get(digest);
    if (!whole) return undefined;
    this.#whole.delete(digest);
    this.#whole.set(digest, whole);
    const file = await this.#openWhole(whole);
    if (!file) return undefined;
    const content = await contentOf(digest, file, () => this.#closed(whole));
    if (content.size === whole.size) return content;
    await content.close();
    await this.drop(digest);
    return undefined;
  }

  async begin(digest: Digest, size: number): Promise<Spooled> {
    assert(Number.isSafeInteger(size) && size >= 0, `a size of ${size} bytes`);
    if (size > this.free)
      throw new MirrorError(
        'SPOOL_FULL',
        `the spool has room for ${this.free} bytes, ${digest} has ${size}: raise spool.maxBytes if this is common`,
      );
    // Counted before anything is awaited, so that two contents never get the same room.
    const reserved = { size, written: 0 };
    this.#reserved.add(reserved);
    this.#used += size;
    try {
      await this.#evict(() => this.#used > this.#maxBytes || this.#whole.size >= CONTENTS_MAX);
      await this.#checkDisk(digest);
      const path = `${this.#newPath(digest, size)}${PARTIAL_SUFFIX}`;
      const writing = new SpoolWriting(this.#rooms(), digest, size, path, await this.#disk.create(path));
      this.#reserved.add(writing);
      return writing;
    } catch (error) {
      this.#used -= size;
      throw isDiskFull(error)
        ? new MirrorError('SPOOL_FULL', `the disk of the spool is full: ${digest}`, { cause: error })
        : error;
    } finally {
      this.#reserved.delete(reserved);
    }
  }

  async drop(digest: Digest): Promise<void> {
    const whole = this.#whole.get(digest);
    if (whole) await this.#remove(whole);
  }

  async take(digest: Digest): Promise<string | undefined> {
    const whole = this.#whole.get(digest);
    if (!whole) return undefined;
    this.#forget(whole);
    await whole.saving;
    return whole.path;
  }

  #newPath(digest: Digest, size: number): string {
    this.#named += 1;
    return join(this.#dir, `${algorithmOf(digest)}-${hexOf(digest)}-${size}-${this.#named}`);
  }

  #rooms(): WritingRooms {
    return {
      disk: this.#disk,
      world: this.#world,
      keep: (writing, path) => this.#keep(writing, path),
      release: writing => {
        if (this.#reserved.delete(writing)) this.#used -= writing.size;
      },
    };
  }

  /** Turns a reservation into a whole content, which its writer has open. */
  #keep(writing: SpoolWriting, path: string): Kept {
    const { digest, size } = writing;
    const older = this.#whole.get(digest);
    if (older) void this.#remove(older).catch(() => undefined); // What cannot be removed is found by a later run.
    const whole: Whole = { digest, size, path, readers: 1, gone: false, saving: undefined };
    this.#reserved.delete(writing);
    this.#whole.set(digest, whole);
    this.#saver.add(whole);
    return { open: () => this.#openWhole(whole), closed: () => this.#closed(whole) };
  }

  async #openWhole(whole: Whole): Promise<OpenFile | undefined> {
    whole.readers += 1;
    try {
      for (;;) {
        const { path } = whole;
        const file = await this.#disk.openRead(path);
        if (!file && path !== whole.path) continue;
        if (!file) {
          this.#forget(whole);
          this.#closed(whole);
          return undefined;
        }
        await this.#disk.touch(path, this.#world.now()).catch(() => undefined); // It may have a new name by now.
        return file;
      }
    } catch (error) {
      this.#closed(whole);
      throw error;
    }
  }

  #closed(whole: Whole): void {
    whole.readers -= 1;
    if (whole.gone && whole.readers === 0) this.#used -= whole.size;
  }

  /** It is no longer of the spool; its bytes count until its last reader closes it. */
  #forget(whole: Whole): void {
    if (whole.gone) return;
    whole.gone = true;
    if (this.#whole.get(whole.digest) === whole) this.#whole.delete(whole.digest);
    if (whole.readers === 0) this.#used -= whole.size;
  }

  async #remove(whole: Whole): Promise<void> {
    this.#forget(whole);
    await whole.saving;
    await this.#disk.remove(whole.path);
  }

  #evictable(): number {
    let bytes = 0;
    for (const { size, readers } of this.#whole.values()) if (readers === 0) bytes += size;
    return bytes;
  }

  /** Evicts the least recently used that nobody has open, as long as it is `needed`. */
  async #evict(needed: () => boolean): Promise<void> {
    const removals: Promise<void>[] = [];
    for (const whole of this.#whole.values()) {
      if (!needed()) break;
      if (whole.readers === 0) removals.push(this.#remove(whole));
    }
    await Promise.all(removals);
  }

  /** @throws SPOOL_FULL where the disk has less room than was promised, even after evicting all that can be */
  async #checkDisk(digest: Digest): Promise<void> {
    let owed = 0;
    for (const { size, written } of this.#reserved) owed += size - written;
    const short = owed - (await this.#disk.free(this.#dir));
    if (short <= 0) return;
    const target = this.#used - short;
    // What can never have room costs nobody else's.
    if (short <= this.#evictable()) await this.#evict(() => this.#used > target);
    if (this.#used > target && (await this.#disk.free(this.#dir)) < owed)
      throw new MirrorError(
        'SPOOL_FULL',
        `the disk of the spool has no room for ${digest}: free some, or lower spool.maxBytes`,
      );
  }
}

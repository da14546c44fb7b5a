/**
 * One content on its way through the spool. Promises: `written` never jumps a gap, although writes end in any order; who
 * holds it can read what was written, also after it was given up. Refuses to know limits and other contents.
 */
import { assert, MirrorError } from '../errors.ts';
import type { Digest } from '../oci/oci.ts';
import type { World } from '../world.ts';
import { type Disk, isDiskFull, type OpenFile } from './disk.ts';
import type { Spooled } from './store.ts';

/** A content that became whole, as its writer sees it: opened again, and told when that was closed. */
export interface Kept {
  open(): Promise<OpenFile | undefined>;
  closed(): void;
}

/** What a writer needs of its spool. */
export interface WritingRooms {
  readonly disk: Disk;
  readonly world: World;
  /** Makes it whole; its writer has it open until the answer is told otherwise. */
  keep(writing: SpoolWriting, path: string): Kept;
  /** Its room is free again. */
  release(writing: SpoolWriting): void;
}

export class SpoolWriting implements Spooled {
  readonly digest: Digest;
  readonly size: number;
  readonly #rooms: WritingRooms;
  readonly #path: string;
  #file: OpenFile | undefined;
  /** Where the next append goes. */
  #next = 0;
  #written = 0;
  /** Writes that ended beyond a gap: where each began and ended. */
  readonly #ends = new Map<number, number>();
  readonly #underWay = new Set<Promise<void>>();
  #holders = 0;
  #state: 'open' | 'whole' | 'given up' = 'open';
  #kept: Kept | undefined;
  #opening: Promise<OpenFile | undefined> | undefined;

  constructor(rooms: WritingRooms, digest: Digest, size: number, path: string, file: OpenFile) {
    this.digest = digest;
    this.size = size;
    this.#rooms = rooms;
    this.#path = path;
    this.#file = file;
  }

  get written(): number {
    return this.#written;
  }

  async append(bytes: Uint8Array): Promise<void> {
    assert(this.#state === 'open' && this.#file, `an append to ${this.digest}, which is ${this.#state}`);
    assert(this.#next + bytes.length <= this.size, `${this.digest} is written beyond its ${this.size} bytes`);
    if (bytes.length === 0) return;
    const position = this.#next;
    this.#next += bytes.length;
    const write = this.#file.write(bytes, position);
    this.#underWay.add(write);
    try {
      await write;
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      throw new MirrorError('SPOOL_FULL', `the disk of the spool is full: ${this.digest}`, { cause: error });
    } finally {
      this.#underWay.delete(write);
    }
    this.#ends.set(position, position + bytes.length);
    for (let end = this.#ends.get(this.#written); end !== undefined; end = this.#ends.get(this.#written)) {
      this.#ends.delete(this.#written);
      this.#written = end;
    }
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    const count = Math.min(into.length, this.#written - position);
    if (count <= 0) return 0;
    const file = this.#file ?? (await this.#openAgain());
    return file.read(into.subarray(0, count), position);
  }

  async restart(): Promise<void> {
    assert(this.#state === 'open', `a restart of ${this.digest}, which is ${this.#state}`);
    await Promise.allSettled(this.#underWay);
    this.#ends.clear();
    this.#next = 0;
    this.#written = 0;
  }

  async commit(): Promise<void> {
    assert(
      this.#state === 'open' && this.#written === this.size,
      `${this.digest} is committed at ${this.#written} of ${this.size}`,
    );
    this.#state = 'whole';
    this.#kept = this.#rooms.keep(this, this.#path);
    // One turn later, since who waited for the whole takes hold of it only then.
    void this.#rooms.world.sleep(0).then(() => this.#closeUnheld());
  }

  hold(): () => void {
    this.#holders += 1;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holders -= 1;
      if (this.#state !== 'open') void this.#closeUnheld();
    };
  }

  async abandon(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'given up';
    try {
      await this.#rooms.disk.remove(this.#path);
    } finally {
      await Promise.allSettled(this.#underWay);
      await this.#closeUnheld();
    }
  }

  async #closeUnheld(): Promise<void> {
    const file = this.#file;
    if (this.#holders > 0 || !file) return;
    this.#file = undefined;
    // Nothing is lost by a failure to close, and nobody is there to be told.
    await file.close().catch(() => undefined);
    if (this.#kept) this.#kept.closed();
    else this.#rooms.release(this);
  }

  /** Who takes hold late finds the file of the whole, if it is still in the spool. */
  async #openAgain(): Promise<OpenFile> {
    this.#opening ??= (async () => {
      const file = await this.#kept?.open();
      this.#file = file;
      this.#opening = undefined;
      if (this.#holders === 0) await this.#closeUnheld();
      return file;
    })();
    const file = await this.#opening;
    if (!file) throw new MirrorError('CONTENT_ABSENT', `${this.digest} is no longer in the spool`);
    return file;
  }
}

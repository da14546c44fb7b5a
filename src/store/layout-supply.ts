/**
 * What an import brings, hashed and in files of the store's own folder. Promises: a file that claims a digest has it;
 * whatever is not adopted goes. Refuses to know names of images.
 */
import { asMirrorError, assert, MirrorError } from '../errors.ts';
import {
  type Algorithm,
  algorithmOf,
  type Descriptor,
  type Digest,
  digestFrom,
  hasher,
  MANIFEST_MAX_BYTES,
  parseDigest,
} from '../oci/oci.ts';
import { closeAfter, type Disk, readWhole } from './disk.ts';
import type { Contents } from './layout-walk.ts';
import type { Content, Keeping } from './store.ts';

const HEAD_BYTES = 4;

/** What is on its way: `done` of `size` bytes; `digest` as far as it is known, else the entry's name. */
export type Progress = (step: {
  readonly digest: string;
  readonly size: number;
  readonly done: number;
  readonly from: string;
}) => void;

/** Where an import puts its files, and what is there already; without `keeping` no image can be put there. */
export interface Shelf {
  stage(): string;
  open(digest: Digest): Promise<Content | undefined>;
  readonly keeping?: Pick<Keeping, 'adopt'>;
}

/** A file in the staging folder. */
export interface Staged {
  readonly digest: Digest;
  readonly size: number;
  readonly head: Uint8Array;
  readonly path: string;
}

export class Supply implements Contents {
  readonly #disk: Disk;
  readonly #shelf: Shelf;
  readonly #progress: Progress;
  readonly #signal: AbortSignal;
  readonly #staged = new Map<Digest, Staged>();
  /** Brings a content that is not staged yet; false where the source has none. */
  readonly #bring: (descriptor: Descriptor) => Promise<boolean>;

  constructor(
    disk: Disk,
    shelf: Shelf,
    progress: Progress,
    signal: AbortSignal,
    bring: (supply: Supply, descriptor: Descriptor) => Promise<boolean> = () => Promise.resolve(false),
  ) {
    this.#disk = disk;
    this.#shelf = shelf;
    this.#progress = progress;
    this.#signal = signal;
    this.#bring = descriptor => bring(this, descriptor);
  }

  /** Writes bytes to a staged file and hashes them. @throws SIZE_MISMATCH, DIGEST_MISMATCH, STOPPED, FILE_UNREADABLE */
  async stage(
    name: string,
    size: number,
    bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    expected?: Digest,
  ): Promise<Staged> {
    const path = this.#shelf.stage();
    try {
      const { digest, head } = await this.#write(
        path,
        name,
        size,
        bytes,
        algorithmOf(expected ?? parseDigest(`sha256:${'0'.repeat(64)}`)),
      );
      if (expected && digest !== expected)
        throw new MirrorError('DIGEST_MISMATCH', `${name} has the digest ${digest} instead of ${expected}`);
      const before = this.#staged.get(digest);
      if (before) await this.#disk.remove(before.path);
      const staged = { digest, size, head, path };
      this.#staged.set(digest, staged);
      return staged;
    } catch (error) {
      await this.#disk.remove(path);
      throw error;
    }
  }

  /** A staged content. */
  get(digest: Digest): Staged | undefined {
    return this.#staged.get(digest);
  }

  /** The bytes of a small staged content. @throws FILE_UNREADABLE where it is larger than a manifest may be */
  async bytes({ path }: Staged): Promise<Uint8Array> {
    const file = await this.#disk.openRead(path);
    if (!file) throw new MirrorError('FILE_UNREADABLE', `${path} was removed while it was imported`);
    return closeAfter(file, () => readWhole(file, path, MANIFEST_MAX_BYTES));
  }

  async find(descriptor: Descriptor): Promise<boolean> {
    const { digest, size } = descriptor;
    const brought = this.#staged.has(digest) || (await this.#bring(descriptor));
    const held = brought ? this.#staged.get(digest)?.size : await this.#storedSize(digest);
    if (held !== undefined && held !== size)
      throw new MirrorError('SIZE_MISMATCH', `${digest} has ${held} bytes, but its manifest says ${size}`);
    return held !== undefined;
  }

  async read({ digest }: Descriptor): Promise<Uint8Array> {
    const staged = this.#staged.get(digest);
    if (staged) return this.bytes(staged);
    const content = await this.#shelf.open(digest);
    if (!content) throw new MirrorError('CONTENT_ABSENT', `${digest} was removed from the store while it was imported`);
    return closeAfter(content, async () => {
      const bytes = new Uint8Array(Math.min(content.size, MANIFEST_MAX_BYTES));
      await content.read(bytes, 0);
      return bytes;
    });
  }

  /** Moves contents into the store; those that are there already are fine. */
  async adopt(digests: readonly Digest[]): Promise<void> {
    const { keeping } = this.#shelf;
    assert(keeping, 'images go to a store that may be written');
    for (const digest of digests) {
      const staged = this.#staged.get(digest);
      if (!staged) continue;
      await keeping.adopt(digest, staged.path);
      this.#staged.delete(digest);
    }
  }

  /** Removes what was not adopted. */
  async clear(): Promise<void> {
    for (const { path } of this.#staged.values()) await this.#disk.remove(path);
    this.#staged.clear();
  }

  async #storedSize(digest: Digest): Promise<number | undefined> {
    const content = await this.#shelf.open(digest);
    await content?.close();
    return content?.size;
  }

  async #write(
    path: string,
    name: string,
    size: number,
    bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    algorithm: Algorithm,
  ): Promise<{ digest: Digest; head: Uint8Array }> {
    const hash = hasher(algorithm);
    const file = await this.#disk.create(path);
    let head = Buffer.alloc(0);
    let done = 0;
    await closeAfter(file, async () => {
      for await (const piece of bytes) {
        if (this.#signal.aborted) throw asMirrorError(this.#signal.reason, 'STOPPED', 'the import was stopped');
        if (done + piece.length > size)
          throw new MirrorError('SIZE_MISMATCH', `${name} is longer than its ${size} bytes`);
        if (head.length < HEAD_BYTES) head = Buffer.concat([head, piece.subarray(0, HEAD_BYTES - head.length)]);
        hash.update(piece);
        await file.write(piece, done);
        done += piece.length;
        this.#progress({ digest: name, size, done, from: '' });
      }
    });
    if (done !== size) throw new MirrorError('SIZE_MISMATCH', `${name} ends at byte ${done} of ${size}`);
    return { digest: digestFrom(algorithm, hash.digest()), head };
  }
}

/**
 * The blobs of a layout. Promises: a blob gets its name whole and synced; what is removed is reached by no name and not
 * young. Refuses to know names and locks. Spec: OCI image-spec image-layout.md.
 */
import { dirname, join } from 'node:path';
import { hasCode, MirrorError } from '../errors.ts';
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  digestFrom,
  digestOf,
  hasher,
  hexOf,
  isDigest,
  MANIFEST_MAX_BYTES,
} from '../oci/oci.ts';
import type { World } from '../world.ts';
import { closeAfter, type Disk, isOtherDisk, openContent, readWhole } from './disk.ts';
import { type Contents, walkImage } from './layout-walk.ts';
import type { Content } from './store.ts';

/** A blob that no name reaches stays for so long: what is being imported has no name yet. */
export const GRACE_MS = 3_600_000;
const READ_BYTES = 1 << 20;
const ALGORITHMS = ['sha256', 'sha512'] as const;

export class LayoutBlobs {
  readonly #disk: Disk;
  readonly #dir: string;
  readonly #world: World;
  readonly #stage: () => string;

  /** Of the layout in `dir`; `stage` gives paths for new files on its file system. */
  constructor(disk: Disk, dir: string, world: World, stage: () => string) {
    this.#disk = disk;
    this.#dir = dir;
    this.#world = world;
    this.#stage = stage;
  }

  /** The folders in which blobs lie. */
  get folders(): readonly string[] {
    return ALGORITHMS.map(algorithm => this.#folder(algorithm));
  }

  /** Opens a blob; undefined where it is absent. @throws FILE_UNREADABLE */
  open(digest: Digest): Promise<Content | undefined> {
    return openContent(this.#disk, this.path(digest), digest);
  }

  /** Takes over a whole, proved file; a blob that is there and right is kept. @throws FILE_UNREADABLE */
  async adopt(digest: Digest, path: string): Promise<void> {
    const file = await this.#disk.openRead(path);
    if (!file) throw new MirrorError('FILE_UNREADABLE', `${path} is not there, so ${digest} cannot be kept`);
    await closeAfter(file, () => file.sync());
    // A blob that rotted is what a new copy is brought for, so it is not enough that there is one.
    if (await this.#holds(digest)) return this.#disk.remove(path);
    await this.#disk.touch(path, this.#world.now());
    const blob = this.path(digest);
    try {
      await this.#disk.rename(path, blob);
    } catch (error) {
      if (!isOtherDisk(error)) throw error;
      await this.#carry(path, blob);
    }
    await this.#disk.syncFolder(dirname(blob));
  }

  /** Takes over a file of another disk: a copy that is whole gets the name. The file goes, also where there is no room. */
  async #carry(path: string, blob: string): Promise<void> {
    const staged = this.#stage();
    try {
      const from = await this.#disk.openRead(path);
      if (!from) throw new MirrorError('FILE_UNREADABLE', `${path} is not there any more`);
      await closeAfter(from, async () => {
        const to = await this.#disk.create(staged);
        await closeAfter(to, async () => {
          const piece = new Uint8Array(READ_BYTES);
          for (let at = 0, read = 1; read > 0; at += read) {
            read = await from.read(piece, at);
            await to.write(piece.subarray(0, read), at);
          }
          await to.sync();
        });
      });
      await this.#disk.rename(staged, blob);
    } catch (error) {
      await this.#disk.remove(staged);
      throw error;
    } finally {
      await this.#disk.remove(path);
    }
  }

  /** True where the blob is there and its bytes have the digest. */
  async #holds(digest: Digest): Promise<boolean> {
    const content = await this.open(digest).catch(() => undefined);
    if (!content) return false;
    return closeAfter(content, async () => {
      const hash = hasher(algorithmOf(digest));
      const piece = new Uint8Array(Math.min(READ_BYTES, content.size));
      for (let at = 0; at < content.size; ) {
        const count = await content.read(piece, at);
        if (count === 0) return false;
        hash.update(piece.subarray(0, count));
        at += count;
      }
      return digestFrom(algorithmOf(digest), hash.digest()) === digest;
    });
  }

  /** Removes blobs that no target reaches. Nothing goes where a manifest cannot be read: what it reaches is not known. */
  async sweep(targets: readonly Descriptor[]): Promise<void> {
    const reached = new Set<Digest>();
    try {
      for (const target of targets) await walkImage(this.contents(reached), target);
    } catch (error) {
      if (hasCode(error, 'STORE_CORRUPT', 'MANIFEST_INVALID', 'MANIFEST_TOO_LARGE')) return;
      throw error;
    }
    for (const algorithm of ALGORITHMS)
      for (const hex of await this.#disk.list(this.#folder(algorithm))) {
        const digest = `${algorithm}:${hex}`;
        if (!isDigest(digest) || reached.has(digest)) continue;
        const facts = await this.#disk.facts(this.path(digest));
        if (facts && this.#world.now() - facts.modifiedAt > GRACE_MS) await this.#disk.remove(this.path(digest));
      }
  }

  /** The contents of this layout, for a walk; `reached` gets all that it meets. */
  contents(reached = new Set<Digest>()): Contents {
    return {
      find: async ({ digest, size }) => {
        reached.add(digest);
        const facts = await this.#disk.facts(this.path(digest));
        if (facts && (facts.kind !== 'file' || facts.size !== size))
          throw new MirrorError(
            'STORE_CORRUPT',
            `${this.path(digest)} is no file of ${size} bytes: import or pull the image again`,
          );
        return facts !== undefined;
      },
      read: async ({ digest }) => {
        const path = this.path(digest);
        const file = await this.#disk.openRead(path);
        if (!file) throw new MirrorError('CONTENT_ABSENT', `${path} is not there any more`);
        const bytes = await closeAfter(file, () => readWhole(file, path, MANIFEST_MAX_BYTES));
        if (digestOf(bytes, algorithmOf(digest)) !== digest)
          throw new MirrorError(
            'STORE_CORRUPT',
            `${path} has other bytes than its name says: import or pull the image again`,
          );
        return bytes;
      },
    };
  }

  #folder(algorithm: string): string {
    return join(this.#dir, 'blobs', algorithm);
  }

  /** Where a blob lies. */
  path(digest: Digest): string {
    return join(this.#folder(algorithmOf(digest)), hexOf(digest));
  }
}

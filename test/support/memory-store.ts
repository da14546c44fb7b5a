/**
 * A store in memory that passes the suite of stores, and whose contents can rot, be cut short or vanish. Promises: an open
 * content stays as it was. `keeping` is there when a disk is given, from which files are adopted.
 */
import {
  childrenOf,
  type Descriptor,
  type Digest,
  digestOf,
  formatReference,
  isManifestType,
  OCTETS,
  parseManifest,
  type Reference,
} from '../../src/oci/oci.ts';
import { MirrorError } from '../../src/errors.ts';
import { closeAfter, type Disk, readWhole } from '../../src/store/disk.ts';
import type { Content, Image, Keeping, Store } from '../../src/store/store.ts';

export interface MemoryStoreSettings {
  readonly kind?: Store['kind'];
  readonly disk?: Disk;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

interface Kept {
  readonly bytes: Uint8Array;
  readonly stamp: string;
  /** What was recorded of it. */
  readonly size: number;
}

export class MemoryStore implements Store {
  readonly kind: Store['kind'];
  readonly keeping?: Keeping;
  readonly #now: () => number;
  readonly #contents = new Map<Digest, Kept>();
  readonly #images = new Map<string, Image>();
  readonly #listeners = new Set<() => void>();
  #stamps = 0;
  #away = false;

  constructor({ kind = 'layout', disk, now = () => 0 }: MemoryStoreSettings = {}) {
    this.kind = kind;
    this.#now = now;
    if (disk) this.keeping = this.#keepOn(disk);
  }

  /** Puts a content in. */
  put(bytes: Uint8Array, mediaType: string = OCTETS): Descriptor {
    const digest = digestOf(bytes);
    this.#set(digest, bytes, bytes.length);
    return { mediaType, digest, size: bytes.length };
  }

  /** Names an image; `createdAt` is now unless given. */
  name(reference: Reference, target: Descriptor, more: { fetched?: boolean; createdAt?: number } = {}): void {
    const image = { reference, target, createdAt: this.#now(), fetched: false, ...more };
    this.#images.set(formatReference(reference), image);
    this.#tell();
  }

  /** Takes a name away; contents stay. */
  unname(reference: Reference): void {
    this.#images.delete(formatReference(reference));
    this.#tell();
  }

  /** A content vanishes. */
  drop(digest: Digest): void {
    this.#contents.delete(digest);
    this.#tell();
  }

  /** One bit of a content changes, as on a disk that rots: the size stays, the stamp is another. */
  rot(digest: Digest, at = 0): void {
    const bytes = this.#bytesOf(digest).slice();
    bytes[at]! ^= 1;
    this.#set(digest, bytes, bytes.length);
  }

  /** The file of a content loses its last byte; what is recorded stays. */
  cut(digest: Digest): void {
    const bytes = this.#bytesOf(digest);
    this.#set(digest, bytes.slice(0, -1), bytes.length);
  }

  /** From now on the store is away, or back. */
  away(away: boolean): void {
    this.#away = away;
    if (!away) this.#tell();
  }

  async images(): Promise<readonly Image[]> {
    if (this.#away) throw new MirrorError('STORE_UNAVAILABLE', 'the store is away');
    return [...this.#images.values()];
  }

  async open(digest: Digest): Promise<Content | undefined> {
    if (this.#away) throw new MirrorError('STORE_UNAVAILABLE', 'the store is away');
    const kept = this.#contents.get(digest);
    if (!kept) return undefined;
    const { bytes, stamp, size } = kept;
    if (bytes.length !== size)
      throw new MirrorError('STORE_CORRUPT', `${digest} has ${bytes.length} bytes instead of ${size}`);
    return {
      digest,
      size,
      stamp,
      read: async (into, position) => {
        const part = bytes.subarray(position, position + into.length);
        into.set(part);
        return part.length;
      },
      close: async () => undefined,
    };
  }

  watch(changed: () => void, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    this.#listeners.add(changed);
    return new Promise(resolve =>
      signal.addEventListener(
        'abort',
        () => {
          this.#listeners.delete(changed);
          resolve();
        },
        { once: true },
      ),
    );
  }

  #keepOn(disk: Disk): Keeping {
    return {
      adopt: async (digest, path) => {
        const file = await disk.openRead(path);
        if (!file) throw new MirrorError('FILE_UNREADABLE', `${path} is not there`);
        const bytes = await closeAfter(file, () => readWhole(file, path, Number.MAX_SAFE_INTEGER));
        await disk.remove(path);
        const kept = this.#contents.get(digest);
        if (!kept || digestOf(kept.bytes) !== digest) this.#set(digest, bytes, bytes.length);
      },
      name: async (reference, target) => {
        if (!this.#isWhole(target))
          throw new MirrorError('CONTENT_ABSENT', `${formatReference(reference)} is not complete`);
        if (this.#images.get(formatReference(reference))?.target.digest !== target.digest)
          this.name(reference, target, { fetched: true });
      },
      remove: async reference => this.unname(reference),
    };
  }

  #isWhole({ digest, mediaType }: Descriptor): boolean {
    const kept = this.#contents.get(digest);
    if (!kept || !isManifestType(mediaType)) return kept !== undefined;
    const manifest = parseManifest(kept.bytes);
    const whole = childrenOf(manifest).filter(child => this.#isWhole(child)).length;
    return manifest.kind === 'index' ? whole > 0 : whole === childrenOf(manifest).length;
  }

  #bytesOf(digest: Digest): Uint8Array {
    const kept = this.#contents.get(digest);
    if (!kept) throw new Error(`the memory store has no ${digest}`);
    return kept.bytes;
  }

  #set(digest: Digest, bytes: Uint8Array, size: number): void {
    this.#stamps += 1;
    this.#contents.set(digest, { bytes, stamp: `stamp-${this.#stamps}`, size });
    this.#tell();
  }

  #tell(): void {
    for (const changed of this.#listeners) queueMicrotask(changed);
  }
}

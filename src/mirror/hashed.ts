/**
 * Contents that this node hashed whole and may tell of. Promises: each was hashed under the stamp that its file has; what
 * is not wanted any more is forgotten; one whose bytes are wrong is recorded, and not hashed over and over. Refuses to
 * know why a content is wanted.
 */
import { asMirrorError } from '../errors.ts';
import type { Digest } from '../oci/oci.ts';
import type { Holding } from '../peers/peers.ts';
import { rootOf } from '../proof/proof.ts';
import { compareRoots } from './lies.ts';
import type { Rooms } from './rooms.ts';

/** A file that was hashed is looked at again, at a change of the store, after so many ms: a thousand looks cost a second. */
const LOOK_MS = 60_000;

type HashedRooms = Parameters<typeof compareRoots>[0] & Pick<Rooms, 'store' | 'hashes' | 'life'>;

export class Hashed {
  readonly #rooms: HashedRooms;
  /** With the stamp under which the hash holds, and when (monotonic ms) the file was looked at. */
  readonly #hashed = new Map<Digest, { stamp: string; holding: Holding; lookedAt: number }>();
  /** Contents whose bytes have another digest, with the stamp under which that holds. */
  readonly #corrupt = new Map<Digest, string>();
  #wanted: ReadonlySet<Digest> = new Set();
  readonly #hashing = new Map<Digest, Promise<boolean>>();

  constructor(rooms: HashedRooms) {
    this.#rooms = rooms;
  }

  /** From now on these are wanted and no others. */
  want(digests: ReadonlySet<Digest>): void {
    this.#wanted = digests;
    for (const known of [this.#hashed, this.#corrupt])
      for (const digest of known.keys()) if (!digests.has(digest)) known.delete(digest);
  }

  has(digest: Digest): boolean {
    return this.#hashed.has(digest);
  }

  holdings(): readonly Holding[] {
    return [...this.#hashed.values()].map(({ holding }) => holding);
  }

  /** Forgets a hash: the next one looks at the bytes again. */
  forget(digest: Digest): void {
    this.#hashed.delete(digest);
  }

  /** True where the content's holding is new; one hash at a time of each digest. @throws AUDIT_UNAVAILABLE */
  hash(digest: Digest): Promise<boolean> {
    const underWay = this.#hashing.get(digest);
    if (underWay) return underWay;
    const hashing = this.#once(digest).finally(() => this.#hashing.delete(digest));
    // Who asked may have gone on to a newer look at the store.
    hashing.catch(() => undefined);
    this.#hashing.set(digest, hashing);
    return hashing;
  }

  async #once(digest: Digest): Promise<boolean> {
    const { world, store, hashes, audit, log, life } = this.#rooms;
    const now = world.monotonic();
    const hashed = this.#hashed.get(digest);
    if (hashed && now - hashed.lookedAt < LOOK_MS) return false;
    const content = await store.open(digest);
    if (!content) {
      this.#hashed.delete(digest);
      return false;
    }
    try {
      if (hashed?.stamp === content.stamp) {
        hashed.lookedAt = now;
        return false;
      }
      if (this.#corrupt.get(digest) === content.stamp) return false;
      const proof = await hashes.prove(content, life);
      // Its image may be gone by now.
      if (!this.#wanted.has(digest)) return false;
      const holding = { digest, size: proof.size, root: rootOf(proof) };
      this.#hashed.set(digest, { stamp: content.stamp, holding, lookedAt: now });
      await compareRoots(this.#rooms, proof);
      return true;
    } catch (error) {
      this.#hashed.delete(digest);
      const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', `hashing ${digest}`);
      if (code === 'STORE_CORRUPT') {
        this.#corrupt.set(digest, content.stamp);
        await audit.record({ event: 'store.corrupt', digest, detail: message });
      }
      if (code === 'AUDIT_UNAVAILABLE') throw error;
      log.warn({ digest, code }, message);
      return false;
    } finally {
      await content.close();
    }
  }
}

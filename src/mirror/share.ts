/**
 * What this node tells others: the contents of images that policy lets be shared, each after it was hashed whole, and the
 * tags that it saw itself. Promises: default nothing; recorded before it is told; what left the store is withdrawn at
 * once. Runs again after every change of the store and of the policy.
 */
import { asMirrorError } from '../errors.ts';
import { childrenOf, type Descriptor, type Digest, formatReference, isManifestType } from '../oci/oci.ts';
import type { Holding } from '../peers/peers.ts';
import { rootOf } from '../proof/proof.ts';
import type { Image } from '../store/store.ts';
import type { Closure, Shared } from './catalogue.ts';
import { compareRoots } from './lies.ts';
import { storedManifest } from './manifests.ts';
import type { Rooms } from './rooms.ts';
import { dropDuplicates } from './settle.ts';

/** Changes of the store within so many ms are one. */
const GATHER_MS = 200;
/** While much is hashed, what is done is told after so many ms. */
const TELL_MS = 1_000;
/** Tag statements are renewed so often while the image is there. */
const RENEW_MS = 3_600_000;

type ShareRooms = Pick<
  Rooms,
  | 'world'
  | 'store'
  | 'spool'
  | 'hashes'
  | 'peers'
  | 'policy'
  | 'evidence'
  | 'origins'
  | 'audit'
  | 'catalogue'
  | 'stated'
  | 'log'
  | 'life'
>;

/** Keeps what is told in step with the store and the policy, until the daemon's life ends. */
export class Sharing {
  readonly #rooms: ShareRooms;
  #offered = new Map<string, Shared>();
  /** Contents that were hashed, with the stamp under which that holds. */
  readonly #hashed = new Map<Digest, { stamp: string; holding: Holding }>();
  /** Contents whose bytes have another digest, with the stamp under which that holds: not hashed over and over. */
  readonly #corrupt = new Map<Digest, string>();
  #dirty = Promise.withResolvers<void>();
  /** True while the run under way is outdated. */
  #stale = false;

  constructor(rooms: ShareRooms) {
    this.#rooms = rooms;
  }

  /** The store or the policy changed. */
  changed(): void {
    this.#stale = true;
    this.#dirty.resolve();
  }

  /** The bytes of a content turned out wrong: it is withdrawn, and told again only after it was hashed again. */
  withdraw(digest: Digest): void {
    this.#hashed.delete(digest);
    this.changed();
  }

  /** How much is told now: contents, and bytes. */
  told(): { contents: number; bytes: number } {
    const sizes = [...this.#hashed.values()].map(({ holding }) => holding.size);
    return { contents: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
  }

  /** Runs until the daemon's life ends; calls `looked` after each look at the store. */
  async run(looked: () => void): Promise<void> {
    const { world, store, life, log } = this.#rooms;
    void store.watch(() => this.changed(), life);
    while (!life.aborted) {
      this.#stale = false;
      this.#dirty = Promise.withResolvers<void>();
      try {
        await this.refresh(looked);
      } catch (error) {
        const { code, message } = asMirrorError(error, 'STORE_UNAVAILABLE', 'looking at the store');
        log.warn({ code }, message);
        await world.sleep(TELL_MS, life);
        this.#dirty.resolve();
      }
      const idle = new AbortController();
      await Promise.race([this.#dirty.promise, world.sleep(RENEW_MS, AbortSignal.any([life, idle.signal]))]);
      idle.abort();
      await world.sleep(GATHER_MS, life);
    }
  }

  /** One look at the store, from images to statements; calls `looked` before the hashing. @throws STORE_UNAVAILABLE, AUDIT_UNAVAILABLE */
  async refresh(looked: () => void): Promise<void> {
    const { store, catalogue, policy } = this.#rooms;
    const images = await store.images();
    const closures = [];
    for (const image of images) closures.push(await this.#closure(image));
    catalogue.hold(closures);
    looked();
    const shared = closures.flatMap(closure => {
      const { allowed, rule } = policy().share(closure.reference);
      return allowed ? [{ ...closure, rule }] : [];
    });
    await this.#offer(shared);
    await this.#tell(shared);
    if (!this.#stale) await this.#stateTags(images, shared);
    if (store.kind === 'containerd') await dropDuplicates(this.#rooms);
  }

  /** Walks down from an image as far as its manifests are in the store. */
  async #closure({ reference, target }: Image): Promise<Closure> {
    const contents = new Map<Digest, Descriptor>();
    const walk = async (descriptor: Descriptor): Promise<void> => {
      if (contents.has(descriptor.digest)) return;
      contents.set(descriptor.digest, descriptor);
      if (!isManifestType(descriptor.mediaType)) return;
      try {
        const stored = await storedManifest(this.#rooms, descriptor.digest);
        if (stored) for (const child of childrenOf(stored.manifest)) await walk(child);
      } catch (error) {
        const { code, message, kind } = asMirrorError(error, 'STORE_UNAVAILABLE', 'walking an image');
        if (kind === 'unavailable') throw error;
        this.#rooms.log.warn({ digest: descriptor.digest, code }, message);
      }
    };
    await walk(target);
    return { reference, target, contents: [...contents.values()] };
  }

  /** Records what is newly offered and what is withdrawn, then lets it be so. */
  async #offer(shared: readonly Shared[]): Promise<void> {
    const { audit, catalogue } = this.#rooms;
    const now = new Map(shared.map(image => [`${formatReference(image.reference)} ${image.target.digest}`, image]));
    for (const [key, { reference, target, rule }] of now)
      if (!this.#offered.has(key))
        await audit.record({
          event: 'share.offered',
          reference: formatReference(reference),
          digest: target.digest,
          rule,
        });
    catalogue.share(shared);
    for (const [key, { reference, target }] of this.#offered)
      if (!now.has(key))
        await audit.record({ event: 'share.withdrawn', reference: formatReference(reference), digest: target.digest });
    this.#offered = now;
  }

  /** Hashes what is shared, small things first, and tells it as it goes; what is gone is no longer told. */
  async #tell(shared: readonly Shared[]): Promise<void> {
    const { peers, world, life } = this.#rooms;
    const wanted = new Map(shared.flatMap(image => image.contents.map(descriptor => [descriptor.digest, descriptor])));
    for (const known of [this.#hashed, this.#corrupt])
      for (const digest of known.keys()) if (!wanted.has(digest)) known.delete(digest);
    const order = [...wanted.values()].sort((a, b) => a.size - b.size);
    let toldAt = world.monotonic();
    const told = (): Promise<void> => peers.hold([...this.#hashed.values()].map(({ holding }) => holding));
    for (const { digest } of order) {
      if (life.aborted || this.#stale) break;
      const grew = await this.#hash(digest);
      if (!grew || world.monotonic() - toldAt < TELL_MS) continue;
      await told();
      toldAt = world.monotonic();
    }
    await told();
  }

  /** True where the content's holding is new. */
  async #hash(digest: Digest): Promise<boolean> {
    const { store, hashes, audit, log, life } = this.#rooms;
    const content = await store.open(digest);
    if (!content) {
      this.#hashed.delete(digest);
      return false;
    }
    try {
      if (this.#hashed.get(digest)?.stamp === content.stamp || this.#corrupt.get(digest) === content.stamp)
        return false;
      const proof = await hashes.prove(content, life);
      this.#hashed.set(digest, { stamp: content.stamp, holding: { digest, size: proof.size, root: rootOf(proof) } });
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

  /** States the tags of shared images that this node saw itself, and renews those it stated before. */
  async #stateTags(images: readonly Image[], shared: readonly Shared[]): Promise<void> {
    const { world, origins, stated, peers, audit, policy } = this.#rooms;
    const sharedNames = new Set(shared.map(({ reference }) => formatReference(reference)));
    for (const { reference, target, createdAt, fetched } of images) {
      if (!reference.tag || reference.digest) continue;
      const named = { ...reference, tag: reference.tag };
      const origin = await origins.decide({ reference: named, digest: target.digest, createdAt, fetched });
      if (origin === 'mirrored' || origin === 'unknown' || !sharedNames.has(formatReference(reference))) continue;
      if (stated.isNews(named, target.digest))
        await audit.record({
          event: 'tag.stated',
          reference: formatReference(reference),
          digest: target.digest,
          origin,
        });
      stated.state(named, target.digest, world.now());
    }
    await stated.save();
    await peers.stateTags(stated.under(policy()));
  }
}

/**
 * What this node tells others: the contents of images that policy lets be shared, each after it was hashed whole, and the
 * tags that it saw itself. Promises: default nothing, and nothing that policy has not admitted; recorded before it is told; what left the store is withdrawn at
 * once. Runs again after every change of the store and of the policy.
 */
import { asMirrorError } from '../errors.ts';
import { type Digest, formatReference } from '../oci/oci.ts';
import type { Holding } from '../peers/peers.ts';
import type { Image } from '../store/store.ts';
import { Absorbed } from './absorbed.ts';
import type { AdmitRooms } from './admit.ts';
import { audienceOf, type Shared } from './catalogue.ts';
import { closureOf, type Listed } from './closure.ts';
import { Hashed } from './hashed.ts';
import { judgeAll, judgeLearnt, SEARCHES_MS } from './judged.ts';
import { OwnTags, RENEW_MS } from './own-tags.ts';
import { Pace } from './pace.ts';
import type { Rooms } from './rooms.ts';
import { dropDuplicates } from './settle.ts';

/** Changes of the store within so many ms are one. */
const GATHER_MS = 200;
/** While much is hashed, what is done is told after so many ms. */
const TELL_MS = 1_000;
const LATE = 'late';

type ShareRooms = AdmitRooms &
  Pick<Rooms, 'store' | 'spool' | 'hashes' | 'evidence' | 'origins' | 'catalogue' | 'stated' | 'busy'>;

/** Keeps what is told in step with the store and the policy, until the daemon's life ends. */
export class Sharing {
  readonly #rooms: ShareRooms;
  #offered = new Map<string, Shared>();
  readonly #listed: Listed = new Map();
  readonly #hashed: Hashed;
  readonly #tags: OwnTags;
  readonly #absorbed: Absorbed;
  /** Rings when some verdict ends, or may become another. */
  #alarm = new AbortController();
  /** When it rings; ms since 1970. */
  #ringsAt = Infinity;
  #dirty = Promise.withResolvers<void>();
  /** True while the run under way is outdated. */
  #stale = false;

  constructor(rooms: ShareRooms) {
    this.#rooms = rooms;
    this.#hashed = new Hashed(rooms);
    this.#tags = new OwnTags(rooms);
    this.#absorbed = new Absorbed(rooms);
    // What a client pulls between two looks may end before the next.
    rooms.verdicts.ends = until => (until < this.#ringsAt ? this.#lookAgainAt(until) : undefined);
  }

  /** The store or the policy changed. */
  changed(): void {
    this.#stale = true;
    this.#dirty.resolve();
  }

  /** The bytes of a content turned out wrong: it is withdrawn, and told again only after it was hashed again. */
  withdraw(digest: Digest): void {
    this.#hashed.forget(digest);
    this.changed();
  }

  /** How much is told now: contents, and bytes. */
  told(): { contents: number; bytes: number } {
    const sizes = this.#hashed.holdings().map(({ size }) => size);
    return { contents: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
  }

  /** Runs until the daemon's life ends; calls `looked` after each look at the store. */
  async run(looked: () => void): Promise<void> {
    const { world, store, life, log } = this.#rooms;
    void store.watch(() => this.changed(), life);
    let told = '';
    while (!life.aborted) {
      this.#stale = false;
      this.#dirty = Promise.withResolvers<void>();
      try {
        await this.refresh(looked);
        told = '';
      } catch (error) {
        const { code, message } = asMirrorError(error, 'STORE_UNAVAILABLE', 'looking at the store');
        // The same trouble is told once, however often it is tried again.
        if (message !== told) log.warn({ code }, `${message}; trying again`);
        told = message;
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
    const { world, store, catalogue, attachments, verdicts, policy, busy, life } = this.#rooms;
    const inForce = policy();
    // A newer policy does not wait for what an older one says.
    const pace = new Pace(world, () => busy() && policy().hash === inForce.hash, life);
    this.#ringsAt = Infinity;
    const images = await this.#absorbed.images(await store.images());
    const closures = [];
    for (const image of images) closures.push(await closureOf(this.#rooms, image, this.#listed));
    const look = { pace, until: world.monotonic() + SEARCHES_MS };
    const reached = new Set(closures.flatMap(({ contents }) => contents.map(({ digest }) => digest)));
    for (const digest of this.#listed.keys()) if (!reached.has(digest)) this.#listed.delete(digest);
    const { admitted, shared, againAt } = await judgeAll(this.#rooms, closures, look);
    catalogue.hold(closures, admitted);
    await this.#rooms.admitted.save(admitted, inForce, named => verdicts.last(named)?.until);
    const learntUntil = await judgeLearnt(this.#rooms, look);
    this.#lookAgainAt(Math.min(againAt, learntUntil, this.#ringsAt));
    looked();
    await this.#offer(shared);
    // What is under way and no longer allowed ends now.
    catalogue.judgedBy = inForce.hash;
    // Tags outlive their images, and are told as long as these show what policy asks for.
    const stated = new Set(this.#rooms.stated.list().map(({ digest }) => digest));
    await attachments.retain(subject => reached.has(subject) || stated.has(subject));
    await this.#tell(images, shared);
    if (store.kind === 'containerd') await dropDuplicates(this.#rooms);
  }

  /** At `time`, ms since 1970, all is judged again, whatever is being hashed then. */
  #lookAgainAt(time: number): void {
    const { world, life } = this.#rooms;
    this.#alarm.abort();
    const alarm = new AbortController();
    this.#alarm = alarm;
    this.#ringsAt = time;
    const ms = Math.max(0, time - world.now());
    if (ms === Infinity) return;
    const rings = world.sleep(ms, AbortSignal.any([life, alarm.signal]));
    void rings.then(() => (alarm.signal.aborted ? undefined : this.changed()));
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
  async #tell(images: readonly Image[], shared: readonly Shared[]): Promise<void> {
    const { world, life } = this.#rooms;
    const wanted = new Map(shared.flatMap(image => image.contents.map(descriptor => [descriptor.digest, descriptor])));
    this.#hashed.want(new Set(wanted.keys()));
    const tellAll = this.#teller(images, shared);
    await tellAll();
    let toldAt = world.monotonic();
    let untold = false;
    const tell = async (): Promise<void> => {
      await tellAll();
      [toldAt, untold] = [world.monotonic(), false];
    };
    for (const { digest } of [...wanted.values()].sort((a, b) => a.size - b.size)) {
      if (life.aborted || this.#stale) return;
      const hashing = this.#hashed.hash(digest);
      if (untold && (await this.#outlasts(hashing, toldAt + TELL_MS))) await tell();
      // A large content takes minutes; a change is not held back by it, and finds it under way.
      if (await Promise.race([hashing, this.#dirty.promise])) untold = true;
    }
    if (untold) await tell();
  }

  /** True where the hash is still under way at `due` (monotonic ms) and nothing changed. */
  async #outlasts(hashing: Promise<boolean>, due: number): Promise<boolean> {
    const { world, life } = this.#rooms;
    const ended = new AbortController();
    const late = world.sleep(due - world.monotonic(), AbortSignal.any([life, ended.signal])).then(() => LATE);
    const first = await Promise.race([hashing, this.#dirty.promise, late]).finally(() => ended.abort());
    return first === LATE;
  }

  /** Tells what is hashed by now, and states the tags of images whose manifest is, each once. */
  #teller(images: readonly Image[], shared: readonly Shared[]): () => Promise<void> {
    const { peers, catalogue } = this.#rooms;
    const names = new Set(shared.map(({ reference }) => formatReference(reference)));
    const left = new Set(images);
    let first = true;
    return async () => {
      await peers.hold(this.#hashed.holdings().flatMap(holding => forWhom(catalogue, holding)));
      const ready = [...left].filter(({ target }) => this.#hashed.has(target.digest));
      for (const image of ready) {
        left.delete(image);
        if (names.has(formatReference(image.reference))) await this.#tags.state(image);
      }
      if (first || ready.length) await this.#tags.tell();
      first = false;
    };
  }
}

/** A holding that not every node may know of says who may; one of no shared image is none. */
function forWhom(catalogue: Rooms['catalogue'], holding: Holding): readonly Holding[] {
  const sharers = catalogue.sharers(holding.digest);
  const audience = audienceOf(sharers);
  return sharers.length ? [audience ? { ...holding, audience } : holding] : [];
}

/**
 * How often somebody may do something: token buckets by peer, or by host. Promises: memory is bounded, and a bucket that would be
 * full again is forgotten. Refuses to know what is counted.
 */
import { MirrorError } from '../errors.ts';
import type { World } from '../world.ts';

/** Buckets kept at once; more peers than members cannot be. */
const BUCKETS_MAX = 8192;

export interface Rate {
  /** How many at once. */
  readonly burst: number;
  readonly perSecond: number;
  /** For the message, e.g. `syncs`. */
  readonly what: string;
}

export class Buckets {
  readonly #world: World;
  readonly #rate: Rate;
  readonly #buckets = new Map<string, { left: number; at: number }>();

  constructor(world: World, rate: Rate) {
    this.#world = world;
    this.#rate = rate;
  }

  /** True while `peer` would be within its rate; nothing is counted. */
  has(peer: string): boolean {
    return this.#left(peer, this.#world.monotonic()) >= 1;
  }

  /** True, and counted, while `peer` is within its rate. */
  allows(peer: string): boolean {
    const now = this.#world.monotonic();
    const left = this.#left(peer, now);
    if (this.#buckets.size >= BUCKETS_MAX && !this.#buckets.has(peer)) this.#prune(now);
    this.#buckets.set(peer, { left: left >= 1 ? left - 1 : left, at: now });
    return left >= 1;
  }

  /** @throws LIMIT_EXCEEDED */
  take(peer: string): void {
    const { burst, perSecond, what } = this.#rate;
    if (!this.allows(peer))
      throw new MirrorError('LIMIT_EXCEEDED', `${peer}: more than ${burst} ${what} at once and ${perSecond}/s`);
  }

  #left(peer: string, now: number): number {
    const { burst, perSecond } = this.#rate;
    const old = this.#buckets.get(peer);
    return old ? Math.min(burst, old.left + ((now - old.at) / 1000) * perSecond) : burst;
  }

  #prune(now: number): void {
    const { burst, perSecond } = this.#rate;
    for (const [peer, { left, at }] of this.#buckets)
      if (left + ((now - at) / 1000) * perSecond >= burst) this.#buckets.delete(peer);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size >= BUCKETS_MAX && oldest) this.#buckets.delete(oldest);
  }
}

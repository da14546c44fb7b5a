/**
 * Work that makes way for live traffic, as hashing does. Promises: a small part of the time while bytes move for others; all
 * rests together are bounded, since what is no longer allowed must not stay for long. Refuses to know what is worked on.
 * Never for what a client waits for.
 */
import type { World } from '../world.ts';

/** Beside live traffic, for each unit of time spent on work so many are spent asleep: at most a twentieth of a core. */
export const REST_PER_WORK = 19;
/** Work is gathered up to so many ms before a rest: a timer takes as long as a short one. */
const WORK_MIN_MS = 1;
/** The longest rest, in ms: most of what took longer was waiting. */
export const REST_MAX_MS = 100;
/** All rests together, in ms. */
export const RESTS_MAX_MS = 10_000;

export class Pace {
  readonly #world: Pick<World, 'monotonic' | 'sleep'>;
  readonly #busy: () => boolean;
  readonly #signal: AbortSignal;
  #worked = 0;
  #left = RESTS_MAX_MS;

  /** Rests while `busy`; a rest ends with `signal`. */
  constructor(world: Pick<World, 'monotonic' | 'sleep'>, busy: () => boolean, signal: AbortSignal) {
    this.#world = world;
    this.#busy = busy;
    this.#signal = signal;
  }

  /** Does `work`, then rests for as long as is due. @throws what `work` throws */
  async after<T>(work: () => Promise<T>): Promise<T> {
    const began = this.#world.monotonic();
    const done = await work();
    this.#worked += this.#world.monotonic() - began;
    if (this.#worked < WORK_MIN_MS) return done;
    const rest = Math.min(this.#worked * REST_PER_WORK, REST_MAX_MS, this.#left);
    this.#worked = 0;
    if (rest > 0 && this.#busy()) {
      this.#left -= rest;
      await this.#world.sleep(rest, this.#signal);
    }
    return done;
  }
}

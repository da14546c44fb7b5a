/**
 * Exchanges that this node opens, one at a time with each peer. Promises: no more often than the other side allows; what is
 * asked for meanwhile happens once more after it; never rejects. Refuses to know what is exchanged.
 */
import type { PeerId } from '../oci/oci.ts';
import type { World } from '../world.ts';
import { Buckets, type Rate } from './buckets.ts';

const WAIT_MS = 1_000;

export class Turns {
  readonly #world: World;
  readonly #signal: AbortSignal;
  readonly #mine: Buckets;
  readonly #running = new Map<PeerId, { again: boolean }>();

  constructor(world: World, rate: Rate, signal: AbortSignal) {
    this.#world = world;
    this.#signal = signal;
    this.#mine = new Buckets(world, rate);
  }

  /** Does `work` with a peer, now or after what is running; what it throws goes to `failed`. False where it failed. */
  async take(peer: PeerId, work: () => Promise<void>, failed: (error: Error) => void): Promise<boolean> {
    const running = this.#running.get(peer);
    if (running) return (running.again = true);
    const state = { again: true };
    this.#running.set(peer, state);
    try {
      while (state.again && !this.#signal.aborted) {
        state.again = false;
        while (!this.#mine.allows(peer) && !this.#signal.aborted) await this.#world.sleep(WAIT_MS, this.#signal);
        await work();
      }
      return true;
    } catch (error) {
      failed(error as Error);
      return false;
    } finally {
      this.#running.delete(peer);
    }
  }
}

/** One life of a node on the storm's time: its own clock, its own randomness; when the node is killed, nothing of it wakes. */
import type { World } from '../../src/world.ts';
import type { Chance } from './chance.ts';
import type { Scheduler } from './scheduler.ts';

/** When storms begin, in milliseconds since 1970. */
export const STORM_BEGINS = Date.UTC(2026, 0, 1);

export class NodeWorld implements World {
  alive = true;
  readonly #name: string;
  readonly #scheduler: Scheduler;
  readonly #chance: Chance;
  readonly #clockMs: () => number;

  constructor(name: string, scheduler: Scheduler, chance: Chance, clockMs: () => number) {
    this.#name = name;
    this.#scheduler = scheduler;
    this.#chance = chance;
    this.#clockMs = clockMs;
  }

  now(): number {
    return Math.floor(STORM_BEGINS + this.#scheduler.now + this.#clockMs());
  }

  monotonic(): number {
    return this.#scheduler.now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      if (!this.alive) return;
      if (signal?.aborted) return resolve();
      const planned = this.#scheduler.after(ms, `${this.#name} wakes`, () => {
        if (!this.alive) return;
        signal?.removeEventListener('abort', stop);
        resolve();
      });
      const stop = (): void => {
        planned.cancelled = true;
        resolve();
      };
      signal?.addEventListener('abort', stop, { once: true });
    });
  }

  random(length: number): Uint8Array<ArrayBuffer> {
    return this.#chance.bytes(length);
  }
}

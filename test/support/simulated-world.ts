/**
 * A world whose clock moves only when a test says so. Promises: sleeps end in the order of their times; between two of
 * them everything that can run has run. Randomness comes from a seed.
 */
import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { World } from '../../src/world.ts';

/** Turns of the event loop between two sleepers: enough for file and hash callbacks that are under way. */
const TURNS = 20;

export interface SimulatedWorld extends World {
  /** Moves the clock by `ms`, waking sleepers on the way. */
  advance(ms: number): Promise<void>;
  /** Lets everything run that waits for no time. */
  settle(): Promise<void>;
}

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export function simulatedWorld(start = Date.UTC(2026, 0, 1), seed = 1): SimulatedWorld {
  let now = 0;
  let drawn = 0;
  const sleepers = new Set<Sleeper>();
  const settle = async (): Promise<void> => {
    for (let turns = 0; turns < TURNS; turns++) await turn();
  };
  return {
    now: () => start + now,
    monotonic: () => now,
    sleep: (ms, signal) =>
      new Promise(resolve => {
        if (signal?.aborted) return resolve();
        const wake = (): void => {
          sleepers.delete(sleeper);
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        const sleeper = { at: now + Math.max(0, ms), wake };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', wake, { once: true });
      }),
    random(length) {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; at += 32)
        bytes.set(
          createHash('sha256')
            .update(`${seed} ${drawn++}`)
            .digest()
            .subarray(0, length - at),
          at,
        );
      return bytes;
    },
    settle,
    async advance(ms) {
      const until = now + ms;
      await settle();
      for (;;) {
        const next = [...sleepers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
        if (!next) break;
        now = Math.max(now, next.at);
        next.wake();
        await settle();
      }
      now = until;
      await settle();
    },
  };
}

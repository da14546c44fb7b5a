/**
 * The machine's own world with a clock that may leap: what sleeps up to then wakes at once, all else takes its real time.
 * So nodes of real rooms on real sockets live for years within a minute. Promises: clock and durations leap together.
 */
import { realWorld, type World } from '../../src/world.ts';

export interface LeapingWorld extends World {
  /** Moves the clock on by `ms` and wakes whoever waited for a moment up to then. */
  leap(ms: number): void;
}

export function leapingWorld(start: number): LeapingWorld {
  const began = realWorld.monotonic();
  let leapt = 0;
  const sleepers = new Set<{ readonly at: number; readonly wake: AbortController }>();
  const monotonic = (): number => realWorld.monotonic() + leapt;
  return {
    ...realWorld,
    now: () => start + Math.floor(monotonic() - began),
    monotonic,
    async sleep(ms, signal) {
      const sleeper = { at: monotonic() + ms, wake: new AbortController() };
      sleepers.add(sleeper);
      const until = signal ? AbortSignal.any([signal, sleeper.wake.signal]) : sleeper.wake.signal;
      await realWorld.sleep(ms, until);
      sleepers.delete(sleeper);
    },
    leap(ms) {
      leapt += ms;
      for (const { at, wake } of sleepers) if (at <= monotonic()) wake.abort();
    },
  };
}

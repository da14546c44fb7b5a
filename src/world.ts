/**
 * What every room needs of the world: clock, sleep, randomness, and one file of state. Promises: no room calls Date,
 * timers, AbortSignal.timeout or randomness itself, so that a whole cluster runs on a simulated world.
 */
import { randomFillSync } from 'node:crypto';
import { type Code, MirrorError } from './errors.ts';

export interface World {
  /** Wall clock, milliseconds since 1970. May jump. */
  now(): number;
  /** Milliseconds that only grow; for time-outs and durations. */
  monotonic(): number;
  /** Resolves after `ms`, or at once when `signal` aborts (it never rejects: look at the signal). */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** `length` unpredictable bytes. */
  random(length: number): Uint8Array<ArrayBuffer>;
}

/** One state file, written whole or not at all; the owner of the path is whoever built it. */
export interface Keep {
  /** Its bytes, or undefined where it was never written. @throws FILE_UNREADABLE */
  read(): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Replaces it atomically and durably (0600). @throws FILE_UNREADABLE */
  write(bytes: Uint8Array): Promise<void>;
}

/** One append-only file. */
export interface Journal {
  /** Appends `bytes` (whole lines) and answers when the system has them. @throws FILE_UNREADABLE */
  append(bytes: Uint8Array): Promise<void>;
}

/** How far two honest clocks may differ, in milliseconds; what is dated further ahead is refused, everywhere. */
export const CLOCK_SKEW_MS = 60_000;

/** The longest that one timer of Node can wait. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** The machine's own clock, timers and randomness. */
export const realWorld: World = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise(resolve => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      // A timer may fire a little early, and holds at most 2^31 - 1 ms.
      const until = performance.now() + ms;
      const arm = (left: number): NodeJS.Timeout =>
        setTimeout(look, Math.min(Math.max(0, Math.ceil(left)), TIMER_MAX_MS));
      const look = (): void => {
        const left = until - performance.now();
        if (left > 0) timer = arm(left);
        else done();
      };
      let timer = arm(ms);
      signal?.addEventListener('abort', done, { once: true });
    }),
  random: length => randomFillSync(new Uint8Array(length)),
};

/**
 * Runs `work` for at most `ms`; its signal aborts at the deadline or with `signal`. The returned promise settles at the
 * deadline even where `work` ignores its signal. @throws `code` at the deadline, or what `work` throws.
 */
export async function within<T>(
  world: World,
  ms: number,
  signal: AbortSignal | undefined,
  code: Code,
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const done = new AbortController();
  const late = new AbortController();
  const inner = signal ? AbortSignal.any([signal, late.signal]) : late.signal;
  const timer = world.sleep(ms, signal ? AbortSignal.any([signal, done.signal]) : done.signal).then((): unknown => {
    // The work has ended: what it answered with may live on under its signal.
    if (done.signal.aborted) return undefined;
    const error = signal?.aborted
      ? new MirrorError('STOPPED', `${what}: stopped`, {
          cause: signal.reason,
        })
      : new MirrorError(code, `${what}: nothing within ${ms} ms`);
    late.abort(error);
    throw error;
  });
  timer.catch(() => undefined);
  try {
    return (await Promise.race([work(inner), timer])) as T;
  } finally {
    done.abort();
  }
}

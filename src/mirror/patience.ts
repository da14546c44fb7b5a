/**
 * Patience with one holder: who brings nothing for a while is left where another can go on, before the client that waits
 * gives up. Where there is no other, it may take its time. Refuses to know what is brought.
 */
import { MirrorError } from '../errors.ts';
import type { World } from '../world.ts';

/** A holder that brings no chunk for so long is left for another; a client waits a little longer (body.ts). */
export const PATIENCE_MS = 4_000;
/** Each of several in a row that bring nothing gets half the patience of the one before, but so much at least. */
const PATIENCE_LEAST_MS = 1_000;
/** Past that, how often it is looked for another. */
const LOOK_MS = 500;

export interface Patience {
  /** Aborts with LANE_STALLED when patience ends, or with the daemon's life. */
  readonly signal: AbortSignal;
  /** The holder has brought something: what is done with it is not its fault. */
  brought(): void;
  /** From now on the holder is waited for. */
  waits(): void;
  /** Call once, at the end. */
  end(): void;
}

/**
 * Waits for a holder, called `what` in the error, from now on; `another` says whether somebody else could go on. `before`
 * is how many just before this one brought nothing: the client's time is one, however many they are.
 */
export function patience(world: World, life: AbortSignal, what: string, another: () => boolean, before = 0): Patience {
  const ms = Math.max(PATIENCE_LEAST_MS, PATIENCE_MS / 2 ** before);
  const done = new AbortController();
  const over = new AbortController();
  let since: number | undefined = world.monotonic();
  const asleep = AbortSignal.any([life, done.signal]);
  void (async () => {
    while (!asleep.aborted) {
      const left = since === undefined ? ms : since + ms - world.monotonic();
      if (left <= 0 && another()) return over.abort(new MirrorError('LANE_STALLED', `${what}: nothing for ${ms} ms`));
      await world.sleep(left > 0 ? left : LOOK_MS, asleep);
    }
  })();
  return {
    signal: AbortSignal.any([life, over.signal]),
    brought: () => void (since = undefined),
    waits: () => void (since = world.monotonic()),
    end: () => done.abort(),
  };
}

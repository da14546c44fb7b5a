/** A dead man's switch: lanes move, or end. */
import type { World } from '../world.ts';

/** Without a byte for so long, a giver has stalled. */
export const STALL_MS = 5_000;
/** Without a whole chunk for so long, a lane has stalled, however its bytes trickle. */
export const TRICKLE_MS = 30_000;

/**
 * Calls `late` once `due()` (monotonic ms, which may move on meanwhile) has passed, unless `signal` aborts first. Never
 * rejects.
 */
export async function watch(world: World, signal: AbortSignal, due: () => number, late: () => void): Promise<void> {
  while (!signal.aborted) {
    const left = due() - world.monotonic();
    if (left <= 0) return late();
    await world.sleep(left, signal);
  }
}

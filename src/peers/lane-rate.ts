/**
 * How fast this node gives, in total and to one peer. Promises: over any second no more than the rate and one burst.
 * Refuses to know sockets.
 */
import { MirrorError } from '../errors.ts';
import type { World } from '../world.ts';

/** The lowest rate: a reader gives up a lane that moves less than a chunk in TRICKLE_MS. */
export const RATE_MIN_BYTES = 128 * 1024;
/** Under a limit, bytes go out in pieces of this size: so many are spent at once at most. */
export const RATE_PIECE_BYTES = 64 * 1024;

const SECOND_MS = 1000;

/** One rate; whoever takes waits until what was taken before is paid. */
export class Rate {
  readonly #world: World;
  readonly #bytesPerMs: number;
  /** Monotonic ms at which everything taken so far is paid. */
  #paid = 0;

  /** @throws CONFIG_INVALID for a rate under RATE_MIN_BYTES */
  constructor(world: World, bytesPerSecond: number) {
    if (!(bytesPerSecond >= RATE_MIN_BYTES))
      throw new MirrorError(
        'CONFIG_INVALID',
        `a bandwidth limit of ${bytesPerSecond} bytes/s is under ${RATE_MIN_BYTES}`,
      );
    this.#world = world;
    this.#bytesPerMs = bytesPerSecond / SECOND_MS;
  }

  /** Resolves when `bytes` may go out; early, to no effect, when `signal` aborts. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const now = this.#world.monotonic();
    const from = Math.max(this.#paid, now);
    this.#paid = from + bytes / this.#bytesPerMs;
    if (from > now) await this.#world.sleep(from - now, signal);
  }
}

/** Chunk buffers that are used again. Promises: never more than `max` of them are out. */
import { assert } from '../errors.ts';
import { CHUNK_BYTES } from '../proof/proof.ts';

/** Unused buffers that are kept for the next transfer. */
const SPARE_MAX = 8;

export class Buffers {
  readonly #max: number;
  readonly #spare: Buffer[] = [];
  readonly #waiting: ((buffer: Buffer) => void)[] = [];
  #out = 0;

  /** `max` buffers of CHUNK_BYTES may be out at once. */
  constructor(max = Number.POSITIVE_INFINITY) {
    this.#max = max;
  }

  /** Buffers that are out. */
  get out(): number {
    return this.#out;
  }

  /** A buffer, where more than `leave` of them may still go out. */
  take(leave = 0): Buffer | undefined {
    if (this.#waiting.length > 0 || this.#out + leave >= this.#max) return undefined;
    this.#out++;
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
  }

  /** A buffer, as soon as it is this caller's turn; undefined where `signal` aborts before. */
  async next(signal: AbortSignal): Promise<Buffer | undefined> {
    const now = this.take();
    if (now || signal.aborted) return now;
    return await new Promise(resolve => {
      const turn = (buffer: Buffer): void => {
        signal.removeEventListener('abort', stop);
        resolve(buffer);
      };
      const stop = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(turn), 1);
        resolve(undefined);
      };
      this.#waiting.push(turn);
      signal.addEventListener('abort', stop, { once: true });
    });
  }

  /** Takes a buffer back that came from here; nobody may touch it any more. */
  put(buffer: Buffer): void {
    assert(this.#out > 0, 'a buffer was given back twice');
    const turn = this.#waiting.shift();
    if (turn) return turn(buffer);
    this.#out--;
    if (this.#spare.length < SPARE_MAX) this.#spare.push(buffer);
  }

  /** Lets go of the memory of unused buffers. */
  trim(): void {
    this.#spare.length = 0;
  }
}

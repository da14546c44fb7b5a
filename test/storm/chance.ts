/** Chance that follows from a seed: the same seed and name give the same draws, whoever else draws. */
import { createHash } from 'node:crypto';

const POOL_BYTES = 4096;

export class Chance {
  readonly #seed: string;
  #pool = Buffer.alloc(0);
  #at = 0;
  #drawn = 0;

  constructor(seed: string) {
    this.#seed = seed;
  }

  /** A chance of its own for `name`. */
  of(name: string): Chance {
    return new Chance(`${this.#seed}/${name}`);
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      if (this.#at === this.#pool.length) this.#refill();
      const count = Math.min(length - at, this.#pool.length - this.#at);
      bytes.set(this.#pool.subarray(this.#at, this.#at + count), at);
      this.#at += count;
      at += count;
    }
    return bytes;
  }

  /** From 0 up to, but not, 1. */
  fraction(): number {
    if (this.#at + 4 > this.#pool.length) this.#refill();
    this.#at += 4;
    return this.#pool.readUInt32BE(this.#at - 4) / 2 ** 32;
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  /** True in `share` of all draws. */
  happens(share: number): boolean {
    return this.fraction() < share;
  }

  pick<T>(from: readonly T[]): T {
    const one = from[this.whole(0, from.length - 1)];
    if (one === undefined) throw new Error('nothing to pick from');
    return one;
  }

  #refill(): void {
    const block = (at: number): Buffer => createHash('sha512').update(`${this.#seed} ${at}`).digest();
    this.#pool = Buffer.concat(Array.from({ length: POOL_BYTES / 64 }, (_, at) => block(this.#drawn + at)));
    this.#drawn += POOL_BYTES / 64;
    this.#at = 0;
  }
}

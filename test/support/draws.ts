/** Drawing lots by a seed. Promises: the same seed gives the same draws, in the same order. */
import { seededBytes } from './image-layers.ts';

const WORD_BYTES = 4;
/** Draws whose randomness is made in one go. */
const BATCH = 1 << 12;

export class Draws {
  readonly #words: Generator<number, never>;

  constructor(seed: number | string) {
    this.#words = words(seed);
  }

  /** A whole number from 0 up to and without `end`. */
  below(end: number): number {
    return Math.floor((this.#words.next().value / 2 ** 32) * end);
  }

  /** One of `list`, which has some. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** Several of `list`, all different. */
  some<T>(list: readonly T[], count: number): T[] {
    const left = [...list];
    return Array.from({ length: Math.min(count, left.length) }, () => left.splice(this.below(left.length), 1)[0] as T);
  }
}

function* words(seed: number | string): Generator<number, never> {
  for (let batch = 0; ; batch++) {
    const bytes = Buffer.concat([...seededBytes(`draws ${seed} ${batch}`, BATCH * WORD_BYTES)]);
    for (let at = 0; at < bytes.length; at += WORD_BYTES) yield bytes.readUInt32LE(at);
  }
}

/**
 * Draws as real images are wanted: a few by nearly everybody, most by hardly anyone. Promises: the same seed gives the same
 * draws. Refuses to know what is drawn.
 */
import { seededBytes } from '../support/image-layers.ts';

const WORD_BYTES = 4;
/** Draws whose randomness is made in one go. */
const BATCH = 1 << 16;

/** Endless draws of 0 … `kinds` − 1, where number n comes up in proportion to 1 / (n + 1). */
export function* zipf(seed: string, kinds: number): Generator<number, never> {
  const upTo = new Float64Array(kinds);
  let sum = 0;
  for (let at = 0; at < kinds; at++) upTo[at] = sum += 1 / (at + 1);
  for (let batch = 0; ; batch++) {
    const bytes = Buffer.concat([...seededBytes(`${seed} ${batch}`, BATCH * WORD_BYTES)]);
    for (let at = 0; at < bytes.length; at += WORD_BYTES) {
      const wanted = (bytes.readUInt32LE(at) / 2 ** 32) * sum;
      let [low, high] = [0, kinds - 1];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (upTo[middle]! > wanted) high = middle;
        else low = middle + 1;
      }
      yield low;
    }
  }
}

/** `count` different draws. */
export function distinct(draws: Iterator<number, never>, count: number): number[] {
  const seen = new Set<number>();
  while (seen.size < count) seen.add(draws.next().value);
  return [...seen];
}

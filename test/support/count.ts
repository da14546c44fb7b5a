/**
 * How often a test does what it does: `--count N` where its file is run by itself, else PINNACE_COUNT, else what the test
 * says. Promises: a whole number from 1 to COUNT_MAX, or an error that says so.
 */
import { parseArgs } from 'node:util';

const COUNT_MAX = 100_000;

/** The count that was asked for; `usual` where none was. */
export function countOf(usual: number): number {
  const { values } = parseArgs({ options: { count: { type: 'string' } }, strict: false });
  const text = typeof values.count === 'string' ? values.count : process.env.PINNACE_COUNT;
  if (text === undefined) return usual;
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > COUNT_MAX)
    throw new Error(`--count and PINNACE_COUNT take a whole number from 1 to ${COUNT_MAX}, not ${text}`);
  return count;
}

/** Draws by Zipf's law. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { distinct, zipf } from './zipf.ts';

const take = (draws: Iterator<number, never>, count: number): number[] =>
  Array.from({ length: count }, () => draws.next().value);

void test('the same seed gives the same draws, another one does not', () => {
  const first = take(zipf('a', 1000), 50);
  assert.deepEqual(take(zipf('a', 1000), 50), first);
  assert.notDeepEqual(take(zipf('b', 1000), 50), first);
});

void test('the first kind comes up twice as often as the second, and none is out of range', () => {
  const draws = take(zipf('a', 100), 50_000);
  const count = (kind: number): number => draws.filter(draw => draw === kind).length;
  assert.ok(Math.abs(count(0) / count(1) - 2) < 0.2);
  assert.ok(draws.every(draw => Number.isInteger(draw) && draw >= 0 && draw < 100));
  assert.ok(new Set(draws).size > 95);
});

void test('distinct draws are distinct', () => {
  const draws = distinct(zipf('a', 1000), 500);
  assert.equal(new Set(draws).size, 500);
});

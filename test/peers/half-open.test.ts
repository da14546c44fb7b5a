/** Handshakes that have not ended: who has most makes room. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HalfOpen } from '../../src/peers/half-open.ts';

function three(mostPerHost: number): { halfOpen: HalfOpen<string>; ended: string[] } {
  const ended: string[] = [];
  const halfOpen = new HalfOpen<string>({ most: 3, mostPerHost }, (one, { code }) => ended.push(`${one} ${code}`));
  return { halfOpen, ended };
}

void test('one too many of a host ends the oldest of that host, though there is room', () => {
  const { halfOpen, ended } = three(2);
  for (const one of ['a1', 'a2', 'a3', 'a4']) halfOpen.enter('a', one);
  assert.deepEqual(ended, ['a1 LIMIT_EXCEEDED', 'a2 LIMIT_EXCEEDED']);
});

void test('one too many in all ends the oldest of the host with most', () => {
  const { halfOpen, ended } = three(3);
  halfOpen.enter('b', 'b1');
  for (const one of ['a1', 'a2']) halfOpen.enter('a', one);
  for (const one of ['c1', 'c2']) halfOpen.enter('c', one);
  assert.deepEqual(ended, ['a1 LIMIT_EXCEEDED', 'b1 LIMIT_EXCEEDED']);
});

void test('what has ended leaves its place, once', () => {
  const { halfOpen, ended } = three(3);
  for (const one of ['a1', 'a2', 'a3']) halfOpen.enter('a', one);
  for (let again = 0; again < 2; again++) halfOpen.leave('a', 'a1');
  halfOpen.leave('b', 'b1');
  halfOpen.enter('a', 'a4');
  assert.deepEqual(ended, []);
  halfOpen.enter('a', 'a5');
  assert.deepEqual(ended, ['a2 LIMIT_EXCEEDED']);
});

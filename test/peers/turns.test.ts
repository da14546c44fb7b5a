/** Exchanges with a peer go one after the other, and what was asked for meanwhile is not lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerId } from '../../src/oci/oci.ts';
import { Turns } from '../../src/peers/turns.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

const RATE = { burst: 2, perSecond: 1, what: 'exchanges' };
const [A, B] = ['a', 'b'] as unknown as readonly PeerId[];

void test('what is asked for while one runs happens once after it, and not beside it; another peer does not wait', async () => {
  const turns = new Turns(simulatedWorld(), RATE, new AbortController().signal);
  const done: string[] = [];
  let end = (): void => undefined;
  const work = (name: string) => async (): Promise<void> => {
    done.push(name);
    if (done.length === 1) await new Promise<void>(resolve => (end = resolve));
  };
  const first = turns.take(A!, work('a'), assert.fail);
  assert.deepEqual(await Promise.all([1, 2].map(() => turns.take(A!, work('late'), assert.fail))), [true, true]);
  await turns.take(B!, work('b'), assert.fail);
  assert.deepEqual(done, ['a', 'b']);
  end();
  assert.equal(await first, true);
  assert.deepEqual(done, ['a', 'b', 'a']);
});

void test('beyond the rate it waits, and no longer than this node lives', async () => {
  const world = simulatedWorld();
  const life = new AbortController();
  const turns = new Turns(world, RATE, life.signal);
  let done = 0;
  const take = (): Promise<boolean> => turns.take(A!, () => Promise.resolve(void (done += 1)), assert.fail);
  await take();
  await take();
  const third = take();
  await world.settle();
  assert.equal(done, 2);
  await world.advance(2_000);
  assert.deepEqual([await third, done], [true, 3]);
});

void test('what fails is told and rejects nowhere, and the next has its turn', async () => {
  const turns = new Turns(simulatedWorld(), RATE, new AbortController().signal);
  const told: string[] = [];
  const fail = (): Promise<void> => Promise.reject(new Error('no'));
  assert.equal(await turns.take(A!, fail, ({ message }) => void told.push(message)), false);
  assert.equal(await turns.take(A!, () => Promise.resolve(), assert.fail), true);
  assert.deepEqual(told, ['no']);
});

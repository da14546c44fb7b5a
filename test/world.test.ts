import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, MirrorError } from '../src/errors.ts';
import { realWorld, within } from '../src/world.ts';
import { simulatedWorld } from './support/simulated-world.ts';

const forever = new Promise<never>(() => undefined);

void test('the real clock does not run backwards, and its sleep ends by itself', async () => {
  const before = realWorld.monotonic();
  await realWorld.sleep(5);
  assert.ok(realWorld.monotonic() - before >= 4);
  assert.ok(Math.abs(realWorld.now() - Date.now()) < 1000);
});

void test('the real sleep ends at once when its signal aborts, or has aborted, and never rejects', async () => {
  const stop = new AbortController();
  const sleeping = realWorld.sleep(60_000, stop.signal);
  stop.abort(new Error('stop'));
  await sleeping;
  await realWorld.sleep(60_000, stop.signal);
});

void test('the real randomness has the asked length and does not repeat', () => {
  const [one, two] = [realWorld.random(32), realWorld.random(32)];
  assert.equal(one.length, 32);
  assert.notDeepEqual(one, two);
  assert.equal(realWorld.random(0).length, 0);
});

void test('work that ends in time answers, and its own error passes through', async () => {
  const world = simulatedWorld();
  assert.equal(await within(world, 100, undefined, 'TIMED_OUT', 'x', async () => 7), 7);
  await assert.rejects(
    within(world, 100, undefined, 'TIMED_OUT', 'x', () => Promise.reject(new MirrorError('DENIED', 'no'))),
    error => hasCode(error, 'DENIED'),
  );
  await assert.rejects(
    within(world, 100, undefined, 'TIMED_OUT', 'x', () => {
      throw new MirrorError('DENIED', 'thrown, not rejected');
    }),
    error => hasCode(error, 'DENIED'),
  );
});

void test('work that ignores its signal is left at the deadline with the given code, and not before', async () => {
  const world = simulatedWorld();
  let seen: AbortSignal | undefined;
  let settled = false;
  const running = within(world, 100, undefined, 'HANDSHAKE_TIMEOUT', 'x', signal => {
    seen = signal;
    return forever;
  }).finally(() => {
    settled = true;
  });
  running.catch(() => undefined);
  await world.advance(99);
  assert.deepEqual([settled, seen?.aborted], [false, false]);
  await world.advance(1);
  await assert.rejects(running, error => hasCode(error, 'HANDSHAKE_TIMEOUT'));
  assert.ok(seen?.aborted && hasCode(seen.reason, 'HANDSHAKE_TIMEOUT'));
});

void test('when the outer signal aborts, work that ignores it is left with STOPPED', async () => {
  const world = simulatedWorld();
  const stop = new AbortController();
  let seen: AbortSignal | undefined;
  const running = within(world, 100, stop.signal, 'TIMED_OUT', 'x', signal => {
    seen = signal;
    return forever;
  });
  stop.abort();
  await assert.rejects(running, error => hasCode(error, 'STOPPED'));
  assert.ok(seen?.aborted);
  await assert.rejects(
    within(world, 100, stop.signal, 'TIMED_OUT', 'already aborted', () => forever),
    error => hasCode(error, 'STOPPED'),
  );
});

void test('work that fails after the deadline disturbs nobody', async () => {
  const world = simulatedWorld();
  const running = within(world, 10, undefined, 'TIMED_OUT', 'x', async () => {
    await world.sleep(20);
    throw new Error('late');
  });
  const rejected = assert.rejects(running, error => hasCode(error, 'TIMED_OUT'));
  await world.advance(30);
  await rejected;
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { RATE_MIN_BYTES, RATE_PIECE_BYTES, Rate } from '../../src/peers/lane-rate.ts';
import { TRICKLE_MS } from '../../src/peers/lane-watch.ts';
import { CHUNK_BYTES } from '../../src/proof/proof.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

const never = new AbortController().signal;

void test('bytes wait until those before them are paid, and an idle rate saves up nothing', async () => {
  const world = simulatedWorld();
  const rate = new Rate(world, 1000 * RATE_PIECE_BYTES);
  await world.advance(10_000);
  const times: number[] = [];
  const taking = Promise.all(
    [0, 1, 2].map(async () => {
      await rate.take(RATE_PIECE_BYTES, never);
      times.push(world.monotonic() - 10_000);
    }),
  );
  await world.advance(10);
  await taking;
  assert.deepEqual(times, [0, 1, 2]);
});

void test('a wait ends when it is stopped', async () => {
  const rate = new Rate(simulatedWorld(), RATE_MIN_BYTES);
  const stop = new AbortController();
  await rate.take(CHUNK_BYTES, never);
  const waiting = rate.take(1, stop.signal);
  stop.abort();
  await waiting;
});

void test('the lowest rate moves a chunk in less time than a trickle is given', () => {
  assert.ok((CHUNK_BYTES / RATE_MIN_BYTES) * 1000 < TRICKLE_MS);
  for (const wrong of [RATE_MIN_BYTES - 1, 0, -1, Number.NaN])
    assert.throws(
      () => new Rate(simulatedWorld(), wrong),
      error => hasCode(error, 'CONFIG_INVALID'),
    );
});

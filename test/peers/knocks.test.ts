/** Who knocks in vain too often is turned away for a while, and nobody else is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MirrorError } from '../../src/errors.ts';
import { FAILED_HANDSHAKES, Knocks } from '../../src/peers/knocks.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

const { burst, perSecond } = FAILED_HANDSHAKES;

function port() {
  const world = simulatedWorld();
  const told: [string, string][] = [];
  const knocks = new Knocks(world, (host: string, { code }: MirrorError) => void told.push([host, code]));
  const failing = (host: string, times: number): void => {
    for (let at = 0; at < times; at++) knocks.failed(host);
  };
  return { world, told, knocks, failing };
}

void test('a host that failed too often is turned away, by code, and let in again at the rate', async () => {
  const { world, told, knocks, failing } = port();
  failing('10.0.0.1', burst - 1);
  assert.equal(knocks.check('10.0.0.1'), false);
  failing('10.0.0.1', 1);
  assert.equal(knocks.check('10.0.0.1'), true);
  assert.deepEqual(told, [['10.0.0.1', 'LIMIT_EXCEEDED']]);
  await world.advance(1000 / perSecond);
  assert.equal(knocks.check('10.0.0.1'), false);
  failing('10.0.0.1', 1);
  assert.equal(knocks.check('10.0.0.1'), true);
});

void test('being turned away is no failure: quiet for long enough, a host has all its attempts again', async () => {
  const { world, knocks, failing } = port();
  failing('10.0.0.1', burst);
  for (let at = 0; at < 10 * burst; at++) knocks.check('10.0.0.1');
  await world.advance((burst * 1000) / perSecond);
  failing('10.0.0.1', burst - 1);
  assert.equal(knocks.check('10.0.0.1'), false);
});

void test('hosts are told apart, and an address is the same one in both its spellings', () => {
  const { knocks, failing } = port();
  failing('10.0.0.1', burst);
  assert.equal(knocks.check('10.0.0.2'), false);
  assert.equal(knocks.check('::ffff:10.0.0.1'), true);
});

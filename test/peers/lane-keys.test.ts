import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { KEY_LIFE_MS, KEYS_PER_PEER_MAX, LaneKeys, laneKey } from '../../src/peers/lane-keys.ts';
import { patterned, peerNamed } from '../support/lane-pair.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

const giver = peerNamed('giver');
const reader = peerNamed('reader');
const other = peerNamed('other');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

void test('an offer is taken up once, with the key that the dialer makes of it', () => {
  const keys = new LaneKeys(simulatedWorld(), giver);
  const { identity, key } = keys.offer(reader);
  const taken = keys.take(hex(identity))!;
  assert.equal(taken.peer, reader);
  assert.deepEqual(Buffer.from(taken.key), Buffer.from(laneKey(key, reader, giver)));
  assert.equal(keys.take(hex(identity)), undefined);
});

void test('a key depends on the offer and on both peers, each in its part', () => {
  const key = patterned(32);
  const keys = [
    laneKey(key, reader, giver),
    laneKey(key, giver, reader),
    laneKey(key, other, giver),
    laneKey(key, reader, other),
  ];
  keys.push(laneKey(patterned(32, 'another'), reader, giver));
  assert.equal(new Set(keys.map(hex)).size, keys.length);
});

void test('an unknown identity takes nothing, and leaves the others', () => {
  const keys = new LaneKeys(simulatedWorld(), giver);
  const { identity } = keys.offer(reader);
  for (const wrong of ['', 'x', hex(identity).toUpperCase() + '0', '00'.repeat(16)])
    assert.equal(keys.take(wrong), undefined);
  assert.equal(keys.take(hex(identity))?.peer, reader);
});

void test('an offer lives ten seconds', async () => {
  const world = simulatedWorld();
  const keys = new LaneKeys(world, giver);
  const first = keys.offer(reader);
  const second = keys.offer(reader);
  await world.advance(KEY_LIFE_MS - 1);
  assert.ok(keys.take(hex(first.identity)));
  await world.advance(1);
  assert.equal(keys.take(hex(second.identity)), undefined);
});

void test('one peer has few offers at a time, and taking one makes room', () => {
  const keys = new LaneKeys(simulatedWorld(), giver);
  const offers = Array.from({ length: KEYS_PER_PEER_MAX }, () => keys.offer(reader));
  assert.throws(
    () => keys.offer(reader),
    error => hasCode(error, 'LIMIT_EXCEEDED'),
  );
  keys.offer(other);
  keys.take(hex(offers[0]!.identity));
  keys.offer(reader);
});

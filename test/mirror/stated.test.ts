import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { StatedTags } from '../../src/mirror/stated.ts';
import { digestOf, type PeerId, parseTagReference } from '../../src/oci/oci.ts';
import { memoryKeep } from '../support/cluster.ts';

const SELF = `12D3KooW${'A'.repeat(44)}` as PeerId;
const NAME = parseTagReference('r.test/a/b:1');
const D1 = digestOf(Buffer.from('1'));
const D2 = digestOf(Buffer.from('2'));

void test('a renewal never moves when the tag was observed; another digest does', async () => {
  const stated = await StatedTags.open(memoryKeep(), SELF);
  stated.state(NAME, D1, 100);
  stated.state(NAME, D1, 200);
  assert.deepEqual(stated.claims(NAME), [{ peer: SELF, digest: D1, observedAt: 100, renewedAt: 200 }]);
  assert.ok(stated.isNews(NAME, D2));
  stated.state(NAME, D2, 300);
  assert.deepEqual(stated.claims(NAME), [{ peer: SELF, digest: D2, observedAt: 300, renewedAt: 300 }]);
});

void test('what is stated survives a restart, and what is forgotten does not', async () => {
  const keep = memoryKeep();
  const before = await StatedTags.open(keep, SELF);
  before.state(NAME, D1, 100);
  await before.save();
  const after = await StatedTags.open(keep, SELF);
  assert.deepEqual(after.list(), before.list());
  assert.equal(after.forget(NAME), true);
  assert.equal(after.forget(NAME), false);
  await after.save();
  assert.deepEqual((await StatedTags.open(keep, SELF)).list(), []);
});

void test('a file cut short is refused by name, one of a newer version too', async () => {
  const keep = memoryKeep();
  const stated = await StatedTags.open(keep, SELF);
  stated.state(NAME, D1, 100);
  await stated.save();
  const half = memoryKeep(keep.bytes!.subarray(0, keep.bytes!.length / 2));
  await assert.rejects(StatedTags.open(half, SELF), error => hasCode(error, 'STATE_INVALID'));
  const newer = memoryKeep(Buffer.from('{"version":2,"tags":[]}'));
  await assert.rejects(StatedTags.open(newer, SELF), error => hasCode(error, 'STATE_NEWER'));
  const without = memoryKeep(Buffer.from('{"tags":[]}'));
  await assert.rejects(StatedTags.open(without, SELF), error => hasCode(error, 'STATE_INVALID'));
});

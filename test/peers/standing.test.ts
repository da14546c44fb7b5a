/** Whom to ask first, and how often who may ask. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import type { Node, PeerId } from '../../src/oci/oci.ts';
import { Buckets } from '../../src/peers/buckets.ts';
import { SHUN_MS, Standing } from '../../src/peers/standing.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

const of = (name: string, zone?: string): { node: Node } => ({
  node: { peer: name as PeerId, name, ...(zone ? { zone } : {}), roles: new Set(), issuedAt: 1, expiresAt: 2 },
});
const names = (all: readonly { node: Node }[]): string => all.map(item => item.node.name).join(' ');

void test('the own zone comes first, then who failed least recently, then who is connected; the shunned last', async () => {
  const world = simulatedWorld();
  const standing = new Standing(world);
  const all = [of('near', 'a'), of('nearFailed', 'a'), of('far'), of('farLinked'), of('shunned', 'a')];
  standing.failed('nearFailed' as PeerId);
  standing.shun('shunned' as PeerId);
  const linked = new Set(['farLinked' as PeerId]);
  assert.equal(names(standing.rank(all, 'a', linked)), 'near nearFailed farLinked far shunned');
  assert.equal(standing.shunnedUntil('shunned' as PeerId), world.now() + SHUN_MS);
  await world.advance(SHUN_MS + 1);
  assert.equal(standing.shunnedUntil('shunned' as PeerId), undefined);
  assert.match(
    names(standing.rank(all, 'a', linked)),
    /^near (?:nearFailed shunned|shunned nearFailed) farLinked far$/,
  );
});

void test('equals are asked in an order that chance decides', () => {
  const standing = new Standing(simulatedWorld());
  const all = Array.from({ length: 10 }, (_, i) => of(`n${i}`));
  const orders = new Set(Array.from({ length: 20 }, () => names(standing.rank(all, undefined, new Set()))));
  assert.ok(orders.size > 15);
});

void test('a bucket gives its burst, then its rate, to each peer apart', async () => {
  const world = simulatedWorld();
  const buckets = new Buckets(world, { burst: 3, perSecond: 0.5, what: 'things' });
  const [a, b] = ['a', 'b'] as [PeerId, PeerId];
  for (let i = 0; i < 3; i++) buckets.take(a);
  assert.throws(
    () => buckets.take(a),
    error => hasCode(error, 'LIMIT_EXCEEDED'),
  );
  buckets.take(b);
  await world.advance(2000);
  buckets.take(a);
  assert.equal(buckets.allows(a), false);
  await world.advance(1_000_000);
  for (let i = 0; i < 3; i++) buckets.take(a);
  assert.equal(buckets.allows(a), false);
});

/** Control planes among themselves: what one states reaches all, what is revoked is cut off, what is small stays small. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTagReference } from '../../src/oci/oci.ts';
import { KINDS } from '../../src/peers/envelope.ts';
import { RENEW_MS } from '../../src/peers/stating.ts';
import type { Greet } from '../../src/peers/wire.ts';
import { content, holdings } from './ground.ts';
import { Scene } from './scene.ts';

void test('everybody hears what one states, small and large, and it ends five minutes after its node does', async () => {
  const scene = new Scene();
  const first = await scene.add();
  for (let i = 0; i < 5; i++) await scene.add(first);
  await scene.world.advance(5_000);
  const last = scene.planes.at(-1)!;
  assert.equal(last.wire.links().length >= 5, true);
  await last.plane.stating.hold([content(1).holding]);
  await scene.world.advance(1_000);
  assert.deepEqual(
    scene.planes.map(p => p.holders(content(1).holding)),
    [1, 1, 1, 1, 1, 1],
  );
  await last.plane.stating.hold(holdings(2000, 100));
  await scene.world.advance(10_000);
  assert.deepEqual(
    scene.planes.map(p => p.holders(content(1999 + 100).holding)),
    [1, 1, 1, 1, 1, 1],
  );
  assert.deepEqual(
    scene.planes.map(p => p.holders(content(1).holding)),
    [0, 0, 0, 0, 0, 0],
  );
  await scene.world.advance(10 * RENEW_MS);
  assert.deepEqual(
    scene.planes.map(p => p.holders(content(100).holding)),
    [1, 1, 1, 1, 1, 1],
    'renewed by heads',
  );
  last.stop.abort();
  await scene.world.advance(KINDS['holdings-head'].validityMs - RENEW_MS * 1.2);
  assert.equal(first.holders(content(100).holding), 1);
  await scene.world.advance(RENEW_MS * 1.3);
  assert.equal(first.holders(content(100).holding), 0);
  for (const { records } of scene.planes)
    assert.ok(!records.some(event => event.event === 'statement.refused'), 'nobody was accused');
  scene.end();
});

void test('nothing that could not be recorded is told', async () => {
  const scene = new Scene();
  const a = await scene.add();
  const b = await scene.add(a);
  await scene.world.advance(3_000);
  b.failing = true;
  await assert.rejects(b.plane.stating.hold([content(1).holding]), { code: 'AUDIT_UNAVAILABLE' });
  await scene.world.advance(3 * RENEW_MS);
  assert.equal(a.holders(content(1).holding), 0);
  b.failing = false;
  await b.plane.stating.hold([content(1).holding]);
  await scene.world.advance(1_000);
  assert.equal(a.holders(content(1).holding), 1);
  scene.end();
});

void test('a revoked node loses its links and what it said, also where the record fails', async () => {
  const scene = new Scene();
  const a = await scene.add();
  const b = await scene.add(a);
  const evil = await scene.add(a);
  await scene.world.advance(3_000);
  await evil.plane.stating.hold([content(1).holding]);
  await scene.world.advance(1_000);
  assert.equal(b.holders(content(1).holding), 1);
  b.failing = true;
  await a.members.revoke(evil.wire.peer);
  await scene.world.advance(500);
  for (const plane of [a, b]) {
    assert.ok(plane.wire.links().every(link => link.peer !== evil.wire.peer));
    assert.equal(plane.holders(content(1).holding), 0);
    assert.deepEqual(plane.shutOut, [evil.wire.peer]);
  }
  assert.ok(a.records.some(event => event.event === 'peer.revoked'));
  assert.ok(a.records.some(event => event.event === 'roster.accepted' && event.seq === 2));
  scene.end();
});

void test('who is revoked while it is being greeted loses its link at once, and is recorded', async () => {
  const scene = new Scene();
  const a = await scene.add();
  const evil = await scene.add();
  const { greet } = evil.wire;
  Object.assign(evil.wire, {
    greet: async (...given: Parameters<Greet>) => {
      await greet(...given);
      await a.members.revoke(evil.wire.peer);
    },
  });
  await evil.wire.dial(a.wire.addresses[0]!, a.stop.signal);
  await scene.world.settle();
  assert.deepEqual([a.wire.links(), evil.wire.links()], [[], []]);
  assert.ok(a.records.some(event => event.event === 'peer.refused' && event.code === 'CREDENTIAL_REVOKED'));
  scene.end();
});

void test('a link whose credential ended meanwhile is closed within a minute, and recorded', async () => {
  const scene = new Scene();
  const a = await scene.add();
  const b = await scene.add(a);
  await scene.world.advance(3_000);
  const node = a.members.node.bind(a.members);
  a.members.node = peer => (peer === b.wire.peer ? undefined : node(peer));
  await scene.world.advance(RENEW_MS * 1.2);
  assert.ok(a.records.some(event => event.event === 'peer.refused' && event.code === 'CREDENTIAL_EXPIRED'));
  scene.end();
});

void test('what came by sync from nobody but its signer goes on to nodes that are not linked with it', async () => {
  const scene = new Scene();
  const a = await scene.add();
  const b = await scene.add(a);
  const c = await scene.add(b);
  const reference = parseTagReference('registry.example/app:1');
  const { digest } = content(3).holding;
  // As file times are: in parts of a millisecond.
  const at = scene.world.now() - 0.5;
  await c.plane.stating.stateTags([{ reference, digest, observedAt: at, renewedAt: at }]);
  await scene.world.advance(5_000);
  for (const { plane } of [a, b]) assert.equal(plane.table.tagIndex.find(reference).get(c.wire.peer)?.digest, digest);
  scene.end();
});

void test('a change of holdings is a delta while it is small, and a snapshot after many', async () => {
  const scene = new Scene();
  const a = await scene.add();
  const kinds = (): string[] => a.records.flatMap(event => (event.event === 'statement.signed' ? [event.kind] : []));
  await a.plane.stating.hold(holdings(10));
  await a.plane.stating.hold(holdings(11));
  await a.plane.stating.hold(holdings(11));
  await a.plane.stating.hold(holdings(9, 1));
  assert.deepEqual(kinds(), ['node', 'holdings', 'holdings-head', 'holdings-delta', 'holdings-delta']);
  for (let i = 0; i < 40; i++) await a.plane.stating.hold(holdings(20 + i));
  assert.equal(kinds().filter(kind => kind === 'holdings').length, 2);
  await a.plane.stating.hold(holdings(2000, 5000));
  assert.equal(kinds().filter(kind => kind === 'holdings').length, 3);
  assert.equal(a.plane.table.holdings.mark(a.wire.peer)?.count, 2000);
  scene.end();
});

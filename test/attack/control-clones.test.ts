/** A node's key in two hands: whoever hears both knows it within minutes, and an honest restart looks like nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeSigned, KINDS, signStatement } from '../../src/peers/envelope.ts';
import { TOPIC } from '../../src/peers/gossip.ts';
import { encodeItem } from '../../src/peers/intake.ts';
import { RENEW_MS } from '../../src/peers/stating.ts';
import { holdings } from '../peers/ground.ts';
import { ownKey } from '../support/fake-peers.ts';
import { type Plane, Scene } from '../peers/scene.ts';

/** From the start of the second until everybody who hears both has told it. */
const TOLD_MS = 6 * RENEW_MS;
const KEY = 77;

const clones = ({ records }: Plane): object[] => records.filter(record => record.event === 'identity.cloned');

/** Two honest nodes, and one that has been there for a while. */
async function ground(): Promise<{ scene: Scene; a: Plane; b: Plane; victim: Plane }> {
  const scene = new Scene();
  const a = await scene.add();
  const b = await scene.add(a);
  const victim = await scene.add(a, { key: KEY, start: 100 });
  await victim.plane.stating.hold(holdings(3));
  await scene.world.advance(10 * RENEW_MS);
  return { scene, a, b, victim };
}

void test('a copied token or state folder, started elsewhere, is recorded, warned of and shown; nobody is cut off', async () => {
  const { scene, a, b, victim } = await ground();
  const thief = await scene.add(b, { key: KEY, start: 101 });
  await thief.plane.stating.hold(holdings(1, 50));
  await scene.world.advance(TOLD_MS);
  const { peer } = victim.wire;
  const node = a.members.node(peer)!.name;
  for (const plane of [a, b]) {
    assert.deepEqual(clones(plane), [{ event: 'identity.cloned', peer, node, start: 101, other: 100 }]);
    assert.equal(plane.warnings.length, 1);
    assert.deepEqual(
      plane.plane.table.clones.list().map(clone => [clone.peer, clone.start, clone.other]),
      [[peer, 101, 100]],
    );
    assert.ok(plane.wire.links().some(link => link.peer === peer));
    assert.ok(!plane.records.some(record => record.event === 'peer.revoked'));
    // What the elder says is a replay besides.
    assert.ok(plane.records.some(e => e.event === 'statement.refused' && e.code === 'STATEMENT_REPLAYED'));
  }
  scene.end();
});

void test('a copy of the running process is found by the numbers that both use', async () => {
  const { scene, a, b, victim } = await ground();
  const thief = await scene.add(b, { key: KEY, start: 100 });
  await thief.plane.stating.hold(holdings(1, 50));
  await scene.world.advance(TOLD_MS);
  const told = [a, b].flatMap(clones);
  assert.ok(told.length > 0);
  const { peer } = victim.wire;
  const node = a.members.node(peer)!.name;
  for (const one of told) assert.deepEqual(one, { event: 'identity.cloned', peer, node, start: 100, other: 100 });
  scene.end();
});

/** A head that the key signs now. */
function head(scene: Scene, start: number, seq: number): Uint8Array {
  const key = ownKey(Buffer.alloc(32, KEY));
  const notAfter = scene.world.now() + KINDS['holdings-head'].validityMs;
  const statement = { kind: 'holdings-head', signer: key.peer, start, seq, notAfter, body: { of: 1 } } as const;
  return encodeItem('statement', encodeSigned(signStatement(statement, bytes => key.sign(bytes))));
}

void test('one number under two statements is told at once', async () => {
  const { scene, a, b, victim } = await ground();
  const { peer } = victim.wire;
  const one = head(scene, 100, 10_001);
  await a.wire.heard(b.wire.peer, TOPIC, one);
  await a.wire.heard(b.wire.peer, TOPIC, one);
  assert.deepEqual(clones(a), [], 'the same bytes again are a repetition');
  await scene.world.advance(1);
  await a.wire.heard(b.wire.peer, TOPIC, head(scene, 100, 10_001));
  const node = a.members.node(peer)!.name;
  assert.deepEqual(clones(a), [{ event: 'identity.cloned', peer, node, start: 100, other: 100 }]);
  scene.end();
});

void test('the true node hears what it never said in its own name, and tells it', async () => {
  const { scene, a, victim } = await ground();
  const { peer } = victim.wire;
  for (let seq = 1; seq <= 5; seq++) {
    await victim.wire.heard(a.wire.peer, TOPIC, head(scene, 101, seq));
    assert.deepEqual(clones(victim).length, seq === 1 ? 0 : 1);
    await scene.world.advance(RENEW_MS);
  }
  const node = victim.members.node(peer)!.name;
  assert.deepEqual(clones(victim), [{ event: 'identity.cloned', peer, node, start: 101, other: 100 }]);
  scene.end();
});

void test('what somebody else signs in the name of a node is no clone of it, but a forgery', async () => {
  const { scene, a, b, victim } = await ground();
  for (let seq = 1; seq <= 5; seq++) {
    for (const start of [99, 101]) {
      const forged = Buffer.from(head(scene, start, seq));
      forged[20]! ^= 1;
      for (const plane of [a, victim]) await plane.wire.heard(b.wire.peer, TOPIC, forged);
    }
    await scene.world.advance(RENEW_MS);
  }
  for (const { records } of [a, victim]) {
    const refused = records.flatMap(e => (e.event === 'statement.refused' ? [[e.peer, e.code]] : []));
    assert.ok(refused.length >= 5);
    assert.ok(refused.every(([peer, code]) => peer === b.wire.peer && code === 'STATEMENT_INVALID'));
  }
  assert.deepEqual([a, b, victim].flatMap(clones), []);
  scene.end();
});

void test('a node that starts again and again is no clone, though others repeat what it said before', async () => {
  const { scene, a, b, victim } = await ground();
  let running = victim;
  for (let start = 101; start < 104; start++) {
    const kept = [head(scene, start - 1, 10_001), head(scene, start - 1, 10_002), head(scene, start - 1, 10_003)];
    running.stop.abort();
    running.wire.vanish();
    for (const plane of [a, b]) await plane.wire.disconnect(victim.wire.peer);
    await scene.world.advance(1_000);
    running = await scene.add(a, { key: KEY, start });
    await running.plane.stating.hold(holdings(start));
    for (const item of kept) {
      await scene.world.advance(RENEW_MS);
      for (const plane of [a, running]) await plane.wire.heard(b.wire.peer, TOPIC, item);
    }
  }
  assert.ok(a.records.some(e => e.event === 'statement.refused' && e.code === 'STATEMENT_REPLAYED'));
  assert.deepEqual([a, b, running].flatMap(clones), []);
  scene.end();
});

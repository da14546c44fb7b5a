/** Limited holdings among nodes: who may know hears, nobody else receives a byte of it, and what ends is forgotten. */
import assert from 'node:assert/strict';
import { after, before, describe, it, test } from 'node:test';
import type { Node } from '../../src/oci/oci.ts';
import { KINDS } from '../../src/peers/envelope.ts';
import { KNOWN, LIMITED_LIMITS, LIMITED_PROTOCOL, SEND } from '../../src/peers/hearing.ts';
import type { Holding } from '../../src/peers/peers.ts';
import { RENEW_MS } from '../../src/peers/stating.ts';
import { eventually } from '../conformance/wire.ts';
import { credentialFor } from '../support/fake-peers.ts';
import { mentions } from '../support/tapped-wire.ts';
import { content, Ground, type TestNode } from './ground.ts';
import { type Plane, Scene } from './scene.ts';

const zone =
  (name: string) =>
  (node: Node): boolean =>
    node.zone === name;
const secret = content(1).holding;
const open = content(2).holding;
const limited = (holding: Holding, to = 'a'): Holding => ({ ...holding, audience: zone(to) });
const needles = ({ digest, root }: Holding): string[] => [digest.slice('sha256:'.length), root];
const signed = ({ records }: Plane, kind = 'limited'): number =>
  records.filter(event => event.event === 'statement.signed' && event.kind === kind).length;

void describe('real nodes of two zones', () => {
  let ground: Ground;
  const nodes = new Map<string, TestNode>();
  const known = (name: string, { digest }: Holding): number => nodes.get(name)!.peers.holders(digest).length;
  before(async () => {
    ground = await Ground.make();
    for (const [name, where] of ['a', 'a', 'b', 'b'].entries()) {
      const bootstrap = [...nodes.values()].flatMap(({ peers }) => peers.addresses);
      const own = await ground.cluster.add({ name: `${where}${name}`, zone: where });
      nodes.set(`${where}${name}`, await ground.start(own, { bootstrap }));
    }
    await eventually(
      () => [...nodes.values()].every(({ peers }) => peers.status().filter(peer => peer.connected).length === 3),
      'everybody is linked with everybody',
    );
  });
  after(() => ground.end());

  void it('the other zone receives no byte of what it may not know of, early or late, while others do', async () => {
    await nodes.get('a0')!.peers.hold([open, limited(secret)]);
    await eventually(() => known('a1', secret) === 1, 'the own zone knows');
    await eventually(() => known('b2', open) + known('b3', open) === 2, 'the other zone knows the rest');
    const late = await ground.start(await ground.cluster.add({ name: 'b4', zone: 'b' }), {
      bootstrap: nodes.get('b2')!.peers.addresses,
    });
    await eventually(() => late.peers.holders(open.digest).length === 1, 'the newcomer knows the rest');
    await eventually(() => late.peers.status().filter(peer => peer.connected).length === 4, 'it is linked with all');
    // Withdrawn and said again: a change names nothing either.
    await nodes.get('a0')!.peers.hold([limited(secret)]);
    await eventually(() => known('b3', open) === 0, 'the change is known');
    for (const { heard } of [nodes.get('b2')!, nodes.get('b3')!, late])
      assert.equal(mentions(heard, ...needles(secret)), false);
    assert.equal(mentions(nodes.get('a1')!.heard, ...needles(secret)), true, 'where it goes, it is seen');
    assert.equal(mentions(nodes.get('b2')!.heard, ...needles(open)), true);
    for (const { records } of nodes.values())
      assert.ok(!records.some(event => event.event === 'statement.refused'), 'nobody was accused');
    const [holder] = nodes.get('a1')!.peers.holders(secret.digest);
    assert.deepEqual([holder!.node.name, holder!.root], ['a0', secret.root]);
  });
});

/** `a1` and `a2` in zone a, `b` in zone b, all linked. */
async function zones(): Promise<{ scene: Scene; a1: Plane; a2: Plane; b: Plane }> {
  const scene = new Scene();
  const a1 = await scene.add(undefined, { zone: 'a' });
  const a2 = await scene.add(a1, { zone: 'a' });
  const b = await scene.add(a1, { zone: 'b' });
  await scene.world.advance(5_000);
  return { scene, a1, a2, b };
}

void test('it is renewed every minute, without a new signature, and ends five minutes after its teller is gone', async () => {
  const { scene, a1, a2, b } = await zones();
  await a1.plane.hold([limited(secret)]);
  await scene.world.advance(1_000);
  assert.deepEqual([a2.holders(secret), b.holders(secret)], [1, 0]);
  await scene.world.advance(20 * RENEW_MS);
  assert.deepEqual([a2.holders(secret), signed(a1)], [1, 1]);
  a1.stop.abort();
  await scene.world.advance(KINDS.limited.validityMs - 1.3 * RENEW_MS);
  assert.equal(a2.holders(secret), 1);
  await scene.world.advance(2 * RENEW_MS);
  assert.equal(a2.holders(secret), 0);
  assert.equal(mentions(b.heard, ...needles(secret)), false);
  scene.end();
});

void test('it is withdrawn when it goes, when its audience changes, and when its reader changes', async () => {
  const { scene, a1, a2, b } = await zones();
  const known = async (): Promise<number[]> => {
    await scene.world.advance(5_000);
    return [a2.holders(secret), b.holders(secret)];
  };
  await a1.plane.hold([limited(secret)]);
  assert.deepEqual(await known(), [1, 0]);
  await a1.plane.hold([]);
  assert.deepEqual(await known(), [0, 0]);
  await a1.plane.hold([limited(secret)]);
  assert.deepEqual(await known(), [1, 0]);
  await a1.plane.hold([limited(secret, 'b')]);
  assert.deepEqual(await known(), [0, 1]);
  await a1.plane.hold([limited(secret, 'b')]);
  await a1.members.offerCredential(credentialFor(a2.wire.peer, { zone: 'b', iat: 2 }));
  assert.deepEqual(await known(), [1, 1], 'its new credential lets it know');
  await a1.plane.hold([secret]);
  assert.deepEqual(await known(), [1, 1], 'everybody may know');
  const told = signed(a1);
  await scene.world.advance(20 * RENEW_MS);
  assert.equal(signed(a1), told);
  for (const { records } of scene.planes) assert.ok(!records.some(event => event.event === 'statement.refused'));
  scene.end();
});

void test('a reader that is revoked, or may not fetch, is told nothing; a teller that is revoked is forgotten', async () => {
  const { scene, a1, a2 } = await zones();
  await a1.plane.hold([limited(secret)]);
  await scene.world.advance(1_000);
  await a2.members.revoke(a1.wire.peer);
  await scene.world.advance(200);
  assert.equal(a2.holders(secret), 0);
  const { scene: other, a1: from, a2: server } = await zones();
  await from.members.offerCredential(credentialFor(server.wire.peer, { zone: 'a', roles: ['serve'], iat: 2 }));
  await from.plane.hold([limited(secret)]);
  await other.world.advance(2 * RENEW_MS);
  assert.equal(mentions(server.heard, ...needles(secret)), false);
  scene.end();
  other.end();
});

void test('both ends start anew: a reader is told again, and of a teller that came back with less nothing old stays', async () => {
  const { scene, a1, a2 } = await zones();
  await a1.plane.hold([limited(secret)]);
  await scene.world.advance(1_000);
  a2.stop.abort();
  await a2.wire.close();
  const back = await scene.add(a1, { key: 2, start: 2, zone: 'a', address: a2.wire.addresses[0]! });
  await scene.world.advance(15_000);
  assert.equal(back.holders(secret), 1);
  a1.stop.abort();
  await a1.wire.close();
  await scene.add(back, { key: 1, start: 2, zone: 'a', address: a1.wire.addresses[0]! });
  await scene.world.advance(15_000);
  assert.equal(back.holders(secret), 0);
  scene.end();
});

void test('what cannot be recorded is not told, and what was told before is not renewed', async () => {
  const { scene, a1, a2 } = await zones();
  a1.failing = true;
  await a1.plane.hold([limited(secret)]).catch(() => undefined);
  await scene.world.advance(3 * RENEW_MS);
  assert.deepEqual([a2.holders(secret), mentions(a2.heard, ...needles(secret))], [0, false]);
  a1.failing = false;
  await scene.world.advance(2 * RENEW_MS);
  assert.equal(a2.holders(secret), 1);
  a1.failing = true;
  await a1.plane.hold([]).catch(() => undefined);
  await scene.world.advance(KINDS.limited.validityMs + RENEW_MS);
  assert.equal(a2.holders(secret), 0);
  scene.end();
});

void test('nothing is opened where nothing is limited, and numbers of other statements show no gap', async () => {
  const { scene, a1, a2, b } = await zones();
  const opened: string[] = [];
  for (const { wire } of scene.planes) {
    const plain = wire.open.bind(wire);
    wire.open = (peer, protocol, ...rest) => {
      opened.push(protocol);
      return plain(peer, protocol, ...rest);
    };
  }
  await a1.plane.hold([open]);
  await scene.world.advance(3 * RENEW_MS);
  assert.ok(opened.length > 0 && !opened.some(protocol => protocol.includes('limited')));
  await a1.plane.hold([open, limited(secret)]);
  await scene.world.advance(3 * RENEW_MS);
  assert.ok(opened.some(protocol => protocol.includes('limited')));
  assert.equal(a2.holders(secret), 1);
  const numbers = a1.records.flatMap(e => (e.event === 'statement.signed' && e.kind !== 'limited' ? [e.seq] : []));
  assert.deepEqual(
    numbers,
    numbers.map((_, at) => at + 1),
  );
  assert.equal(mentions(b.heard, '"limited"'), false);
  scene.end();
});

void test('a reader that never has enough is told four times, and then once a minute like others', async () => {
  const { scene, a1, a2 } = await zones();
  let asked = 0;
  a2.wire.handle(LIMITED_PROTOCOL, LIMITED_LIMITS, async stream => {
    asked += 1;
    await stream.receive();
    for (let i = 0; i < 9; i++) await stream.send(Uint8Array.of(SEND));
    while (await stream.receive().catch(() => undefined));
  });
  await a1.plane.hold([limited(secret)]);
  await scene.world.advance(0.9 * RENEW_MS);
  assert.ok(asked >= 2 && asked <= 8, `${asked} times`);
  await scene.world.advance(10 * RENEW_MS);
  assert.ok(asked <= 50, `${asked} times`);
  scene.end();
});

void test('a reader that takes its time gets what it may know when it asks, not what it might have known before', async () => {
  const { scene, a1, a2 } = await zones();
  const lists: Uint8Array[] = [];
  a2.wire.handle(LIMITED_PROTOCOL, LIMITED_LIMITS, async stream => {
    await stream.receive();
    await scene.world.sleep(5_000);
    await stream.send(Uint8Array.of(SEND));
    const list = await stream.receive();
    if (list) lists.push(list);
    await stream.send(Uint8Array.of(KNOWN));
  });
  await a1.plane.hold([limited(secret), limited(open)]);
  await scene.world.advance(2_000);
  await a1.plane.hold([limited(secret, 'b'), limited(open)]);
  await scene.world.advance(30_000);
  assert.equal(mentions(lists, open.digest), true);
  assert.equal(mentions(lists, secret.digest), false);
  scene.end();
});

void test('a node of the older version hears nothing of it, goes on with the rest, and accuses nobody', async () => {
  const scene = new Scene();
  const a1 = await scene.add(undefined, { zone: 'a' });
  const old = await scene.add(a1, { zone: 'a', older: ['limited', 'policy', 'referrers'] });
  const a2 = await scene.add(old, { zone: 'a' });
  await scene.world.advance(5_000);
  await a1.plane.hold([open, limited(secret)]);
  await scene.world.advance(3 * RENEW_MS);
  assert.deepEqual([a2.holders(secret), old.holders(secret), old.holders(open)], [1, 0, 1]);
  assert.equal(mentions(old.heard, ...needles(secret)), false);
  for (const { records, wire } of scene.planes) {
    assert.ok(!records.some(event => event.event === 'statement.refused' || event.event === 'peer.refused'));
    assert.equal(new Set(wire.links().map(link => link.peer)).size, 2);
  }
  scene.end();
});

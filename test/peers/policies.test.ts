/** Policy bundles among nodes: small or large they reach everybody, only newer ones, and older nodes hear nothing of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { GOSSIP_ITEM_MAX_BYTES, POLICY_TOPIC } from '../../src/peers/gossip.ts';
import { encodeItem, POLICY_MAX_BYTES } from '../../src/peers/intake.ts';
import {
  encodePolicyHead,
  parsePolicyHead,
  POLICY_AGAIN_MS,
  POLICY_PROTOCOL,
} from '../../src/peers/policy-exchange.ts';
import { RENEW_MS } from '../../src/peers/stating.ts';
import { mentions } from '../support/tapped-wire.ts';
import { type Plane, Scene } from './scene.ts';

/** A bundle as `FakeMembers` reads it, of at least `size` bytes. */
const bundle = (serial: number, size = 0): Uint8Array =>
  Buffer.from(JSON.stringify({ serial, text: 'a policy '.repeat(Math.ceil(size / 9)) }));
const serials = (planes: readonly Plane[]): (number | undefined)[] =>
  planes.map(({ members }) => members.policy?.serial);
const refusals = ({ records }: Plane): string[] =>
  records.flatMap(e => (e.event === 'statement.refused' ? [`${e.kind} ${e.code}`] : []));
/** Items of bundles in what a node received. */
const bundlesIn = ({ heard }: Plane): number => heard.filter(([type]) => type === 0x70).length;

async function cluster(count: number): Promise<Scene> {
  const scene = new Scene();
  const first = await scene.add();
  for (let i = 1; i < count; i++) await scene.add(first);
  await scene.world.advance(10_000);
  return scene;
}

for (const [what, size] of [
  ['small', 100],
  ['too large for gossip', 3 << 20],
] as const)
  void test(`a bundle that is ${what} is in force everywhere within seconds, and with whoever comes later`, async () => {
    const scene = await cluster(6);
    await scene.planes[2]!.members.offerPolicy(bundle(3, size));
    await scene.world.advance(10_000);
    assert.deepEqual(serials(scene.planes), [3, 3, 3, 3, 3, 3]);
    const late = await scene.add(scene.planes[0]);
    await scene.world.advance(10_000);
    assert.equal(late.members.policy?.serial, 3);
    await scene.planes[4]!.members.offerPolicy(bundle(4, size));
    await scene.world.advance(10_000);
    assert.deepEqual(new Set(serials(scene.planes)), new Set([4]));
    for (const plane of scene.planes) assert.deepEqual(refusals(plane), []);
    scene.end();
  });

void test('a bundle that nobody told the node of goes round within a minute', async () => {
  const scene = await cluster(3);
  scene.planes[1]!.members.policy = { serial: 2, bytes: bundle(2) };
  await scene.world.advance(1.2 * RENEW_MS);
  assert.deepEqual(serials(scene.planes), [2, 2, 2]);
  scene.end();
});

void test('nodes with the same bundle, or none, send none', async () => {
  const scene = await cluster(3);
  await scene.world.advance(3 * RENEW_MS);
  assert.deepEqual(scene.planes.map(bundlesIn), [0, 0, 0]);
  await scene.planes[0]!.members.offerPolicy(bundle(1, GOSSIP_ITEM_MAX_BYTES));
  await scene.world.advance(10_000);
  const before = scene.planes.map(bundlesIn);
  await scene.world.advance(5 * RENEW_MS);
  assert.deepEqual(scene.planes.map(bundlesIn), before);
  const [a, b] = scene.planes as [Plane, Plane];
  const limits = { maxFrame: 1 + POLICY_MAX_BYTES, maxInbound: 1 };
  for (const [serial, frames] of [
    [0, 2],
    [1, 1],
    [2, 1],
  ] as const) {
    const stream = await b.wire.open(a.wire.peer, POLICY_PROTOCOL, limits, b.stop.signal);
    await stream.send(encodePolicyHead(serial));
    await stream.close();
    let got = 0;
    while (await stream.receive().catch(() => undefined)) got += 1;
    assert.equal(got, frames, `to who has ${serial}`);
  }
  scene.end();
});

void test('what is no bundle, is older, or too large is refused and recorded, and goes no further', async () => {
  const scene = await cluster(3);
  const [victim, evil, friend] = scene.planes as [Plane, Plane, Plane];
  await victim.members.offerPolicy(bundle(5));
  await scene.world.advance(5_000);
  const before = bundlesIn(friend);
  for (const item of [encodeItem('policy', 'nonsense'), encodeItem('policy', bundle(4)), encodeItem('roster', 'x')])
    await victim.wire.heard(evil.wire.peer, POLICY_TOPIC, item);
  await scene.world.settle();
  assert.deepEqual(refusals(victim).sort(), [
    'policy BUNDLE_INVALID',
    'policy BUNDLE_INVALID',
    'policy POLICY_ROLLBACK',
  ]);
  assert.equal(
    victim.records.every(e => e.event !== 'statement.refused' || e.peer === evil.wire.peer),
    true,
  );
  assert.deepEqual([serials(scene.planes), bundlesIn(friend)], [[5, 5, 5], before]);
  // Among other items it is of no known type.
  await victim.wire.heard(evil.wire.peer, 'pinnace/1', encodeItem('policy', bundle(6)));
  await scene.world.settle();
  assert.deepEqual([refusals(victim).at(-1), victim.members.policy?.serial], ['item FRAME_INVALID', 5]);
  // A member that says it has more than it has, and brings too much.
  evil.members.policy = { serial: 99, bytes: Buffer.alloc(POLICY_MAX_BYTES, 0x20) };
  await scene.world.advance(1.2 * RENEW_MS);
  assert.ok(refusals(victim).length > 4 && victim.members.policy?.serial === 5);
  scene.end();
});

void test('a node of the older version hears nothing of it, and bundles pass it by', async () => {
  const scene = new Scene();
  const a = await scene.add();
  const old = await scene.add(a, { older: ['policy', 'limited', 'referrers'] });
  const b = await scene.add(old);
  await scene.world.advance(10_000);
  await a.members.offerPolicy(bundle(1, 200));
  await scene.world.advance(2 * RENEW_MS);
  await b.members.offerPolicy(bundle(2, 100_000));
  await scene.world.advance(3 * RENEW_MS);
  assert.deepEqual(serials([a, old, b]), [2, undefined, 2]);
  assert.equal(mentions(old.heard, 'a policy', '"policy"'), false);
  for (const plane of scene.planes) {
    assert.deepEqual(refusals(plane), []);
    assert.ok(!plane.records.some(event => event.event === 'peer.refused'));
  }
  scene.end();
});

void test('a bundle that did not hold is not taken again from the same peer until the roster changes, or ten minutes later', async () => {
  const scene = await cluster(2);
  const [victim, evil] = scene.planes as [Plane, Plane];
  evil.members.policy = { serial: 9, bytes: Buffer.alloc(GOSSIP_ITEM_MAX_BYTES + 1, 0x20) };
  await scene.world.advance(4 * RENEW_MS);
  assert.deepEqual(refusals(victim), ['policy BUNDLE_INVALID']);
  await victim.members.revoke();
  await scene.world.advance(2 * RENEW_MS);
  assert.equal(refusals(victim).length, 2);
  await scene.world.advance(POLICY_AGAIN_MS);
  assert.equal(refusals(victim).length, 3);
  evil.members.policy = { serial: 10, bytes: bundle(10, GOSSIP_ITEM_MAX_BYTES + 1) };
  await scene.world.advance(2 * RENEW_MS);
  assert.equal(victim.members.policy?.serial, 10, 'another one is looked at');
  scene.end();
});

void test('a head has one spelling', () => {
  assert.equal(Buffer.from(encodePolicyHead(12)).toString(), '{"policy":1,"serial":12}');
  for (const serial of [0, 1, Number.MAX_SAFE_INTEGER]) assert.equal(parsePolicyHead(encodePolicyHead(serial)), serial);
  for (const text of [
    '',
    '{"policy":2,"serial":1}',
    '{"policy":1,"serial":-1}',
    '{"policy":1,"serial":9007199254740993}',
  ])
    assert.throws(
      () => parsePolicyHead(Buffer.from(text)),
      error => hasCode(error, 'FRAME_INVALID'),
    );
});

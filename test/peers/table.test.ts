/** The table: what counts, in which order it is judged, and what it refuses by which code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import { type Digest, parseTagReference, type PeerId } from '../../src/oci/oci.ts';
import type { Body } from '../../src/peers/bodies.ts';
import { encodeSigned, KINDS, signStatement, type Statement } from '../../src/peers/envelope.ts';
import { Table, type Outcome, type Way } from '../../src/peers/table.ts';
import { readRecords } from '../../src/peers/records.ts';
import type { Root } from '../../src/proof/proof.ts';
import { memoryKeep } from '../support/cluster.ts';
import { credentialFor, FakeMembers, ownKey, peerOf, verifyPeer } from '../support/fake-peers.ts';
import { simulatedWorld } from '../support/simulated-world.ts';
import { CLOCK_SKEW_MS } from '../../src/world.ts';

const key = (n: number): ReturnType<typeof ownKey> => ownKey(Buffer.alloc(32, n));
const [me, alice, bob, stranger] = [key(1), key(2), key(3), key(4)];
const digest = (n: number): Digest => `sha256:${n.toString(16).padStart(64, '0')}` as Digest;
const holding = (n: number, root = '1'): { digest: Digest; size: number; root: Root } => ({
  digest: digest(n),
  size: n,
  root: root.repeat(64) as Root,
});

async function ground(): Promise<{
  table: Table;
  world: ReturnType<typeof simulatedWorld>;
  members: FakeMembers;
  give: Give;
}> {
  const world = simulatedWorld();
  const members = new FakeMembers();
  for (const peer of [me.peer, alice.peer, bob.peer]) await members.admit(credentialFor(peer), peer);
  const table = new Table({ world, self: me.peer, members, verify: verifyPeer });
  const give: Give = (body, seq, { start = 1, by = alice, from = by.peer, way = 'gossip', notAfter } = {}) => {
    const ends = notAfter ?? world.now() + KINDS[body.kind].validityMs;
    const statement = { ...body, signer: by.peer, start, seq, notAfter: ends } as Statement;
    return table.offer(encodeSigned(signStatement(statement, bytes => by.sign(bytes))), from, way).outcome;
  };
  return { table, world, members, give };
}
type Give = (
  body: Body,
  seq: number,
  how?: { start?: number; by?: typeof alice; from?: PeerId; way?: Way; notAfter?: number },
) => Outcome;

const node = (port = 1): Body => ({ kind: 'node', body: { addresses: ['10.0.0.1:5001'], lanePort: port } });
const snapshot = (...ns: number[]): Body => ({ kind: 'holdings', body: { entries: ns.map(n => holding(n)) } });
const delta = (after: number, add: number[], drop: number[]): Body => ({
  kind: 'holdings-delta',
  body: { after, add: add.map(n => holding(n)), drop: drop.map(digest) },
});
const head = (of: number): Body => ({ kind: 'holdings-head', body: { of } });
const tags = (observedAt: number, renewedAt = observedAt): Body => ({
  kind: 'tags',
  body: { tags: [{ reference: parseTagReference('r.example/a:1'), digest: digest(1), observedAt, renewedAt }] },
});
const refuses = (code: Code, work: () => unknown): void => assert.throws(work, error => hasCode(error, code));

void test('a newer statement takes the place of the older one of its kind and signer', async () => {
  const { table, give } = await ground();
  assert.equal(give(node(1), 1), 'taken');
  assert.equal(give(node(2), 2), 'taken');
  assert.equal(give(node(3), 1, { start: 2 }), 'taken');
  assert.equal(give(node(9), 1, { by: bob }), 'taken');
  assert.equal(table.nodes.get(alice.peer)?.body.lanePort, 3);
  assert.equal(table.nodes.get(bob.peer)?.body.lanePort, 9);
});

void test('the same bytes again are known; others under their number are a replay', async () => {
  const { give, table } = await ground();
  give(node(1), 5);
  assert.equal(give(node(1), 5), 'known');
  refuses('STATEMENT_REPLAYED', () => give(node(2), 5));
  assert.equal(table.nodes.get(alice.peer)?.body.lanePort, 1);
});

void test('an earlier start, and an older number from the signer itself, are replays; from others it came late', async () => {
  const { give } = await ground();
  give(node(1), 5, { start: 2 });
  refuses('STATEMENT_REPLAYED', () => give(node(1), 9, { start: 1, from: bob.peer }));
  refuses('STATEMENT_REPLAYED', () => give(node(1), 4, { start: 2 }));
  assert.equal(give(node(1), 4, { start: 2, from: bob.peer }), 'known');
  assert.equal(give(node(1), 4, { start: 2, way: 'sync' }), 'known');
});

void test('what is dated ahead of the clock by more than the skew is refused', async () => {
  const { give, world } = await ground();
  const most = world.now() + KINDS.node.validityMs + CLOCK_SKEW_MS;
  assert.equal(give(node(), 1, { notAfter: most }), 'taken');
  refuses('STATEMENT_FUTURE', () => give(node(), 2, { notAfter: most + 1 }));
  refuses('STATEMENT_FUTURE', () => give(tags(world.now() + CLOCK_SKEW_MS + 1), 3));
  refuses('STATEMENT_FUTURE', () => give(tags(1, world.now() + CLOCK_SKEW_MS + 1), 3));
  assert.equal(give(tags(1, world.now() + CLOCK_SKEW_MS), 3), 'taken');
});

void test('what ended is refused, but a snapshot in a sync waits for its head', async () => {
  const { table, give, world } = await ground();
  refuses('STATEMENT_REPLAYED', () => give(node(), 1, { notAfter: world.now() }));
  refuses('STATEMENT_REPLAYED', () => give(snapshot(1), 1, { notAfter: world.now() }));
  assert.equal(give(snapshot(1), 1, { notAfter: world.now(), way: 'sync' }), 'taken');
  assert.equal(table.holdings.find(digest(1), world.now()).length, 0);
  assert.equal(give(head(1), 2), 'taken');
  assert.equal(table.holdings.find(digest(1), world.now()).length, 1);
});

void test('a signature by another key is refused, whoever brings it', async () => {
  const { table, world } = await ground();
  const statement = { ...node(), signer: alice.peer, start: 1, seq: 1, notAfter: world.now() + 1000 } as Statement;
  const forged = encodeSigned(signStatement(statement, bytes => bob.sign(bytes)));
  refuses('STATEMENT_INVALID', () => table.offer(forged, bob.peer, 'gossip'));
  assert.equal(table.nodes.get(alice.peer), undefined);
});

void test('a statement counts only beside a credential that holds', async () => {
  const { table, members, give } = await ground();
  assert.equal(give(node(), 1, { by: stranger }), 'unsigned');
  await members.admit(credentialFor(stranger.peer), stranger.peer);
  assert.equal(give(node(), 1, { by: stranger }), 'taken');
  await members.revoke(stranger.peer);
  table.forget(stranger.peer);
  assert.equal(give(node(), 2, { by: stranger }), 'unsigned');
  assert.equal(table.nodes.get(stranger.peer), undefined);
});

void test('what others say in the name of this node is not believed', async () => {
  const { table, give } = await ground();
  assert.equal(give(node(), 99, { by: me, from: bob.peer }), 'known');
  assert.equal(table.nodes.get(me.peer), undefined);
});

void test('holdings follow snapshot, delta and head, and a gap is not guessed over', async () => {
  const { table, give, world } = await ground();
  const holders = (n: number): number => table.holdings.find(digest(n), world.now()).length;
  assert.equal(give(delta(1, [2], []), 2), 'ahead');
  assert.equal(give(snapshot(1, 2), 3), 'taken');
  assert.equal(give(delta(3, [5], [1]), 4), 'taken');
  assert.deepEqual([1, 2, 5].map(holders), [0, 1, 1]);
  assert.equal(give(delta(3, [6], []), 5), 'ahead');
  assert.equal(give(head(3), 6), 'ahead');
  assert.equal(give(head(4), 7), 'taken');
  await world.advance(KINDS.holdings.validityMs);
  assert.deepEqual([1, 2, 5].map(holders), [0, 0, 0], 'five minutes after the last head nothing counts');
  assert.equal(give(head(4), 8), 'taken');
  assert.deepEqual([1, 2, 5].map(holders), [0, 1, 1]);
  assert.equal(give(snapshot(7), 1, { start: 2 }), 'taken');
  assert.deepEqual([2, 5, 7].map(holders), [0, 0, 1]);
});

void test('a signer that states more than its rate is refused, and only with its own signature', async () => {
  const { table, give, world } = await ground();
  const forged = { ...node(), signer: alice.peer, start: 1, seq: 1000, notAfter: world.now() + 1000 } as Statement;
  const bytes = encodeSigned(signStatement(forged, b => bob.sign(b)));
  for (let i = 0; i < 200; i++) refuses('STATEMENT_INVALID', () => table.offer(bytes, bob.peer, 'gossip'));
  for (let seq = 1; seq <= 120; seq++) assert.equal(give(node(), seq), 'taken');
  refuses('LIMIT_EXCEEDED', () => give(node(), 121));
  await world.advance(1000);
  assert.equal(give(node(), 121), 'taken');
});

void test('a file of records that was cut off is read up to its last whole statement', async () => {
  const { table, give } = await ground();
  give(node(), 1);
  give(node(), 1, { by: bob });
  const file = table.nodes.file();
  assert.equal((await readRecords(memoryKeep(file))).length, 2);
  for (const cut of [1, 30, 200])
    assert.equal((await readRecords(memoryKeep(file.subarray(0, file.length - cut)))).length, 1);
  assert.equal((await readRecords(memoryKeep(file.subarray(0, 10)))).length, 0);
  assert.equal((await readRecords(memoryKeep(Buffer.from('something else entirely\n')))).length, 0);
  assert.equal((await readRecords(memoryKeep())).length, 0);
  const newer = Buffer.concat([Buffer.from('pinnace/statements/2\n'), file.subarray(21)]);
  await assert.rejects(readRecords(memoryKeep(newer)), { code: 'STATE_NEWER' });
  const again = await ground();
  for (const bytes of await readRecords(memoryKeep(file)))
    assert.equal(again.table.offer(bytes, me.peer, 'disk').outcome, 'taken');
  assert.equal(again.table.nodes.get(bob.peer)?.body.lanePort, 1);
});

void test('tags are found by name and go when their statement does', async () => {
  const { table, give, world } = await ground();
  const reference = parseTagReference('r.example/a:1');
  give(tags(5), 1);
  give(tags(6), 1, { by: bob });
  assert.deepEqual([...table.tagIndex.find(reference).keys()], [alice.peer, bob.peer]);
  give({ kind: 'tags', body: { tags: [] } }, 2);
  assert.deepEqual([...table.tagIndex.find(reference).keys()], [bob.peer]);
  await world.advance(KINDS.tags.validityMs + 1);
  table.sweep();
  assert.equal(table.tagIndex.find(reference).size, 0);
});

void test('the peer id of a key carries the key', () => {
  assert.match(peerOf(Buffer.alloc(32, 9)), /^12D3KooW/);
});

void test('after a silence so long that its state was forgotten, a node is understood again by what it said before', async () => {
  const { table, world, give } = await ground();
  const old = world.now() + KINDS.holdings.validityMs;
  assert.equal(give(snapshot(1), 1), 'taken');
  assert.equal(give(head(1), 2), 'taken');
  await world.advance(3_600_000);
  table.sweep();
  assert.equal(table.holdings.mark(alice.peer), undefined);
  assert.equal(give(head(1), 3), 'ahead');
  assert.equal(give(snapshot(1), 1, { way: 'sync', from: bob.peer, notAfter: old }), 'taken');
  assert.equal(table.holdings.find(digest(1), world.now()).length, 0, 'it counts for nothing yet');
  assert.equal(give(head(1), 3), 'taken');
  assert.equal(table.holdings.find(digest(1), world.now()).length, 1);
});

void test('a node whose own clock leapt keeps what it said, so that others understand its next head', async () => {
  const { table, world, give } = await ground();
  give(snapshot(1), 1, { by: me, way: 'own' });
  await world.advance(3_600_000);
  table.sweep();
  assert.equal(give(head(1), 2, { by: me, way: 'own' }), 'taken');
  assert.equal([...table.holdings.lacking(me.peer)].length, 2);
});

void test('who is shut out and comes back with the same key is known again by its newest statements, and by none before', async () => {
  const { table, give, world } = await ground();
  for (const [body, seq] of [
    [node(1), 1],
    [node(2), 2],
    [tags(5), 3],
    [snapshot(1), 4],
    [head(4), 5],
  ] as const)
    assert.equal(give(body, seq), 'taken');
  for (let again = 0; again < 4; again++) table.forget(alice.peer);
  const bySync = { way: 'sync', from: bob.peer } as const;
  assert.equal(give(node(1), 1, bySync), 'known');
  for (const [body, seq] of [
    [node(2), 2],
    [tags(5), 3],
    [snapshot(1), 4],
    [head(4), 5],
  ] as const)
    assert.equal(give(body, seq, bySync), 'taken');
  assert.equal(table.nodes.get(alice.peer)?.body.lanePort, 2);
  assert.equal(table.holdings.find(digest(1), world.now()).length, 1);
});

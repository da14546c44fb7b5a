/** Limited holdings as their reader judges them: signed for this node, by the end of the link, newer, in time, within caps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import type { PeerId } from '../../src/oci/oci.ts';
import { encodeSigned, KINDS, signStatement, type Statement } from '../../src/peers/envelope.ts';
import { encodeMark, parseMark } from '../../src/peers/hearing.ts';
import type { Holding } from '../../src/peers/peers.ts';
import { Table } from '../../src/peers/table.ts';
import { CLOCK_SKEW_MS } from '../../src/world.ts';
import { credentialFor, FakeMembers, ownKey, verifyPeer } from '../support/fake-peers.ts';
import { simulatedWorld } from '../support/simulated-world.ts';
import { content, holdings } from './ground.ts';

const [me, teller, other] = [1, 2, 3].map(n => ownKey(Buffer.alloc(32, n)));
const VALIDITY_MS = KINDS.limited.validityMs;

async function scene() {
  const world = simulatedWorld();
  const members = new FakeMembers();
  for (const { peer } of [me!, teller!, other!]) await members.admit(credentialFor(peer), peer);
  const table = new Table({ world, self: me!.peer, members, verify: verifyPeer });
  const say = (entries: readonly Holding[], seq: number, how: How = {}): Uint8Array => {
    const { signer = teller!.peer, audience = me!.peer, start = 1, notAfter = world.now() + VALIDITY_MS } = how;
    const sorted = [...entries].sort((a, b) => (a.digest < b.digest ? -1 : 1));
    const body = { audience, entries: sorted };
    const statement: Statement = { kind: 'limited', signer, start, seq, notAfter, body };
    return encodeSigned(signStatement(statement, bytes => (how.key ?? teller!).sign(bytes)));
  };
  const found = (holding: Holding): string[] =>
    table.holdings.find(holding.digest, world.now()).map(({ peer, holding: { root } }) => `${peer} ${root}`);
  return { world, members, table, say, found };
}

interface How {
  readonly signer?: PeerId;
  readonly audience?: PeerId;
  readonly start?: number;
  readonly notAfter?: number;
  readonly key?: ReturnType<typeof ownKey>;
}

const refuses = (work: () => unknown, code: Code): void => assert.throws(work, error => hasCode(error, code));
const [a, b] = [content(1).holding, content(2).holding] as const;

void test('what a peer tells this node alone is found, is replaced whole, and is said again bit by bit', async () => {
  const { table, say, found, world } = await scene();
  const bytes = say([a], 1);
  table.limited.take(bytes, teller!.peer);
  assert.deepEqual(found(a), [`${teller!.peer} ${a.root}`]);
  const [one] = table.holdings.find(a.digest, world.now());
  assert.deepEqual(Buffer.from(one!.statement()), Buffer.from(bytes));
  assert.equal(table.limited.count(teller!.peer, world.now()), 1);
  table.limited.take(say([b], 2), teller!.peer);
  assert.deepEqual([found(a), found(b).length], [[], 1]);
  assert.deepEqual(Buffer.from(one!.statement()), Buffer.from(bytes), 'evidence that was taken stays');
  table.limited.take(say([], 3), teller!.peer);
  assert.deepEqual(found(b), []);
});

void test('nobody tells what another signed, nobody is told what is for another, and no key stands for another', async () => {
  const { table, say } = await scene();
  refuses(() => table.limited.take(say([a], 1), other!.peer), 'STATEMENT_INVALID');
  refuses(() => table.limited.take(say([a], 1, { signer: other!.peer }), teller!.peer), 'STATEMENT_INVALID');
  refuses(() => table.limited.take(say([a], 1, { audience: other!.peer }), teller!.peer), 'STATEMENT_INVALID');
  refuses(() => table.limited.take(say([a], 1, { key: other! }), teller!.peer), 'STATEMENT_INVALID');
  const { signer, ...node } = { signer: teller!.peer, start: 1, seq: 1, notAfter: 2 ** 42 };
  const record: Statement = { kind: 'node', signer, ...node, body: { addresses: [], lanePort: 1 } };
  const wrong = encodeSigned(signStatement(record, bytes => teller!.sign(bytes)));
  refuses(() => table.limited.take(wrong, teller!.peer), 'STATEMENT_INVALID');
});

void test('gossip, syncs and disks carry none of it, not even from its signer to its reader', async () => {
  const { table, say, found } = await scene();
  for (const way of ['gossip', 'sync', 'disk'] as const) {
    refuses(() => table.offer(say([a], 1), teller!.peer, way), 'STATEMENT_INVALID');
    refuses(() => table.offer(say([a], 1, { audience: other!.peer }), teller!.peer, way), 'STATEMENT_INVALID');
  }
  assert.deepEqual(found(a), []);
});

void test('what is old, ended or dated ahead is refused', async () => {
  const { table, say, world } = await scene();
  const take = (bytes: Uint8Array): void => table.limited.take(bytes, teller!.peer);
  take(say([a], 5, { start: 2 }));
  for (const again of [say([b], 5, { start: 2 }), say([b], 4, { start: 2 }), say([b], 9, { start: 1 })])
    refuses(() => take(again), 'STATEMENT_REPLAYED');
  refuses(() => take(say([b], 6, { start: 2, notAfter: world.now() })), 'STATEMENT_REPLAYED');
  const ahead = world.now() + VALIDITY_MS + CLOCK_SKEW_MS + 1;
  refuses(() => take(say([b], 6, { start: 2, notAfter: ahead })), 'STATEMENT_FUTURE');
});

void test('it ends five minutes after its last renewal, and a renewal names exactly the newest', async () => {
  const { table, say, found, world } = await scene();
  const { limited } = table;
  limited.take(say([a], 7, { start: 3 }), teller!.peer);
  await world.advance(VALIDITY_MS - 1_000);
  assert.equal(limited.renew(teller!.peer, { start: 3, seq: 6 }), false);
  assert.equal(limited.renew(teller!.peer, { start: 2, seq: 7 }), false);
  assert.equal(limited.renew(other!.peer, { start: 3, seq: 7 }), false);
  assert.equal(limited.renew(teller!.peer, { start: 3, seq: 7 }), true);
  await world.advance(VALIDITY_MS - 1_000);
  assert.equal(found(a).length, 1);
  await world.advance(1_001);
  assert.deepEqual([found(a), limited.count(teller!.peer, world.now())], [[], 0]);
  table.sweep();
  assert.equal(limited.renew(teller!.peer, { start: 3, seq: 7 }), false, 'it is forgotten');
});

void test('it ends with its signer, and when its signer started anew', async () => {
  const { table, say, found, world } = await scene();
  table.limited.take(say([a], 1), teller!.peer);
  table.forget(teller!.peer);
  assert.deepEqual(found(a), []);
  table.limited.take(say([a], 1), teller!.peer);
  const body = { addresses: [], lanePort: 1 };
  const started: Statement = { kind: 'node', signer: teller!.peer, start: 2, seq: 1, notAfter: world.now() + 1, body };
  table.offer(encodeSigned(signStatement(started, bytes => teller!.sign(bytes))), teller!.peer, 'gossip');
  assert.deepEqual(found(a), []);
  refuses(() => table.limited.take(say([a], 2), teller!.peer), 'STATEMENT_REPLAYED');
});

void test('no node vouches twice: what it tells everybody and this node counts once, as everybody hears it', async () => {
  const { table, say, found, world } = await scene();
  const lie = { ...a, root: b.root };
  const entries = [a];
  const statement: Statement = {
    kind: 'holdings',
    signer: teller!.peer,
    start: 1,
    seq: 1,
    notAfter: world.now() + 1_000,
    body: { entries },
  };
  table.offer(encodeSigned(signStatement(statement, bytes => teller!.sign(bytes))), teller!.peer, 'gossip');
  for (const [seq, told] of [a, lie].entries()) {
    table.limited.take(say([told], seq + 1), teller!.peer);
    assert.deepEqual(found(a), [`${teller!.peer} ${a.root}`]);
  }
});

void test('it counts within the cap of all holdings, and what does not fit changes nothing', async () => {
  const { table, say, found, world } = await scene();
  const root = a.root;
  const digest = (n: number): Holding['digest'] => `sha256:${n.toString(16).padStart(64, '0')}` as Holding['digest'];
  for (let peer = 0; peer < 16; peer++) {
    const entries = Array.from({ length: 16_384 }, (_, i) => ({ digest: digest(peer * 16_384 + i), size: 1, root }));
    const header = { signer: `peer ${peer}` as PeerId, start: 1, seq: 1, notAfter: world.now() + 60_000 };
    const statement: Statement = { ...header, kind: 'holdings', body: { entries } };
    table.holdings.take({ statement, signature: new Uint8Array(64) });
  }
  refuses(() => table.limited.take(say([a], 1), teller!.peer), 'LIMIT_EXCEEDED');
  assert.deepEqual(found(a), []);
  table.holdings.forget('peer 3' as PeerId);
  table.limited.take(say([a, ...holdings(20, 50)], 1), teller!.peer);
  assert.equal(found(a).length, 1);
});

void test('a mark has one spelling', () => {
  const mark = { start: 1_800_000_000, seq: 3 };
  assert.deepEqual(parseMark(encodeMark(mark)), mark);
  assert.equal(Buffer.from(encodeMark(mark)).toString(), '{"limited":1,"start":1800000000,"seq":3}');
  for (const text of ['', '{}', '{"limited":2,"start":1,"seq":1}', '{"limited":1,"start":01,"seq":1}'])
    refuses(() => parseMark(Buffer.from(text)), 'FRAME_INVALID');
  for (const text of [' {"limited":1,"start":1,"seq":1}', '{"limited":1,"start":1,"seq":1}\n'])
    refuses(() => parseMark(Buffer.from(text)), 'FRAME_INVALID');
  refuses(() => parseMark(Buffer.from('{"limited":1,"start":1,"seq":9007199254740993}')), 'FRAME_INVALID');
});

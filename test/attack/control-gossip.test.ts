/** A member whose gossip knows no bounds: too large, too often. The wire is in memory, so that nothing of its own stops it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Body } from '../../src/peers/bodies.ts';
import { encodeSigned, KINDS, signStatement, type Statement } from '../../src/peers/envelope.ts';
import { Gossip, GOSSIP_ITEM_MAX_BYTES, GOSSIP_RATE, TOPIC } from '../../src/peers/gossip.ts';
import { encodeItem, Intake, type Taken } from '../../src/peers/intake.ts';
import type { ControlEvent } from '../../src/peers/peers.ts';
import { Table } from '../../src/peers/table.ts';
import { credentialFor, FakeMembers, ownKey, verifyPeer } from '../support/fake-peers.ts';
import { MemoryNetwork, type MemoryWire } from '../support/memory-wire.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

const [me, evil, third] = [1, 2, 3].map(n => ownKey(Buffer.alloc(32, n))) as [
  ReturnType<typeof ownKey>,
  ReturnType<typeof ownKey>,
  ReturnType<typeof ownKey>,
];

async function ground(): Promise<{
  wire: MemoryWire;
  attacker: MemoryWire;
  passedOn: Uint8Array[];
  records: ControlEvent[];
  taken: Taken[];
  world: ReturnType<typeof simulatedWorld>;
  say: (body: Body, seq: number) => Uint8Array;
}> {
  const world = simulatedWorld();
  const members = new FakeMembers();
  for (const { peer } of [me, evil, third]) await members.admit(credentialFor(peer), peer);
  const network = new MemoryNetwork();
  const welcome = async (): Promise<void> => undefined;
  const [wire, attacker, other] = [me, evil, third].map(({ peer }) => network.wire(peer, welcome)) as [
    MemoryWire,
    MemoryWire,
    MemoryWire,
  ];
  const signal = new AbortController().signal;
  await attacker.dial(wire.addresses[0]!, signal);
  await other.dial(wire.addresses[0]!, signal);
  const passedOn: Uint8Array[] = [];
  other.subscribe(TOPIC, async (_from, message) => {
    passedOn.push(message);
    return 'ignore';
  });
  const records: ControlEvent[] = [];
  const taken: Taken[] = [];
  const table = new Table({ world, self: me.peer, members, verify: verifyPeer });
  const intake = new Intake({ members, table, record: async event => void records.push(event) });
  new Gossip({ world, wire, intake, log: () => undefined, taken: what => void taken.push(what) }).start();
  const say = (body: Body, seq: number): Uint8Array => {
    const statement = {
      ...body,
      signer: evil.peer,
      start: 1,
      seq,
      notAfter: world.now() + KINDS[body.kind].validityMs,
    } as Statement;
    return encodeItem('statement', encodeSigned(signStatement(statement, bytes => evil.sign(bytes))));
  };
  return { wire, attacker, passedOn, records, taken, world, say };
}

const node = (port: number): Body => ({ kind: 'node', body: { addresses: [], lanePort: port } });
const codes = (records: readonly ControlEvent[]): string[] =>
  records.flatMap(e => (e.event === 'statement.refused' ? [`${e.kind} ${e.code} ${e.peer === evil.peer}`] : []));

void test('what holds is taken and passed on once', async () => {
  const { wire, passedOn, taken, records, say } = await ground();
  const item = say(node(1), 1);
  await wire.heard(evil.peer, TOPIC, item);
  await wire.heard(evil.peer, TOPIC, item);
  assert.deepEqual(
    passedOn.map(message => Buffer.from(message)),
    [Buffer.from(item)],
  );
  assert.deepEqual(
    taken.map(what => what.outcome),
    ['taken'],
  );
  assert.deepEqual(records, []);
});

void test('a message over the bound is refused, recorded and not passed on', async () => {
  const { wire, passedOn, records, taken } = await ground();
  await wire.heard(evil.peer, TOPIC, new Uint8Array(GOSSIP_ITEM_MAX_BYTES + 1).fill(0x73));
  assert.deepEqual(codes(records), ['gossip LIMIT_EXCEEDED true']);
  assert.deepEqual([passedOn, taken], [[], []]);
});

void test('who floods is recorded and cut off, and what it says is dropped', async () => {
  const { wire, records, passedOn } = await ground();
  for (let i = 0; i < GOSSIP_RATE.burst; i++) await wire.heard(evil.peer, TOPIC, Buffer.from(`c no credential ${i}`));
  const before = codes(records).length;
  assert.ok(wire.links().some(link => link.peer === evil.peer));
  await wire.heard(evil.peer, TOPIC, Buffer.from('one more'));
  assert.deepEqual(codes(records).slice(before), ['gossip LIMIT_EXCEEDED true']);
  assert.ok(wire.links().every(link => link.peer !== evil.peer));
  assert.deepEqual(passedOn, []);
});

void test('forged, replayed and future statements are recorded and not passed on', async () => {
  const { wire, passedOn, records, say, world } = await ground();
  const forged = Buffer.from(say(node(1), 1));
  forged[20] = forged[20]! ^ 1;
  await wire.heard(evil.peer, TOPIC, forged);
  await wire.heard(evil.peer, TOPIC, say(node(2), 2));
  await wire.heard(evil.peer, TOPIC, say(node(1), 1));
  const late = {
    kind: 'node',
    body: { addresses: [], lanePort: 1 },
    signer: evil.peer,
    start: 1,
    seq: 9,
    notAfter: world.now() + 2 * KINDS.node.validityMs,
  } as const;
  await wire.heard(
    evil.peer,
    TOPIC,
    encodeItem('statement', encodeSigned(signStatement(late, bytes => evil.sign(bytes)))),
  );
  assert.deepEqual(codes(records), [
    'node STATEMENT_INVALID true',
    'node STATEMENT_REPLAYED true',
    'node STATEMENT_FUTURE true',
  ]);
  assert.equal(passedOn.length, 1);
});

/**
 * What a member hands over, signed by its own key and spoilt before: judged by its code and recorded, or taken; and what was
 * taken can be looked up, and passed on bit by bit.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Code, MirrorError } from '../../src/errors.ts';
import { digestOf } from '../../src/oci/oci.ts';
import { parseTagReference } from '../../src/oci/oci.ts';
import type { Body, Kind } from '../../src/peers/bodies.ts';
import { encodeSigned, encodeStatement, parseSigned, signStatement, type Statement } from '../../src/peers/envelope.ts';
import { Gossip } from '../../src/peers/gossip.ts';
import { encodeItem, Intake } from '../../src/peers/intake.ts';
import { Table } from '../../src/peers/table.ts';
import type { ControlWire } from '../../src/peers/wire.ts';
import { type Root, parseRoot } from '../../src/proof/proof.ts';
import { credentialFor, FakeMembers, ownKey, verifyPeer } from '../support/fake-peers.ts';
import { fuzz, fuzzAsync, refusedOr, smallAtTheEnd, spoilt, twisted } from '../support/fuzz.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

smallAtTheEnd();

const evil = ownKey(Buffer.alloc(32, 1));
const here = ownKey(Buffer.alloc(32, 2));
const root: Root = parseRoot('c'.repeat(64));
const digests = ['a', 'b', 'c', 'd'].map(text => digestOf(Buffer.from(text))).sort();
const holding = (at: number): { digest: (typeof digests)[number]; size: number; root: Root } => ({
  digest: digests[at]!,
  size: 7,
  root,
});
const NOW = Date.UTC(2026, 0, 1);

const BODIES: readonly Body[] = [
  { kind: 'node', body: { addresses: ['10.0.0.1:5001', '[fd00::1]:5001', 'dns.example:1'], lanePort: 5002 } },
  { kind: 'holdings', body: { entries: [holding(0), holding(2)] } },
  { kind: 'holdings-delta', body: { after: 1, add: [holding(1)], drop: [digests[0]!] } },
  { kind: 'holdings-head', body: { of: 2 } },
  {
    kind: 'tags',
    body: {
      tags: ['r.test/a:1', 'r.test/b/c:2'].map(name => ({
        reference: parseTagReference(name),
        digest: digests[0]!,
        observedAt: NOW - 9,
        renewedAt: NOW - 3,
      })),
    },
  },
];
const statementOf = (body: Body, seq: number): Statement =>
  ({ ...body, signer: evil.peer, start: 1, seq, notAfter: NOW + 200_000 }) as Statement;
const GOOD = BODIES.map((body, at) => statementOf(body, at));
const sealed = (json: Uint8Array): Uint8Array => Buffer.concat([evil.sign(json), json]);

/** A node that knows the member, and what it recorded. */
async function node() {
  const members = new FakeMembers();
  await members.offerCredential(credentialFor(evil.peer));
  await members.offerCredential(credentialFor(here.peer));
  const world = simulatedWorld(NOW);
  const table = new Table({ world, self: here.peer, members, verify: verifyPeer });
  const records: { readonly code: Code }[] = [];
  const record = async (event: object): Promise<void> => void records.push(event as { code: Code });
  return { world, members, table, intake: new Intake({ members, table, record }), records };
}

void test('every kind of statement is read as it was written', () => {
  for (const statement of GOOD) {
    const signed = signStatement(statement, bytes => evil.sign(bytes));
    assert.deepEqual(parseSigned(encodeSigned(signed)).statement, statement);
  }
});

const hostile = fc.oneof(
  fc
    .constantFrom(...GOOD.map(one => JSON.parse(Buffer.from(encodeStatement(one)).toString()) as object))
    .chain(twisted)
    .map(value => Buffer.from(JSON.stringify(value))),
  spoilt(...GOOD.map(one => encodeStatement(one))),
);

void test('a spoilt statement under its signer’s own signature is the one way to write what it says, or refused', () => {
  fuzz(
    fc.property(hostile, json => {
      const parsed = refusedOr(() => parseSigned(sealed(json)));
      if (!parsed) return;
      assert.deepEqual(Buffer.from(encodeSigned(parsed)), Buffer.from(sealed(json)));
      const { statement } = parsed;
      const told = statement.kind === 'holdings' ? statement.body.entries.map(({ digest }) => digest) : [];
      assert.deepEqual(told, [...new Set(told)].sort(), 'contents twice, or in another order');
    }),
  );
});

void test('whatever a member gossips is taken, known, or refused with its record; the table stays whole', async () => {
  const { table, intake, records, world } = await node();
  const judged: { judge?: (from: typeof evil.peer, message: Uint8Array) => Promise<string> } = {};
  const wire = {
    subscribe: (_topic: string, judge: NonNullable<typeof judged.judge>) => (judged.judge = judge),
    disconnect: async () => undefined,
  } as unknown as ControlWire;
  new Gossip({ world, wire, intake, log: () => undefined, taken: () => undefined }).start();
  let seq = 1;
  const inOrder = fc.constantFrom<Kind>('node', 'holdings', 'holdings-head', 'tags').map(kind => {
    const body = BODIES.find(one => one.kind === kind)!;
    return () => encodeStatement(statementOf(kind === 'holdings-head' ? { kind, body: { of: seq } } : body, ++seq));
  });
  const item = fc.oneof(
    hostile.map(json => () => json),
    inOrder,
  );
  await fuzzAsync(
    fc.asyncProperty(item, fc.boolean(), async (make, wrong) => {
      await world.advance(1_000);
      const count = records.length;
      const message = encodeItem('statement', sealed(make()));
      const verdict = await judged.judge!(evil.peer, wrong ? message.subarray(0, 40) : message);
      assert.ok(['accept', 'ignore', 'reject'].includes(verdict), verdict);
      if (verdict === 'reject') assert.equal(records.length, count + 1);
      for (const digest of digests)
        for (const found of table.holdings.find(digest, world.now()))
          assert.ok(found.holding.digest === digest && refusedOr(() => parseSigned(found.statement())));
      for (const [peer, { bytes }] of table.tags.entries())
        assert.deepEqual([peer, parseSigned(bytes).statement.kind], [evil.peer, 'tags']);
    }),
    400,
  );
  assert.ok(table.nodes.get(evil.peer) && table.tags.get(evil.peer), 'nothing good was ever taken');
});

void test('any item whatever type it says is judged by a code, recorded once', async () => {
  const { intake, records } = await node();
  const roster = Buffer.from(JSON.stringify({ seq: 9, revoked: [] }));
  const bytes = fc.oneof(
    spoilt(...GOOD.map(one => sealed(encodeStatement(one))), Buffer.from(credentialFor(evil.peer)), roster),
    fc.uint8Array({ maxLength: 100 }),
  );
  await fuzzAsync(
    fc.asyncProperty(fc.constantFrom(0x72, 0x63, 0x73, 0, 255), bytes, async (type, content) => {
      const count = records.length;
      try {
        await intake.take(Buffer.concat([Uint8Array.of(type), content]), evil.peer, 'sync');
        assert.equal(records.length, count);
      } catch (error) {
        // The members of this test are no members of the product: what they make of nonsense is not looked at.
        if (!(error instanceof MirrorError) && type !== 0x73) return;
        assert.ok(error instanceof MirrorError, String(error));
        assert.equal(records.at(count)?.code, error.code);
        assert.equal(records.length, count + 1);
      }
    }),
    1000,
  );
});

/** Hostile bytes for the envelope, heads and items: refused with the code of their kind, never anything else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode, MirrorError } from '../../src/errors.ts';
import type { Digest } from '../../src/oci/oci.ts';
import { encodeSigned, parseSigned, signStatement, type Statement } from '../../src/peers/envelope.ts';
import { encodeHeads, parseHeads } from '../../src/peers/heads.ts';
import { Intake } from '../../src/peers/intake.ts';
import { Table } from '../../src/peers/table.ts';
import type { Root } from '../../src/proof/proof.ts';
import { FakeMembers, ownKey, verifyPeer } from '../support/fake-peers.ts';
import { simulatedWorld } from '../support/simulated-world.ts';
import { fuzz, fuzzAsync } from '../support/fuzz.ts';

const self = ownKey(Buffer.alloc(32, 7));
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true });
const hex = fc.stringMatching(/^[a-f0-9]{64}$/);
const number = fc.nat(Number.MAX_SAFE_INTEGER);
const holding = record({
  digest: hex.map(h => `sha256:${h}` as Digest),
  size: fc.nat(2 ** 31 - 1),
  root: hex.map(h => h as Root),
});
const sorted = fc
  .uniqueArray(holding, { selector: h => h.digest, maxLength: 20 })
  .map(all => all.sort((a, b) => (a.digest < b.digest ? -1 : 1)));
const header = record({ signer: fc.constant(self.peer), start: number, seq: number, notAfter: number });
const statement: fc.Arbitrary<Statement> = fc.oneof(
  fc.tuple(header, sorted).map(([h, entries]) => ({ ...h, kind: 'holdings' as const, body: { entries } })),
  fc
    .tuple(header, sorted, number)
    .map(([h, add, after]) => ({ ...h, kind: 'holdings-delta' as const, body: { after, add, drop: [] } })),
  fc.tuple(header, number).map(([h, of]) => ({ ...h, kind: 'holdings-head' as const, body: { of } })),
  fc
    .tuple(header, fc.nat(65_535))
    .map(([h, lanePort]) => ({ ...h, kind: 'node' as const, body: { addresses: ['10.0.0.1:1'], lanePort } })),
);
const sign = (s: Statement): Uint8Array => encodeSigned(signStatement(s, bytes => self.sign(bytes)));

void test('parse after encode gives the same statement', () => {
  fuzz(
    fc.property(statement, s => assert.deepEqual(parseSigned(sign(s)).statement, s)),
    200,
  );
});

void test('a statement with any byte changed does not verify, and is never read as another encoding of itself', () => {
  fuzz(
    fc.property(statement, fc.nat(), fc.integer({ min: 1, max: 255 }), (s, at, change) => {
      const bytes = Buffer.from(sign(s));
      bytes[at % bytes.length] = bytes[at % bytes.length]! ^ change;
      try {
        const { covered, signature } = parseSigned(bytes);
        assert.equal(verifyPeer(self.peer, covered, signature), false);
      } catch (error) {
        assert.ok(hasCode(error, 'STATEMENT_INVALID'), String(error));
      }
    }),
    500,
  );
});

void test('any JSON in the place of a body is refused or read, and nothing else happens', () => {
  fuzz(
    fc.property(
      fc.constantFrom('node', 'holdings', 'holdings-delta', 'holdings-head', 'tags'),
      fc.jsonValue({ maxDepth: 5 }),
      (kind, body) => {
        const json = JSON.stringify({
          domain: 'pinnace/statement',
          version: 1,
          kind,
          signer: self.peer,
          start: 1,
          seq: 1,
          notAfter: 1,
          body,
        });
        try {
          parseSigned(Buffer.concat([Buffer.alloc(64), Buffer.from(json)]));
        } catch (error) {
          assert.ok(hasCode(error, 'STATEMENT_INVALID'), String(error));
        }
      },
    ),
    500,
  );
});

void test('any bytes as an item are refused with a code, and recorded', async () => {
  const records: unknown[] = [];
  const members = new FakeMembers();
  const table = new Table({ world: simulatedWorld(), self: self.peer, members, verify: verifyPeer });
  const intake = new Intake({ members, table, record: async event => void records.push(event) });
  await fuzzAsync(
    fc.asyncProperty(fc.constantFrom(0x72, 0x63, 0x73, 0), fc.uint8Array({ maxLength: 300 }), async (type, bytes) => {
      const count = records.length;
      await assert.rejects(
        intake.take(Buffer.concat([Uint8Array.of(type), bytes]), self.peer, 'gossip'),
        error => error instanceof MirrorError,
      );
      assert.equal(records.length, count + 1);
    }),
    300,
  );
});

void test('heads are read back, and anything else is refused', () => {
  const mark = fc.option(record({ start: number, seq: number }), { nil: undefined });
  const holdings = fc.option(record({ start: number, state: number, head: number }), { nil: undefined });
  const head = record({ credential: number, node: mark, holdings, tags: mark });
  fuzz(
    fc.property(number, head, (roster, one) => {
      const heads = { roster, peers: new Map([[self.peer, one]]) };
      assert.deepEqual(parseHeads(encodeHeads(heads)), heads);
    }),
  );
  const refused = (bytes: Uint8Array): void => {
    try {
      parseHeads(bytes);
    } catch (error) {
      assert.ok(hasCode(error, 'STATEMENT_INVALID'), String(error));
    }
  };
  fuzz(fc.property(fc.uint8Array({ maxLength: 200 }), refused));
  fuzz(
    fc.property(fc.jsonValue({ maxDepth: 5 }), fc.jsonValue({ maxDepth: 4 }), (peers, roster) =>
      refused(Buffer.from(JSON.stringify({ sync: 1, roster, peers }))),
    ),
  );
});

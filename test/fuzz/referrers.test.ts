/**
 * Hostile bytes for what nodes ask and tell each other beside statements: lists of referrers, marks of limited holdings,
 * heads of policies, and the streams on which they go. Each is read in the one way, or refused by its code.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Code, hasCode, MirrorError } from '../../src/errors.ts';
import { type Digest, digestOf } from '../../src/oci/oci.ts';
import { encodeSigned, KINDS, signStatement, type Statement } from '../../src/peers/envelope.ts';
import { encodeMark, LIMITED_PROTOCOL, parseMark } from '../../src/peers/hearing.ts';
import { encodeItem } from '../../src/peers/intake.ts';
import type { Referrer } from '../../src/peers/peers.ts';
import { encodePolicyHead, parsePolicyHead, POLICY_PROTOCOL } from '../../src/peers/policy-exchange.ts';
import { REFERRERS_PROTOCOL } from '../../src/peers/questions.ts';
import { encodeReferrers, parseReferrers } from '../../src/peers/referrers.ts';
import { type Root, parseRoot } from '../../src/proof/proof.ts';
import { makeCluster } from '../support/cluster.ts';
import { controlRoom } from '../support/control-room.ts';
import { fuzz, fuzzAsync, refusedOr, refusedOrLater, smallAtTheEnd, spoilt, twisted } from '../support/fuzz.ts';
import { streamPair } from '../support/lane-pair.ts';

smallAtTheEnd();

const cluster = await makeCluster({ nodes: ['here', 'evil'] });
const [here, evil] = [cluster.node('here'), cluster.node('evil')];
const digest = (name: string): Digest => digestOf(Buffer.from(name));
const root: Root = parseRoot('c'.repeat(64));

const referrer: fc.Arbitrary<Referrer> = fc.record(
  {
    bond: fc.constantFrom('subject', 'sig', 'att'),
    digest: fc.nat(50).map(n => digest(`${n}`)),
    size: fc.oneof(fc.integer({ min: 1, max: 1 << 20 }), fc.integer(), fc.double()),
  },
  { noNullPrototype: true },
);

void test('whatever a node has about a digest is told as a list that others read', () => {
  fuzz(
    fc.property(fc.array(referrer, { maxLength: 60 }), list => {
      const read = parseReferrers(encodeReferrers(list));
      assert.ok(read.length <= list.length);
      for (const one of read) assert.ok(list.some(told => told.digest === one.digest && told.bond === one.bond));
      assert.deepEqual(encodeReferrers(read), encodeReferrers(list));
    }),
  );
});

const list = encodeReferrers([
  { bond: 'subject', digest: digest('a'), size: 500 },
  { bond: 'att', digest: digest('b'), size: 1 << 20 },
]);

void test('a list of referrers, a mark, a head of a policy: the one way to write what they say, or FRAME_INVALID', () => {
  const json = twisted(JSON.parse(Buffer.from(list).toString()) as object).map(value =>
    Buffer.from(JSON.stringify(value)),
  );
  const good = [list, encodeMark({ start: 7, seq: 3 }), encodePolicyHead(12)];
  const hostile = fc.oneof(spoilt(...good), json, fc.uint8Array({ maxLength: 300 }), fc.constantFrom(...good));
  const same = (read: () => Uint8Array, bytes: Uint8Array): void => {
    const again = refusedOr(() => {
      try {
        return read();
      } catch (error) {
        assert.ok(hasCode(error, 'FRAME_INVALID'), String(error));
        throw error;
      }
    });
    if (again) assert.deepEqual(Buffer.from(again), Buffer.from(bytes));
  };
  fuzz(
    fc.property(hostile, bytes => {
      same(() => encodeReferrers(parseReferrers(bytes)), bytes);
      same(() => encodeMark(parseMark(bytes)), bytes);
      same(() => encodePolicyHead(parsePolicyHead(bytes)), bytes);
    }),
  );
});

const limited = (seq: number, how: Partial<Statement> = {}): Uint8Array => {
  const entries = ['a', 'b'].map(name => ({ digest: digest(name), size: 7, root }));
  entries.sort((a, b) => (a.digest < b.digest ? -1 : 1));
  const header = { signer: evil.peer, start: 1, seq, notAfter: Date.now() + KINDS.limited.validityMs };
  const statement = { ...header, kind: 'limited', body: { audience: here.peer, entries }, ...how } as Statement;
  return encodeSigned(signStatement(statement, bytes => evil.self.sign(bytes)));
};

void test('a spoilt list of limited holdings is refused by its code, and what was known before stays', async () => {
  const { table, world } = await controlRoom(here, [evil]);
  table.limited.take(limited(1), evil.peer);
  const good = [limited(2), limited(3)];
  const hostile = fc.oneof(
    spoilt(...good),
    fc.constantFrom(limited(1), limited(0), limited(2, { signer: here.peer }), limited(2, { start: 0 })),
    fc.uint8Array({ maxLength: 400 }),
  );
  fuzz(
    fc.property(hostile, bytes => {
      // Changes that undo each other spoil nothing.
      if (good.some(one => Buffer.compare(one, bytes) === 0)) return;
      const refused = refusedOr(() => (table.limited.take(bytes, evil.peer), true)) === undefined;
      assert.ok(refused);
      assert.equal(table.holdings.find(digest('a'), world.now()).length, 1);
    }),
    600,
  );
});

for (const [protocol, good] of [
  [REFERRERS_PROTOCOL, [Buffer.from(digest('x'))]],
  [LIMITED_PROTOCOL, [encodeMark({ start: 1, seq: 1 }), limited(1)]],
  [POLICY_PROTOCOL, [encodePolicyHead(3), encodeItem('policy', 'a bundle')]],
] as const)
  void test(`a stream of ${protocol} ends, whatever is said on it`, async () => {
    const { answer, records, world } = await controlRoom(here, [evil]);
    const frame = fc.oneof(fc.constantFrom<Uint8Array[]>(...good), spoilt(...good), fc.uint8Array({ maxLength: 200 }));
    await fuzzAsync(
      fc.asyncProperty(fc.array(frame, { maxLength: 4 }), async said => {
        await world.advance(10_000);
        const count = records.length;
        const [near, far] = streamPair();
        for (const one of said) await near.send(one);
        await near.close();
        let code: Code | undefined;
        await refusedOrLater(() =>
          answer(protocol, evil.peer, far).catch((error: unknown) => {
            if (error instanceof MirrorError) code = error.code;
            throw error;
          }),
        );
        const kind = code && new MirrorError(code, '').kind;
        // A peer that broke a rule is on record; one that went away is not.
        if (kind === 'hostile' || kind === 'denied' || code === 'DIGEST_INVALID')
          assert.ok(
            records.slice(count).some(record => record.code === code),
            String(code),
          );
      }),
      300,
    );
  });

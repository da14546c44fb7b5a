/** Holdings in memory: bit by bit the same when passed on, bounded, small and fast. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import type { Digest, PeerId } from '../../src/oci/oci.ts';
import { CLAIMS_MAX } from '../../src/peers/claims.ts';
import { encodeSigned, parseSigned, type Signed, signStatement, type Statement } from '../../src/peers/envelope.ts';
import { DELTAS_MAX, Holdings } from '../../src/peers/holdings.ts';
import type { Root } from '../../src/proof/proof.ts';
import { ownKey } from '../support/fake-peers.ts';

const alice = ownKey(Buffer.alloc(32, 2));
const digest = (n: number): Digest => `sha256:${n.toString(16).padStart(64, '0')}` as Digest;
const root = (n: number): Root => n.toString(16).padStart(64, '0') as Root;
const entry = (n: number): { digest: Digest; size: number; root: Root } => ({
  digest: digest(n),
  size: n,
  root: root(n),
});
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

let seq = 0;
function sign(body: Pick<Statement, 'kind' | 'body'>): Signed {
  const statement = { ...body, signer: alice.peer, start: 1, seq: ++seq, notAfter: 10_000 } as Statement;
  return signStatement(statement, bytes => alice.sign(bytes));
}
/** As after a journey: parsed from bytes, with nothing shared. */
const arrive = (signed: Signed): Signed => parseSigned(encodeSigned(signed));

void test('what others are given is, bit by bit, what came', () => {
  const holdings = new Holdings();
  const sent = [sign({ kind: 'holdings', body: { entries: range(1, 50).map(entry) } })];
  assert.ok(holdings.take(arrive(sent[0]!)));
  for (let i = 0; i < 3; i++) {
    const body = { after: seq, add: [entry(100 + i)], drop: [digest(1 + i)] };
    sent.push(sign({ kind: 'holdings-delta', body }));
    assert.ok(holdings.take(arrive(sent.at(-1)!)));
  }
  sent.push(sign({ kind: 'holdings-head', body: { of: seq } }));
  assert.ok(holdings.take(arrive(sent.at(-1)!)));
  const passed = [...holdings.lacking(alice.peer)].map(encodeSigned);
  assert.deepEqual(passed, sent.map(encodeSigned));
  const other = new Holdings();
  for (const bytes of passed) assert.ok(other.take(parseSigned(bytes)));
  assert.deepEqual(other.mark(alice.peer), holdings.mark(alice.peer));
  const [found] = holdings.find(digest(101), 0);
  assert.deepEqual(found!.statement(), encodeSigned(sent[2]!));
  assert.deepEqual(holdings.find(digest(40), 0)[0]!.statement(), encodeSigned(sent[0]!));
});

void test('somebody who has a part gets only the rest', () => {
  const holdings = new Holdings();
  holdings.take(sign({ kind: 'holdings', body: { entries: [entry(1)] } }));
  const first = { start: 1, state: seq, head: 0 };
  holdings.take(sign({ kind: 'holdings-delta', body: { after: seq, add: [entry(2)], drop: [] } }));
  holdings.take(sign({ kind: 'holdings-head', body: { of: seq } }));
  const kinds = (since?: typeof first): string[] => [...holdings.lacking(alice.peer, since)].map(s => s.statement.kind);
  assert.deepEqual(kinds(), ['holdings', 'holdings-delta', 'holdings-head']);
  assert.deepEqual(kinds(first), ['holdings-delta', 'holdings-head']);
  const mark = holdings.mark(alice.peer)!;
  assert.deepEqual(kinds(mark), []);
  assert.deepEqual(kinds({ ...mark, head: 0 }), ['holdings-head']);
  assert.deepEqual(kinds({ ...mark, start: 2 }), [], 'who has something newer');
  assert.deepEqual(kinds({ ...mark, start: 0 }), ['holdings', 'holdings-delta', 'holdings-head']);
});

void test('two roots of one digest are two claims', () => {
  const holdings = new Holdings();
  holdings.take(sign({ kind: 'holdings', body: { entries: [entry(1)] } }));
  const bob = { ...sign({ kind: 'holdings', body: { entries: [{ ...entry(1), root: root(9) }] } }) };
  holdings.take({ ...bob, statement: { ...bob.statement, signer: 'bob' as PeerId } });
  assert.deepEqual(
    new Map(holdings.find(digest(1), 0).map(found => [found.peer, found.holding.root])),
    new Map([
      [alice.peer, root(1)],
      ['bob' as PeerId, root(9)],
    ]),
  );
  holdings.forget(alice.peer);
  assert.deepEqual(
    holdings.find(digest(1), 0).map(found => found.peer),
    ['bob'],
  );
  holdings.forget('bob' as PeerId);
  assert.equal(holdings.find(digest(1), 0).length, 0);
});

void test('deltas after a snapshot, and different contents in all, are bounded', () => {
  const holdings = new Holdings();
  holdings.take(sign({ kind: 'holdings', body: { entries: [] } }));
  for (let i = 0; i < DELTAS_MAX; i++)
    holdings.take(sign({ kind: 'holdings-delta', body: { after: seq, add: [entry(i)], drop: [] } }));
  const more = sign({ kind: 'holdings-delta', body: { after: seq, add: [], drop: [] } });
  assert.throws(
    () => holdings.take(more),
    error => hasCode(error, 'LIMIT_EXCEEDED'),
  );
  const full = new Holdings();
  const of = (peer: number, from: number, count: number): Signed => ({
    statement: {
      kind: 'holdings',
      body: { entries: range(from, from + count).map(entry) },
      signer: `p${peer}` as PeerId,
      start: 1,
      seq: 1,
      notAfter: 1,
    },
    signature: new Uint8Array(64),
  });
  for (let peer = 0; peer < CLAIMS_MAX / 16_384; peer++) full.take(of(peer, peer * 16_384, 16_384));
  assert.throws(
    () => full.take(of(99, CLAIMS_MAX, 1)),
    error => hasCode(error, 'LIMIT_EXCEEDED'),
  );
  assert.ok(full.take(of(99, 0, 16_384)), 'what is known already costs nothing new');
  full.forget('p0' as PeerId);
  full.forget('p99' as PeerId);
  assert.ok(full.take(of(99, CLAIMS_MAX, 16_384)), 'and what nobody holds any more makes room');
});

/** Kept small here; the bench `lookup` asks for a thousand nodes. */
void test('among hundreds of nodes with a thousand digests each, holders are found in less than a millisecond', () => {
  const holdings = new Holdings();
  const made = range(0, 50_001).map(entry);
  let random = 1;
  const next = (): number => (random = (random * 48_271) % 2_147_483_647) / 2_147_483_647;
  for (let peer = 0; peer < 200; peer++) {
    const picked = new Set<number>();
    // Zipf over 50,000: the first few are everywhere.
    while (picked.size < 1000) picked.add(Math.floor(50_000 ** next()));
    const entries = [...picked].sort((a, b) => a - b).map(n => made[n]!);
    const statement = {
      kind: 'holdings',
      body: { entries },
      signer: `p${peer}` as PeerId,
      start: 1,
      seq: 1,
      notAfter: 10,
    } as const;
    holdings.take({ statement, signature: new Uint8Array(64) });
  }
  const times = range(0, 2000).map(i => {
    const wanted = digest(Math.floor(50_000 ** next()) + (i % 2));
    const begin = performance.now();
    holdings.find(wanted, 5);
    return performance.now() - begin;
  });
  times.sort((a, b) => a - b);
  assert.ok(times[1980]! < 1, `p99 is ${times[1980]} ms`);
});

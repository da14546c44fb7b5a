/**
 * Holdings in any order, by several signers: what is found is what their statements amount to one after another, and a node
 * that is told of it bit by bit finds the same.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Digest, digestOf, type PeerId } from '../../src/oci/oci.ts';
import type { Statement } from '../../src/peers/envelope.ts';
import { DELTAS_MAX, Holdings } from '../../src/peers/holdings.ts';
import { parseRoot } from '../../src/proof/proof.ts';
import { fuzz, refusedOr, smallAtTheEnd } from '../support/fuzz.ts';
import { peerNamed } from '../support/lane-pair.ts';

smallAtTheEnd();

const PEERS = ['one', 'two', 'three'].map(peerNamed);
const ROOTS = ['a', 'b'].map(letter => parseRoot(letter.repeat(64)));
const DIGESTS = Array.from({ length: 6 }, (_, at) => digestOf(Buffer.from(String(at)))).sort();

type Claim = { readonly digest: Digest; readonly size: number; readonly root: (typeof ROOTS)[number] };
const claims = fc
  .uniqueArray(
    fc.record({ digest: fc.constantFrom(...DIGESTS), size: fc.constantFrom(1, 2), root: fc.constantFrom(...ROOTS) }),
    { selector: claim => claim.digest, maxLength: 5 },
  )
  .map(all => all.sort((a, b) => (a.digest < b.digest ? -1 : 1)));
const step = fc.record({
  peer: fc.constantFrom(...PEERS),
  kind: fc.constantFrom('holdings', 'holdings-delta', 'holdings-delta', 'holdings-head'),
  claims,
  drop: fc.subarray(DIGESTS),
  /** Whether it builds on what is there, or on something else. */
  fits: fc.integer({ min: 0, max: 4 }).map(n => n > 0),
  restart: fc.integer({ min: 0, max: 9 }).map(n => n === 0),
});

interface Model {
  start: number;
  state: number;
  deltas: number;
  notAfter: number;
  held: ReadonlyMap<Digest, Claim>;
}

const flat = (holdings: Holdings): string[] =>
  DIGESTS.flatMap(digest =>
    holdings.find(digest, 0).map(({ peer, holding: { size, root } }) => [digest, size, root, peer].join()),
  ).sort();

void test('what is found is what was said last, whoever says what in which order', () => {
  fuzz(
    fc.property(fc.array(step, { maxLength: 45 }), steps => {
      const holdings = new Holdings();
      const model = new Map<PeerId, Model>();
      let seq = 0;
      for (const { peer, kind, claims: said, drop, fits, restart } of steps) {
        seq += 1;
        const known = model.get(peer);
        const start = (known?.start ?? 1) + (restart ? 1 : 0);
        const after = fits ? (known?.state ?? 0) : seq + 99;
        const header = { signer: peer, start, seq, notAfter: seq };
        const body =
          kind === 'holdings'
            ? { entries: said }
            : kind === 'holdings-head'
              ? { of: after }
              : { after, add: said, drop };
        const taken = refusedOr(() =>
          holdings.take({ statement: { ...header, kind, body } as Statement, signature: new Uint8Array(64) }),
        );
        const builds = known !== undefined && fits && !restart;
        if (kind === 'holdings') {
          const held = new Map(said.map(claim => [claim.digest, claim]));
          model.set(peer, { start, state: seq, deltas: 0, notAfter: seq, held });
          assert.equal(taken, true);
        } else if (kind === 'holdings-delta' && builds && known.deltas >= DELTAS_MAX) assert.equal(taken, undefined);
        else {
          assert.equal(taken, builds);
          if (!builds) continue;
          known.notAfter = seq;
          if (kind === 'holdings-head') continue;
          const held = new Map(known.held);
          for (const digest of drop) held.delete(digest);
          for (const claim of said) held.set(claim.digest, claim);
          Object.assign(known, { held, state: seq, deltas: known.deltas + 1 });
        }
      }
      const wanted = [...model].flatMap(([peer, { held }]) =>
        [...held.values()].map(({ digest, size, root }) => [digest, size, root, peer].join()),
      );
      assert.deepEqual(flat(holdings), wanted.sort());
      const other = new Holdings();
      for (const peer of holdings.peers())
        for (const signed of holdings.lacking(peer)) assert.equal(other.take(structuredClone(signed)), true);
      assert.deepEqual(flat(other), flat(holdings));
      for (const peer of PEERS) {
        holdings.forget(peer);
        assert.ok(!flat(holdings).some(line => line.endsWith(peer)));
      }
    }),
    600,
  );
});

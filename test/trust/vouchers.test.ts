/** Vouchers: k distinct nodes for one root and none for another, or this node's own hash. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Digest, PeerId } from '../../src/oci/oci.ts';
import type { Root } from '../../src/proof/proof.ts';
import { type Claim, vouch } from '../../src/trust/trust.ts';

const digest = `sha256:${'0'.repeat(64)}` as Digest;
const root = (i: number): Root => String(i).repeat(64) as Root;
const claim = (peer: number, of: number, attests = true): Claim => ({
  peer: `peer${peer}` as PeerId,
  digest,
  size: 1,
  root: root(of),
  attests,
});
const nobody = (): boolean => false;

void test('k distinct nodes make a root, fewer do not', () => {
  assert.deepEqual(vouch([claim(1, 1), claim(2, 1)], 2, undefined, nobody), { root: root(1), conflict: false });
  assert.deepEqual(vouch([claim(1, 1)], 2, undefined, nobody), { conflict: false });
  assert.deepEqual(vouch([], 1, undefined, nobody), { conflict: false });
});

void test('one node that says it twice is one voucher', () => {
  assert.deepEqual(vouch([claim(1, 1), claim(1, 1)], 2, undefined, nobody), { conflict: false });
});

void test('one other root from a node that attests is a conflict, however many agree', () => {
  const claims = [claim(1, 1), claim(2, 1), claim(3, 1), claim(4, 2)];
  assert.deepEqual(vouch(claims, 2, undefined, nobody), { conflict: true });
});

void test('without the role, or refuted, a claim neither vouches nor conflicts', () => {
  const claims = [claim(1, 1), claim(2, 1), claim(3, 2, false)];
  assert.deepEqual(vouch(claims, 2, undefined, nobody), { root: root(1), conflict: false });
  assert.deepEqual(vouch(claims, 3, undefined, nobody), { conflict: false });
  const refuted = (one: Claim): boolean => one.peer === 'peer4';
  assert.deepEqual(vouch([...claims, claim(4, 2)], 2, undefined, refuted), { root: root(1), conflict: false });
  assert.deepEqual(vouch([claim(1, 1), claim(4, 1)], 2, undefined, refuted), { conflict: false });
});

void test('this node’s own hash is enough alone, and whoever says otherwise is simply wrong', () => {
  const claims = [claim(1, 2), claim(2, 2), claim(3, 3)];
  assert.deepEqual(vouch(claims, 2, root(1), nobody), { root: root(1), conflict: false });
});

void test('whatever fewer than k nodes claim, they never bring a root of their own through', () => {
  const honest = fc.uniqueArray(fc.integer({ min: 10, max: 19 }), { maxLength: 5 });
  const lies = fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 2, max: 4 }), fc.boolean()));
  fc.assert(
    fc.property(honest, lies, fc.integer({ min: 1, max: 4 }), (good, bad, k) => {
      const liars = new Set(bad.map(([peer]) => peer));
      fc.pre(liars.size < k);
      const claims = [
        ...good.map(peer => claim(peer, 1)),
        ...bad.map(([peer, of, attests]) => claim(peer, of, attests)),
      ];
      const vouching = vouch(claims, k, undefined, nobody);
      assert.ok(vouching.root === undefined || vouching.root === root(1));
      assert.ok(!(vouching.conflict && vouching.root));
      if (vouching.root) assert.ok(good.length >= k);
      assert.deepEqual(vouch(claims.toReversed(), k, undefined, nobody), vouching);
    }),
  );
});

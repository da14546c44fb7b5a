import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { handOver } from '../../src/mirror/handing-over.ts';
import type { Root } from '../../src/proof/proof.ts';

const A = 'a'.repeat(64) as Root;
const B = 'b'.repeat(64) as Root;
const part = { size: 10, checked: 4, root: A, whole: false };

void test('what is checked under a vouched root may go out', () => {
  assert.equal(handOver(part, { root: A, conflict: false }), 4);
});

void test('without enough vouchers nothing goes out before the whole is proved', () => {
  assert.equal(handOver(part, { conflict: false }), 0);
  assert.equal(handOver({ ...part, checked: 10 }, { conflict: false }), 0);
  assert.equal(handOver({ ...part, whole: true }, { conflict: false }), 10);
});

void test('vouchers of another root than the one that was checked are worth nothing', () => {
  assert.equal(handOver(part, { root: B, conflict: false }), 0);
});

void test('in a conflict of roots nothing goes out before the whole is proved', () => {
  assert.equal(handOver(part, { root: A, conflict: true }), 0);
  assert.equal(handOver({ ...part, whole: true }, { conflict: true }), 10);
});

void test('never more goes out than was checked', () => {
  const root = fc.constantFrom(A, B);
  const vouching = fc.record({ root: fc.option(root, { nil: undefined }), conflict: fc.boolean() });
  fc.assert(
    fc.property(fc.nat(100), fc.nat(100), root, vouching, (checked, more, of, { root: vouched, conflict }) => {
      const progress = { size: checked + more, checked, root: of, whole: false };
      return handOver(progress, { ...(vouched ? { root: vouched } : {}), conflict }) <= checked;
    }),
  );
});

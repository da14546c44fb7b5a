/** What is signed against what is asked for: an authority counts once, and what is old, over or of another format not at all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Signed, SignatureRule } from '../../src/policy/policy.ts';
import { meetsAttestation, meetsSignatures } from '../../src/policy/requirements.ts';
import { by, DAY_MS, NOW } from './ground.ts';

const TWO: SignatureRule = { n: 2, of: ['a', 'b', 'c'], formats: new Set(['bundle', 'legacy']) };
const codeOf = (rule: SignatureRule, ...signed: readonly Signed[]): string => {
  const found = meetsSignatures(rule, signed, 0, NOW);
  return 'code' in found ? found.code : 'met';
};

void test('n distinct authorities are needed, and one that signed twice is one', () => {
  assert.equal(codeOf(TWO), 'SIGNATURE_MISSING');
  assert.equal(codeOf(TWO, by('a')), 'SIGNATURE_UNTRUSTED');
  assert.equal(
    codeOf(TWO, by('a'), by('a', { signer: 'another' }), by('a', { format: 'legacy' })),
    'SIGNATURE_UNTRUSTED',
  );
  assert.equal(codeOf(TWO, by('a'), by('d'), by('e')), 'SIGNATURE_UNTRUSTED');
  assert.equal(codeOf(TWO, by('a'), by('c')), 'met');
});

void test('a format that the rule does not take counts for nothing', () => {
  const bundles: SignatureRule = { ...TWO, n: 1, formats: new Set(['bundle']) };
  assert.equal(codeOf(bundles, by('a', { format: 'legacy' })), 'SIGNATURE_UNTRUSTED');
  assert.equal(codeOf(bundles, by('a')), 'met');
});

void test('an attestation is no signature', () => {
  assert.equal(codeOf({ ...TWO, n: 1 }, by('a', { predicateType: 't' })), 'SIGNATURE_MISSING');
});

void test('what is too old, has no proven time or is over counts for nothing', () => {
  const young: SignatureRule = { ...TWO, n: 1, maxAgeMs: DAY_MS };
  assert.equal(codeOf(young, by('a')), 'SIGNATURE_UNTRUSTED');
  assert.equal(codeOf(young, by('a', { signedAt: NOW - DAY_MS })), 'SIGNATURE_UNTRUSTED');
  assert.equal(codeOf(young, by('a', { signedAt: NOW - DAY_MS + 1 })), 'met');
  assert.equal(codeOf({ ...TWO, n: 1 }, by('a', { until: NOW })), 'SIGNATURE_UNTRUSTED');
  assert.equal(codeOf({ ...TWO, n: 1 }, by('a', { until: NOW + 1 })), 'met');
});

void test('it holds as long as the longest n of them do', () => {
  const ends = [3, 9, 5].map((days, at) => by('abc'[at]!, { until: NOW + days * DAY_MS }));
  const found = meetsSignatures(TWO, [...ends, by('a', { until: NOW + 4 * DAY_MS })], 0, NOW);
  assert.deepEqual(found, { until: NOW + 5 * DAY_MS });
});

void test('an attestation counts by its type, its authority and what its predicate says', () => {
  const rule = { n: 1, of: ['a'], predicateType: 't', where: [{ pointer: '/ok', in: [true] }] };
  const codeFor = (...signed: readonly Signed[]): string => {
    const found = meetsAttestation(rule, signed, 0, NOW);
    return 'code' in found ? found.code : 'met';
  };
  assert.equal(codeFor(), 'ATTESTATION_MISSING');
  assert.equal(codeFor(by('a')), 'ATTESTATION_MISSING');
  assert.equal(codeFor(by('a', { predicateType: 't', predicate: { ok: 'true' } })), 'ATTESTATION_UNTRUSTED');
  assert.equal(codeFor(by('b', { predicateType: 't', predicate: { ok: true } })), 'ATTESTATION_UNTRUSTED');
  assert.equal(codeFor(by('a', { predicateType: 't', predicate: { ok: true } })), 'met');
});

void test('what is shown to people is bounded', () => {
  const many = Array.from({ length: 100 }, () => by('d', { signer: 'x'.repeat(5_000) }));
  const found = meetsSignatures(TWO, many, 7, NOW);
  assert.ok('detail' in found && found.detail.length < 2_000 && found.detail.includes('7 that hold for no authority'));
});

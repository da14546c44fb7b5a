/** Cases and Kubernetes manifests against hostile text: read or refused by code, and a case that is read can be decided. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { judgeCase } from '../../src/cli/judge-case.ts';
import { kubeImages } from '../../src/cli/kube-images.ts';
import { parseCases } from '../../src/cli/policy-cases.ts';
import { formatReference } from '../../src/oci/oci.ts';
import { deep, fuzz, refusedOr, smallAtTheEnd, spoilt, twisted } from '../support/fuzz.ts';
import { policyOf } from '../support/policies.ts';

smallAtTheEnd();

const DIGEST = `sha256:${'a'.repeat(64)}`;
const NOW = Date.parse('2026-12-01T00:00:00Z');
const POLICY = policyOf(`registries: [r.test]\nshare: [r.test/**]\npins: {"r.test/a:1": "${DIGEST}"}`);

const CASES = {
  at: '2026-12-01T00:00:00Z',
  cases: [
    {
      reference: 'r.test/a:1',
      digest: DIGEST,
      signedBy: ['one', { authority: 'two', format: 'legacy', signedAt: '2026-12-01T00:00:00Z' }],
      attestedBy: [{ authority: 'one', predicateType: 'https://p.test/v1', predicate: { a: [1] } }],
      untrusted: 1,
      node: { zone: 'z', roles: ['fetch'] },
      size: 5,
      expect: { decision: 'allow', rule: 'team', code: 'DENIED', share: true },
    },
  ],
};
const KUBE = {
  kind: 'List',
  items: [
    { spec: { containers: [{ image: `r.test/a:1@${DIGEST}` }], volumes: [{ image: { reference: 'r.test/b:2' } }] } },
  ],
};
const textOf = (good: object): fc.Arbitrary<string> =>
  fc.oneof(
    twisted(good).map(value => JSON.stringify(value)),
    spoilt(Buffer.from(JSON.stringify(good, undefined, 1))).map(bytes => bytes.toString('latin1')),
    fc.string({ unit: fc.constantFrom(...'{}[]:,&*!|>-?\n \t"#%@image'.split('')) }),
  );

void test('a file of cases, spoilt anywhere, is refused by code or decides', () => {
  fuzz(
    fc.property(textOf(CASES), text => {
      for (const one of refusedOr(() => parseCases(text, 'c.yaml')) ?? []) {
        const { decision, share } = judgeCase(POLICY, one, NOW);
        // What is not allowed is never shared.
        assert.ok(decision === 'allow' || !share);
      }
    }),
    800,
  );
});

void test('manifests, spoilt anywhere, are refused by code, and what is found is spelt as it stands there', () => {
  fuzz(
    fc.property(textOf(KUBE), text => {
      for (const { text: spelt, reference, why } of refusedOr(() => kubeImages(text, 'm.yaml')) ?? []) {
        if (reference) assert.equal(formatReference(reference), spelt);
        else assert.ok(why);
      }
    }),
    800,
  );
});

void test('nesting, many documents and one huge line are judged in time', () => {
  for (const text of [
    JSON.stringify(deep(300)),
    '---\n'.repeat(50_000),
    `image: ${'a'.repeat(900_000)}`,
    '['.repeat(100_000),
  ])
    refusedOr(() => kubeImages(text, 'm.yaml'));
});

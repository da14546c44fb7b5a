/** Policy files against hostile text: loaded or refused by code, in bounded time; and a mutated policy never allows by chance. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import { digestOf, parseReference } from '../../src/oci/oci.ts';
import { migrate } from '../../src/policy/migrate.ts';
import { loadPolicy, policyFiles } from '../../src/policy/parse.ts';
import type { Policy, Signed } from '../../src/policy/policy.ts';
import { fulfils } from '../../src/policy/predicate.ts';
import { parseSubjectPattern, SUBJECT_MAX } from '../../src/policy/subject-pattern.ts';
import { cost, deep, fuzz, refusedOr, smallAtTheEnd, spoilt, twisted } from '../support/fuzz.ts';
import { ISSUED_AT } from '../support/policies.ts';

const D1 = `sha256:${'1'.repeat(64)}`;
const PEM = '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n';
const ROOT = '{}';
const FILES: ReadonlyMap<string, Uint8Array> = new Map(
  Object.entries({
    'a.pub': PEM,
    'root.json': ROOT,
    'app.lock': `pinnace-pins 1 serial 1\nr.test/team/app:1 ${D1}\n`,
  }).map(([name, text]) => [name, Buffer.from(text)]),
);

function load(text: string): Policy | undefined {
  return refusedOr(() => {
    try {
      const policy = loadPolicy(text, 'policy.yaml', FILES);
      assert.ok(policyFiles(text, 'policy.yaml').every(name => FILES.has(name)));
      return policy;
    } catch (error) {
      assert.ok(hasCode(error, 'YAML_INVALID', 'POLICY_INVALID', 'PINS_INVALID'), String(error));
      throw error;
    }
  });
}

void test('any text is loaded or refused by code, and the short form as well', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.string({ unit: fc.constantFrom(...'{}[]:,&*!|>-?\n \t"#%@ab'.split('')) }),
  );
  fuzz(
    fc.property(texts, text => {
      load(text);
      refusedOr(() => migrate(text, 'p.yaml'));
    }),
    300,
  );
});

const GOOD = {
  apiVersion: 'pinnace.policy/v1',
  kind: 'MirrorPolicy',
  metadata: {
    name: 'p',
    serial: 3,
    issuedAt: '2026-11-20T00:00:00Z',
    expiresAt: '2027-01-01T00:00:00Z',
    onExpiry: 'deny',
  },
  registries: ['r.test', { name: 'long.test', aliases: ['short'] }],
  defaults: { action: 'deny', mode: 'enforce', vouchers: 3 },
  trustRoots: { corp: { file: 'root.json', sha256: digestOf(Buffer.from(ROOT)).slice(7) } },
  authorities: {
    a: { key: { file: 'a.pub', notAfter: '2027-01-01T00:00:00Z' }, tlog: 1, trustRoot: 'corp' },
    b: {
      keyless: {
        trustRoot: 'corp',
        identities: [
          { issuer: 'i', subject: 's' },
          { issuer: 'i', subjectPattern: 'ci-[0-9]+@r\\.test' },
        ],
        extensions: { '1.3.6.1.4.1.57264.1.12': 'v' },
      },
    },
  },
  rules: [
    {
      name: 'team',
      match: ['r.test/team/**', 'r.test/open/*'],
      share: { zones: ['eu'], roles: ['fetch'], maxBytes: '8GiB' },
      tags: { min: 2, keep: '30d' },
      pins: { require: true, files: ['app.lock'], moves: 'reported' },
      signatures: { nOf: { n: 2, of: ['a', 'b'] }, formats: ['bundle'], maxAge: '90d' },
      attestations: [
        { predicateType: 't', anyOf: ['b'], where: { '/a/b': { in: ['x', 1] }, '/n': { min: 1, max: 2 } } },
      ],
    },
    { name: 'no', match: 'r.test/no/**', action: 'deny' },
  ],
  exceptions: [{ match: 'r.test/no/app', digest: D1, reason: 'r', approvedBy: 'a', expiresAt: '2026-12-20T00:00:00Z' }],
};

void test('a good policy, spoilt anywhere, is refused or whole, and lets no name through that it does not name', () => {
  assert.ok(load(JSON.stringify(GOOD)));
  const text = fc.oneof(
    twisted(GOOD).map(value => JSON.stringify(value)),
    spoilt(Buffer.from(JSON.stringify(GOOD, undefined, 1))).map(bytes => bytes.toString('latin1')),
  );
  // No pattern comes to cover it by a change but the bare **, which needs a word more to share.
  const [other, denied] = [parseReference('s.test/private/app:1'), parseReference('q.test/app:1')];
  const digest = parseReference(`r.test/a@${D1}`).digest!;
  fuzz(
    fc.property(text, spelt => {
      const policy = load(spelt);
      if (!policy) return;
      const rule = policy.rule(other.registry, other.repository);
      assert.ok(rule.vouchers >= 1 && rule.vouchers <= 16);
      assert.ok(rule.share === undefined);
      assert.equal(policy.pull(denied, ISSUED_AT).code, 'NOT_MIRRORED');
      if (rule.action === 'deny' && rule.mode === 'enforce')
        assert.equal(policy.admit(other, digest, [], ISSUED_AT).allowed, false);
    }),
  );
});

void test('whatever is said to be signed, a ruling comes, and none by who is not asked for', () => {
  const policy = load(JSON.stringify(GOOD))!;
  const name = parseReference('r.test/team/app:1');
  const digest = policy.pin({ ...name, tag: name.tag! })!;
  const signed: fc.Arbitrary<Signed> = fc.record(
    {
      authority: fc.constantFrom('a', 'c', '', '__proto__'),
      format: fc.constantFrom('bundle' as const, 'legacy' as const),
      signer: fc.string(),
      signedAt: fc.double(),
      until: fc.double(),
      predicateType: fc.constantFrom('t', 'u', '__proto__'),
      predicate: fc.jsonValue(),
    },
    { requiredKeys: ['authority', 'format', 'signer'] },
  );
  fuzz(
    fc.property(fc.array(signed, { maxLength: 8 }), fc.nat(), (all, refused) => {
      assert.equal(policy.admit(name, digest, all, ISSUED_AT, refused).allowed, false, 'b did not sign');
    }),
  );
});

void test('conditions look at any predicate without an error', () => {
  const pointer = fc.oneof(
    fc.constant(''),
    fc.array(fc.string(), { maxLength: 4 }).map(parts => `/${parts.join('/')}`),
  );
  fuzz(
    fc.property(fc.jsonValue(), pointer, (predicate, at) => {
      const found = fulfils(predicate, [{ pointer: at, exists: true }]);
      assert.equal(fulfils(predicate, [{ pointer: at, exists: false }]), !found);
    }),
  );
});

void test('any pattern of subjects is refused, or anchored and quick', () => {
  const parts = fc.constantFrom(
    'a',
    'b',
    '.',
    '[ab]',
    '[^/]',
    '\\d',
    '(',
    '(?:',
    ')',
    '*',
    '+',
    '?',
    '{2,9}',
    '{3}',
    '|',
    '\\.',
    '/',
  );
  const patterns = fc.oneof(
    fc.array(parts, { maxLength: 14 }).map(list => list.join('')),
    fc.string({ maxLength: 40 }),
  );
  const subjects = ['a'.repeat(SUBJECT_MAX - 1) + '!', 'ab'.repeat(SUBJECT_MAX / 2), '/'.repeat(SUBJECT_MAX - 1) + '!'];
  fuzz(
    fc.property(patterns, text => {
      const pattern = refusedOr(() => parseSubjectPattern(text));
      if (!pattern) return;
      assert.ok(!pattern.test('\n') && !pattern.test('a\nb') && !pattern.test('x'.repeat(SUBJECT_MAX + 1)), text);
      for (const subject of subjects) assert.ok(cost(() => void pattern.test(subject)) < 2_000, text);
    }),
  );
});

void test('lists of ten thousand entries and brackets thousands deep are judged in time', () => {
  const policy = (more: object): string => JSON.stringify({ ...GOOD, ...more });
  for (const registries of [Array.from({ length: 10_000 }, (_, at) => `r${at}.test`), deep(300)])
    load(policy({ registries }));
  const rules = Array.from({ length: 8_000 }, (_, at) => ({ name: `r${at}`, match: `r.test/a${at}/**` }));
  assert.ok(load(policy({ rules })));
  assert.ok(load(policy({ rules: [{ name: 'r', match: rules.map(({ match }) => match) }] })));
  assert.equal(load('['.repeat(100_000)), undefined);
});

smallAtTheEnd();

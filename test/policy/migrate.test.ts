/** The short form rewritten: every name is decided as it was, and what was refused is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseReference, type Registry, type Repository, type TagReference } from '../../src/oci/oci.ts';
import { lockFileOf, migrate } from '../../src/policy/migrate.ts';
import { loadPolicy } from '../../src/policy/parse.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { policyOf } from '../support/policies.ts';
import { D1, D2, DAY_MS, NOW, ref, ruleFor, tag } from './ground.ts';

interface Short {
  readonly registries: readonly string[];
  readonly share: readonly string[];
  readonly tags: readonly { readonly match: string; readonly min: number }[];
  readonly pins: Readonly<Record<string, string>>;
  readonly vouchers: number;
  readonly shareEverything: boolean;
}

/** What the short form decided: each list on its own, by the narrowest of its patterns that matches. */
function decided(short: Short, { registry, repository, tag: word }: TagReference): unknown {
  const parts = repository.split('/');
  const matches = (pattern: string): boolean => {
    if (pattern === '**') return true;
    const [host, ...rest] = pattern.split('/');
    const tail = /^\*+$/.test(rest.at(-1)!) ? rest.pop() : '';
    const more = parts.length - rest.length;
    if (host !== registry || !rest.every((part, at) => part === parts[at])) return false;
    return tail === '' ? more === 0 : tail === '*' ? more === 1 : more >= 1;
  };
  const weight = (pattern: string): number =>
    pattern === '**'
      ? 0
      : (pattern.replace(/\/\*+$/, '').split('/').length + 1) * 3 +
        (pattern.endsWith('**') ? 0 : pattern.endsWith('*') ? 1 : 2);
  const rule = short.tags
    .filter(({ match }) => matches(match))
    .toSorted((a, b) => weight(b.match) - weight(a.match))[0];
  const pin = short.pins[`${registry}/${repository}:${word}`];
  return {
    pull: short.registries.includes('*') || short.registries.includes(registry),
    share: short.share.some(matches),
    tag: pin ?? (rule ? `${rule.min} statements` : 'nobody'),
    vouchers: short.vouchers,
  };
}

/** What a policy decides, in the same words. */
function decides(policy: Policy, name: TagReference): unknown {
  const { share, tags, vouchers } = policy.rule(name.registry, name.repository);
  const ruling = policy.admit(name, D2, [], NOW);
  assert.equal(ruling.allowed, true, 'the short form asked for nothing');
  return {
    pull: policy.pull(name, NOW).allowed,
    share: share !== undefined,
    tag: policy.pin(name) ?? (tags.by === 'statements' ? `${tags.min} statements` : 'nobody'),
    vouchers,
  };
}

void test('every name is decided as it was', () => {
  const part = fc.constantFrom('a', 'b', 'c');
  const host = fc.constantFrom('r.test', 'q.test:5000');
  const pattern = fc.oneof(
    {
      weight: 9,
      arbitrary: fc
        .tuple(host, fc.array(part, { maxLength: 3 }), fc.constantFrom('', '*', '**'))
        .filter(([, parts, tail]) => parts.length > 0 || tail !== '')
        .map(([name, parts, tail]) => [name, ...parts, ...(tail ? [tail] : [])].join('/')),
    },
    { weight: 1, arbitrary: fc.constant('**') },
  );
  const name = fc
    .tuple(
      fc.constantFrom('r.test', 'q.test:5000', 'x.test'),
      fc.array(part, { minLength: 1, maxLength: 4 }),
      fc.constantFrom('1', '2'),
    )
    .map(([registry, parts, word]) => `${registry}/${parts.join('/')}:${word}`);
  const short: fc.Arbitrary<Short> = fc.record({
    registries: fc.uniqueArray(fc.constantFrom('r.test', 'q.test:5000', '*')),
    share: fc.uniqueArray(pattern, { maxLength: 6 }),
    tags: fc.uniqueArray(fc.record({ match: pattern, min: fc.integer({ min: 1, max: 64 }) }), {
      maxLength: 6,
      selector: ({ match }) => match,
    }),
    pins: fc.dictionary(name, fc.constantFrom<string>(D1, D2), { maxKeys: 4 }),
    vouchers: fc.integer({ min: 1, max: 16 }),
    shareEverything: fc.constant(true),
  });
  fc.assert(
    fc.property(short, fc.array(name, { minLength: 1, maxLength: 8 }), (file, names) => {
      const policy = policyOf(JSON.stringify(file), 'n1.yaml');
      for (const one of [...names, ...Object.keys(file.pins)])
        assert.deepEqual(decides(policy, tag(one)), decided(file, tag(one)), one);
    }),
    { numRuns: 500 },
  );
});

void test('aliases, times and pins come along', () => {
  const text = `
registries: [{name: r.test, aliases: [r]}]
share: [r.test/team/**]
tags: [{match: r.test/team/*, min: 2, keep: 12h}]
pins: {r.test/team/app:1: "${D1}"}
`;
  const { policy: whole, pins } = migrate(text, '/etc/n1.policy.yaml', NOW);
  assert.equal(lockFileOf('/etc/n1.policy.yaml'), 'n1.policy.lock');
  assert.equal(pins, `pinnace-pins 1 serial 1\nr.test/team/app:1 ${D1}\n`);
  const policy = loadPolicy(whole, 'p.yaml', new Map([['n1.policy.lock', Buffer.from(pins)]]));
  assert.equal(policy.registry('r' as Registry), 'r.test');
  assert.equal(policy.issuedAt, NOW);
  assert.deepEqual(ruleFor(policy, 'r.test/team/app').tags, { by: 'statements', min: 2, keepMs: DAY_MS / 2 });
  assert.deepEqual(ruleFor(policy, 'r.test/team/app/x').tags, { by: 'pins' });
  assert.equal(policy.pin(tag('r.test/team/app:1')), D1);
  assert.equal(policy.rule('r.test' as Registry, 'else' as Repository).share, undefined);
  assert.equal(policy.pull(ref('r.test/else:1'), NOW).allowed, true);
});

void test('an empty file becomes one that mirrors nothing', () => {
  const { policy: whole, pins } = migrate('{}', 'p.yaml');
  assert.equal(pins, undefined);
  assert.equal(loadPolicy(whole, 'p.yaml', new Map()).pull(parseReference('r.test/a:1'), NOW).code, 'NOT_MIRRORED');
});

void test('rules have names of their own, whatever their patterns', () => {
  const share = [
    '**',
    'r.test/**',
    'r.test/*',
    'r.test/a',
    'r.test/a/**',
    'r.test:5000/a',
    `r.test/${'a/'.repeat(80)}b`,
    'defaults/**',
    'registries/**',
  ];
  policyOf(JSON.stringify({ shareEverything: true, share }));
});

void test('what the short form refused is refused', () => {
  for (const text of [
    'registry: [r.test]',
    'registries: r.test',
    'registries: [r.test, r.test]',
    'share: ["**"]',
    'share: r.test/**',
    'share: [r.test/a/*, r.test/a/*]',
    'shareEverything: 1',
    'tags: all',
    'tags: [{match: r.test/**}]',
    'tags: [{match: r.test/**, min: 65}]',
    'tags: [{match: r.test/**, min: 1, keep: "7d}\\nrules: []"}]',
    'tags: [{match: r.test/**, min: 1}, {match: r.test/**, min: 2}]',
    'pins: [r.test/a:1]',
    `pins: {"r.test/a": "${D1}"}`,
    'pins: {"r.test/a:1": latest}',
    'vouchers: 0',
    'registries: [{name: r.test, aliases: [r]}]\nshare: [r/a]',
    `registries: [{name: r.test, aliases: [r]}]\npins: {"r/a:1": "${D1}"}`,
    'apiVersion: pinnace.policy/v1',
    '[]',
  ])
    assert.throws(
      () => policyOf(text.startsWith('apiVersion') ? migrate(text, 'p.yaml').policy : text),
      { code: 'POLICY_INVALID' },
      text,
    );
});

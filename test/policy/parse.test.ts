/** The policy file: what it says is what is decided, and what could be meant in two ways is refused. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseReference, parseRegistry, parseRepository, parseTagReference } from '../../src/oci/oci.ts';
import { loadPolicy } from '../../src/policy/parse.ts';

const D1 = `sha256:${'1'.repeat(64)}`;
const DAY_MS = 86_400_000;
const load = (text: string) => loadPolicy(text, 'policy.yaml');
const tag = (text: string) => parseTagReference(text);
const file = (name: string): string => readFileSync(new URL(`../../policies/${name}.yaml`, import.meta.url), 'utf8');

void test('an empty mapping denies everything', () => {
  const policy = load('{}');
  const registry = parseRegistry('r.test');
  assert.equal(policy.registry(registry), undefined);
  assert.equal(policy.pull(registry, parseRepository('a')).allowed, false);
  assert.equal(policy.share(parseReference('r.test/a:1')).allowed, false);
  assert.deepEqual(policy.tag(tag('r.test/a:1')), { by: 'nobody' });
  assert.equal(policy.vouchers, 2);
});

void test('the hash is that of the file', () => {
  assert.equal(load('{}\n').hash, createHash('sha256').update('{}\n').digest('hex'));
});

void test('registries are mirrored under their name and aliases, others not', () => {
  const policy = load('registries: [r.test:5000, {name: q.test, aliases: [q, quay]}]');
  assert.equal(policy.registry(parseRegistry('quay')), 'q.test');
  assert.equal(policy.registry(parseRegistry('q.test')), 'q.test');
  assert.equal(policy.registry(parseRegistry('r.test:5000')), 'r.test:5000');
  assert.equal(policy.registry(parseRegistry('r.test')), undefined);
  const pull = policy.pull(parseRegistry('q.test'), parseRepository('a'));
  assert.deepEqual(pull, { allowed: true, rule: 'registries: q.test' });
  assert.equal(policy.pull(parseRegistry('x.test'), parseRepository('a')).allowed, false);
});

void test('a share names the rule that allowed it, by tag or digest alike', () => {
  const policy = load('share: [r.test/team/**, r.test/team/secret/*]');
  assert.deepEqual(policy.share(parseReference(`r.test/team/app@${D1}`)), {
    allowed: true,
    rule: 'share: r.test/team/**',
  });
  assert.equal(policy.share(parseReference('r.test/other/app:1')).allowed, false);
});

void test('a bare ** needs the word shareEverything', () => {
  assert.throws(() => load('share: ["**"]'), { code: 'POLICY_INVALID' });
  assert.throws(() => load('share: ["**"]\nshareEverything: false'), { code: 'POLICY_INVALID' });
  assert.equal(load('share: ["**"]\nshareEverything: true').share(parseReference('r.test/a:1')).allowed, true);
});

void test('a pin decides before statements; a rule says how many and how long', () => {
  const policy = load(`
tags:
  - {match: r.test/team/**, min: 2, keep: 12h}
  - {match: r.test/team/app, min: 3}
pins:
  r.test/team/app:1.0: ${D1}
`);
  assert.deepEqual(policy.tag(tag('r.test/team/app:1.0')), { by: 'pin', digest: D1 });
  assert.deepEqual(policy.tag(tag('r.test/team/app:2.0')), { by: 'statements', min: 3, keepMs: 7 * DAY_MS });
  assert.deepEqual(policy.tag(tag('r.test/team/db:1')), { by: 'statements', min: 2, keepMs: DAY_MS / 2 });
  assert.deepEqual(policy.tag(tag('r.test/else:1')), { by: 'nobody' });
});

void test('what is unknown, of a wrong type, ambiguous or out of range is refused', () => {
  for (const text of [
    'registry: [r.test]',
    'mode: enforce',
    'registries: r.test',
    'registries: [7]',
    'registries: [R.test]',
    'registries: ["r.test/a"]',
    'registries: [r.test, r.test]',
    'registries: ["*", "*"]',
    'registries: [{name: r.test, aliases: [r, r]}]',
    'registries: [{name: r.test, aliases: [q.test]}, q.test]',
    'registries: [{name: r.test, alias: [r]}]',
    'registries: [{aliases: [r]}]',
    'share: r.test/**',
    'share: [r.test/a/*, r.test/a/*]',
    'share: ["*"]',
    'shareEverything: 1',
    'tags: all',
    'tags: {match: r.test/**, min: 1}',
    'tags: [r.test/**]',
    'tags: [{match: r.test/**}]',
    'tags: [{min: 1}]',
    'tags: [{match: r.test/**, min: 0}]',
    'tags: [{match: r.test/**, min: 1.5}]',
    'tags: [{match: r.test/**, min: "1"}]',
    'tags: [{match: r.test/**, min: 65}]',
    'tags: [{match: r.test/**, min: 1, keep: 7}]',
    'tags: [{match: r.test/**, min: 1, keep: 7w}]',
    'tags: [{match: r.test/**, min: 1, keep: 366d}]',
    'tags: [{match: r.test/**, min: 1, keep: 59m}]',
    'tags: [{match: r.test/**, min: 1, keep: -7d}]',
    'tags: [{match: r.test/**, min: 1, max: 2}]',
    'tags: [{match: r.test/**, min: 1}, {match: r.test/**, min: 2}]',
    'pins: [r.test/a:1]',
    `pins: {"r.test/a": "${D1}"}`,
    `pins: {"a:1": "${D1}"}`,
    `pins: {"r.test/a:1@${D1}": "${D1}"}`,
    'pins: {"r.test/a:1": "sha256:1"}',
    'pins: {"r.test/a:1": latest}',
    'vouchers: 0',
    'vouchers: 17',
    'vouchers: two',
    '[]',
    '',
    'x',
  ])
    assert.throws(() => load(text), { code: 'POLICY_INVALID' }, text);
});

void test('keys twice, aliases and tags of YAML are refused', () => {
  for (const text of [
    'vouchers: 2\nvouchers: 1',
    'share: &a [r.test/a]\ntags: *a',
    'vouchers: !!int "2"\nx: !y 1',
    'a: [',
    '\t',
  ])
    assert.throws(
      () => load(text),
      (error: { code: string }) => ['YAML_INVALID', 'POLICY_INVALID'].includes(error.code),
      text,
    );
});

void test('pins and patterns are written with the host, never with an alias', () => {
  const registries = 'registries: [{name: r.test, aliases: [r]}]';
  for (const text of ['share: [r/a]', 'tags: [{match: r/**, min: 1}]', `pins: {"r/a:1": "${D1}"}`])
    assert.throws(() => load(`${registries}\n${text}`), { code: 'POLICY_INVALID' }, text);
});

void test('permissive.yaml mirrors and shares everything, and takes a tag from any one node', () => {
  const policy = loadPolicy(file('permissive'), 'permissive.yaml');
  const registry = parseRegistry('r.test:5000');
  assert.equal(policy.registry(registry), registry);
  assert.equal(policy.pull(registry, parseRepository('a/b')).allowed, true);
  assert.equal(policy.share(parseReference('r.test/a:1')).allowed, true);
  assert.deepEqual(policy.tag(tag('r.test/a:1')), { by: 'statements', min: 1, keepMs: 7 * DAY_MS });
  assert.equal(policy.vouchers, 2);
});

void test('pinned.yaml mirrors one registry, shares one team’s images, and knows pinned tags alone', () => {
  const policy = loadPolicy(file('pinned'), 'pinned.yaml');
  const host = parseRegistry('registry.example');
  assert.equal(policy.registry(parseRegistry('team')), host);
  assert.equal(policy.registry(parseRegistry('r.test')), undefined);
  assert.equal(policy.share(parseReference('registry.example/team/app:1.0')).allowed, true);
  assert.equal(policy.share(parseReference('registry.example/other:1.0')).allowed, false);
  assert.equal(policy.tag(tag('registry.example/team/app:1.0')).by, 'pin');
  assert.equal(policy.tag(tag('registry.example/team/app:1.1')).by, 'nobody');
});

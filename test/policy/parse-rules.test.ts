/** Rules and defaults: each key says what it says, each error has its place, and the order of rules means nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAY_MS, KEYS, load, refuses, ruleFor } from './ground.ts';

const one = (rest: string): string => `rules: [{name: a, match: r.test/a, ${rest}}]`;
const read = (rest: string) => ruleFor(load(`${KEYS}${one(rest)}`), 'r.test/a');

void test('each key of a rule', () => {
  assert.deepEqual([read('action: deny').action, read('mode: audit').mode], ['deny', 'audit']);
  assert.equal(read('vouchers: 16').vouchers, 16);
  assert.deepEqual(read('tags: pins').tags, { by: 'pins' });
  assert.deepEqual(read('tags: {min: 3}').tags, { by: 'statements', min: 3, keepMs: 7 * DAY_MS });
  assert.deepEqual(read('tags: {min: 1, keep: 12h}').tags, { by: 'statements', min: 1, keepMs: DAY_MS / 2 });
  assert.equal(read('share: never').share, undefined);
  assert.deepEqual(read('share: cluster').share, {});
  assert.deepEqual(read('share: {zones: [eu-1, eu-2], roles: [attest], maxBytes: 8GiB}').share, {
    zones: new Set(['eu-1', 'eu-2']),
    roles: new Set(['attest']),
    maxBytes: 8 * 2 ** 30,
  });
  assert.deepEqual(read('pins: {require: true, files: [app.lock], moves: reported}').pins, {
    require: true,
    moves: 'reported',
  });
  assert.equal(read('signatures: {allOf: [a, b]}').signatures?.n, 2);
  assert.equal(read('attestations: [{predicateType: t, anyOf: [a]}]').attestations.length, 1);
});

void test('a rule of several patterns is one rule, whichever of them matches', () => {
  const policy = load('rules: [{name: a, match: [r.test/a, r.test/b/**], vouchers: 3}]');
  for (const [name, pattern] of [
    ['r.test/a', 'r.test/a'],
    ['r.test/b/c/d', 'r.test/b/**'],
  ] as const) {
    const rule = ruleFor(policy, name);
    assert.deepEqual([rule.name, rule.pattern, rule.vouchers], ['a', pattern, 3]);
  }
});

void test('one rule decides, whatever their order: the most literal components, then one component before several', () => {
  const rules = [
    '{name: exact, match: r.test/team/app}',
    '{name: star, match: r.test/team/*}',
    '{name: stars, match: r.test/team/**}',
    '{name: host, match: r.test/**}',
    '{name: all, match: "**"}',
  ];
  for (const list of [rules, rules.toReversed()]) {
    const policy = load(`rules: [${list.join(', ')}]`);
    const names = ['r.test/team/app', 'r.test/team/db', 'r.test/team/db/c', 'r.test/x', 'q.test/x'];
    assert.deepEqual(
      names.map(name => ruleFor(policy, name).name),
      ['exact', 'star', 'stars', 'host', 'all'],
    );
  }
});

void test('defaults stand in for what a rule leaves out, field by field, but for the action', () => {
  const defaults =
    'defaults: {action: allow, mode: audit, tags: {min: 2}, vouchers: 5, shareEverything: true, share: cluster, pins: {require: true, files: [app.lock]}, signatures: {anyOf: [a]}, attestations: [{predicateType: t, anyOf: [b]}]}';
  const policy = load(
    `${KEYS}${defaults}\nrules: [{name: a, match: r.test/a}, {name: b, match: r.test/b, mode: enforce, tags: pins, vouchers: 1, share: never, pins: {}, signatures: {allOf: [c]}, attestations: [{predicateType: u, anyOf: [c]}]}]`,
  );
  const { name, pattern, action, ...usual } = ruleFor(policy, 'r.test/x');
  assert.deepEqual([name, pattern, action], ['defaults', '', 'allow']);
  const { name: _, pattern: __, action: ___, ...plain } = ruleFor(policy, 'r.test/a');
  assert.deepEqual(plain, usual);
  const own = ruleFor(policy, 'r.test/b');
  assert.deepEqual([own.mode, own.tags, own.vouchers, own.share], ['enforce', { by: 'pins' }, 1, undefined]);
  assert.deepEqual([own.pins.require, own.signatures?.of, own.attestations[0]?.predicateType], [false, ['c'], 'u']);
  const denying = load('defaults: {action: deny}\nrules: [{name: a, match: r.test/a}]');
  assert.equal(ruleFor(denying, 'r.test/a').action, 'allow', 'a rule allows unless it says otherwise');
});

void test('a bare ** needs the word shareEverything, and so do defaults that let names through', () => {
  for (const rest of [
    'rules: [{name: a, match: "**", share: cluster}]',
    'rules: [{name: a, match: [r.test/a, "**"], share: {zones: [z]}}]',
    'rules: [{name: a, match: "**", action: deny, mode: audit, share: cluster}]',
    'defaults: {share: cluster}\nrules: [{name: a, match: "**"}]',
    'defaults: {action: allow, share: cluster}',
    'defaults: {mode: audit, share: cluster}',
    'defaults: {shareEverything: false, action: allow, share: cluster}',
  ]) {
    assert.throws(() => load(rest), { code: 'POLICY_INVALID' }, rest);
    const said = rest.includes('defaults: {')
      ? rest.replace('shareEverything: false, ', '').replace('defaults: {', 'defaults: {shareEverything: true, ')
      : `defaults: {shareEverything: true}\n${rest}`;
    load(said);
  }
  load('rules: [{name: a, match: "**"}]');
  load('defaults: {share: cluster}\nrules: [{name: a, match: "r.test/**"}]');
});

void test('two equal patterns are refused, in one rule or in two', () => {
  refuses('POLICY_INVALID', [
    ['rules: [{name: a, match: r.test/a/*}, {name: b, match: r.test/a/*}]', 'rules: the pattern'],
    ['rules: [{name: a, match: [r.test/a, r.test/a]}]', 'rules: the pattern'],
  ]);
});

void test('what a rule may not say is refused with its place', () => {
  const at = (rest: string, place: string): readonly [string, string] => [`${KEYS}${one(rest)}`, `rules[0]${place}`];
  refuses('POLICY_INVALID', [
    ['rules: [{match: r.test/a}]', 'rules[0].name: '],
    ['rules: [{name: A, match: r.test/a}]', 'rules[0].name: '],
    ['rules: [{name: defaults, match: r.test/a}]', 'rules[0].name: '],
    ['rules: [{name: registries, match: r.test/a}]', 'rules[0].name: '],
    ['rules: [{name: a, match: r.test/a}, {name: a, match: r.test/b}]', 'rules[1].name: a stands twice'],
    ['rules: [{name: a}]', 'rules[0].match: '],
    ['rules: [{name: a, match: []}]', 'rules[0].match: '],
    ['rules: [{name: a, match: [7]}]', 'rules[0].match: '],
    ['rules: [{name: a, match: r.test}]', 'rules[0].match: '],
    ['registries: [{name: r.test, aliases: [r]}]\nrules: [{name: a, match: r/a}]', 'rules[0].match: r is an alias'],
    at('action: audit', '.action: '),
    at('mode: warn', '.mode: '),
    at('vouchers: 0', '.vouchers: '),
    at('vouchers: 17', '.vouchers: '),
    at('vouchers: two', '.vouchers: '),
    at('shares: cluster', '.shares: is not a known key'),
    at('share: all', '.share: '),
    at('share: true', '.share: '),
    at('share: null', '.share: '),
    at('share: [cluster]', '.share: '),
    at('share: {}', '.share: '),
    at('share: {zones: []}', '.share.zones: '),
    at('share: {zones: [a, a]}', '.share.zones: '),
    at('share: {zones: ["eu-*"]}', '.share.zones: '),
    at('share: {roles: [admin]}', '.share.roles: '),
    at('share: {maxBytes: 8}', '.share.maxBytes: '),
    at('share: {maxBytes: 8GB}', '.share.maxBytes: '),
    at('share: {maxBytes: 0GiB}', '.share.maxBytes: '),
    at('share: {zone: a}', '.share.zone: is not a known key'),
    at('tags: all', '.tags: '),
    at('tags: [pins]', '.tags: '),
    at('tags: null', '.tags: '),
    at('tags: {}', '.tags.min: '),
    at('tags: {min: 0}', '.tags.min: '),
    at('tags: {min: 1.5}', '.tags.min: '),
    at('tags: {min: "1"}', '.tags.min: '),
    at('tags: {min: 65}', '.tags.min: '),
    at('tags: {min: 1, keep: 7}', '.tags.keep: '),
    at('tags: {min: 1, keep: 7w}', '.tags.keep: '),
    at('tags: {min: 1, keep: 366d}', '.tags.keep: '),
    at('tags: {min: 1, keep: 59m}', '.tags.keep: '),
    at('tags: {min: 1, keep: -7d}', '.tags.keep: '),
    at('tags: {min: 1, max: 2}', '.tags.max: is not a known key'),
    at('pins: [app.lock]', '.pins: '),
    at('pins: {require: 1, files: [app.lock]}', '.pins.require: '),
    at('pins: {require: true}', '.pins.files: '),
    at('pins: {require: true, files: []}', '.pins.files: '),
    at('pins: {files: [app.lock, app.lock]}', '.pins.files: '),
    at('pins: {files: [/etc/app.lock]}', '.pins.files: '),
    at('pins: {files: ["a\\nb"]}', '.pins.files: '),
    at('pins: {files: [-rf]}', '.pins.files: '),
    at('pins: {files: [a//b]}', '.pins.files: '),
    at('pins: {require: true, files: [app.lock], moves: allowed}', '.pins.moves: '),
    at('pins: {files: [app.lock], moves: reported}', '.pins.moves: '),
    at('pins: {require: true, files: [app.lock], tags: []}', '.pins.tags: is not a known key'),
    ['defaults: {action: audit}', 'defaults.action: '],
    ['defaults: {name: a}', 'defaults.name: is not a known key'],
    ['defaults: {shareEverything: yes}', 'defaults.shareEverything: '],
    ['defaults: {vouchers: 0}', 'defaults.vouchers: '],
    [`rules: [{name: a, match: r.test/a, shareEverything: true}]`, 'rules[0].shareEverything: is not a known key'],
  ]);
});

/** The policy file: what it says is what is loaded, and what could be meant in two ways is refused with its place. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { parseRegistry } from '../../src/oci/oci.ts';
import { loadPolicy, policyFiles } from '../../src/policy/parse.ts';
import { DAY_MS, FILES, ISSUED_AT, KEYS, load, NOW, ref, refuses, ROOT_SHA256, ruleFor, tag, whole } from './ground.ts';

const example = (name: string): Buffer => readFileSync(new URL(`../../policies/${name}`, import.meta.url));

void test('a head alone denies everything', () => {
  const policy = load('');
  assert.equal(policy.registry(parseRegistry('r.test')), undefined);
  assert.deepEqual([policy.pull(ref('r.test/a:1'), NOW).code, policy.name], ['NOT_MIRRORED', 'test']);
  const rule = ruleFor(policy, 'r.test/a');
  assert.deepEqual(
    [rule.name, rule.action, rule.mode, rule.share, rule.tags],
    ['defaults', 'deny', 'enforce', undefined, { by: 'pins' }],
  );
  assert.deepEqual([rule.vouchers, rule.pins, rule.attestations], [2, { require: false, moves: 'denied' }, []]);
});

void test('metadata says name, serial, times and what happens at the end', () => {
  const policy = load('', ', expiresAt: 2026-12-20T12:30:00.500Z, onExpiry: deny');
  assert.deepEqual([policy.name, policy.serial, policy.issuedAt, policy.onExpiry], ['test', 1, ISSUED_AT, 'deny']);
  assert.equal(policy.expiresAt, ISSUED_AT + 30 * DAY_MS + 12.5 * 3_600_000 + 500);
  assert.deepEqual([load('').expiresAt, load('').onExpiry], [undefined, 'freeze']);
});

void test('a head that is not whole is refused with its place', () => {
  const head = 'apiVersion: pinnace.policy/v1\nkind: MirrorPolicy\n';
  const meta = (text: string): string => `${head}metadata: ${text}\n`;
  for (const [text, place] of [
    ['{}', 'apiVersion: is missing'],
    ['[]', 'must be a mapping'],
    ['', 'must be a mapping'],
    ['apiVersion: pinnace.policy/v2', 'apiVersion: must be'],
    ['apiVersion: pinnace.policy/v1', 'kind: must be'],
    ['apiVersion: pinnace.policy/v1\nkind: Policy', 'kind: must be'],
    [head, 'metadata: must be there'],
    [meta('prod'), 'metadata: must be a mapping'],
    [meta('{serial: 1, issuedAt: 2026-11-20T00:00:00Z}'), 'metadata.name: '],
    [meta('{name: Prod, serial: 1, issuedAt: 2026-11-20T00:00:00Z}'), 'metadata.name: '],
    [meta('{name: a, issuedAt: 2026-11-20T00:00:00Z}'), 'metadata.serial: '],
    [meta('{name: a, serial: 0, issuedAt: 2026-11-20T00:00:00Z}'), 'metadata.serial: '],
    [meta('{name: a, serial: "1", issuedAt: 2026-11-20T00:00:00Z}'), 'metadata.serial: '],
    [meta('{name: a, serial: 1}'), 'metadata.issuedAt: '],
    [meta('{name: a, serial: 1, issuedAt: 2026-11-20}'), 'metadata.issuedAt: '],
    [meta('{name: a, serial: 1, issuedAt: 2026-02-30T00:00:00Z}'), 'metadata.issuedAt: '],
    [meta('{name: a, serial: 1, issuedAt: 2026-11-20T00:00:00+01:00}'), 'metadata.issuedAt: '],
    [meta('{name: a, serial: 1, issuedAt: 2026-11-20T24:00:00Z}'), 'metadata.issuedAt: '],
    [
      meta('{name: a, serial: 1, issuedAt: 2026-11-20T00:00:00Z, expiresAt: 2026-11-20T00:00:00Z}'),
      'metadata.expiresAt: ',
    ],
    [meta('{name: a, serial: 1, issuedAt: 2026-11-20T00:00:00Z, onExpiry: warn}'), 'metadata.onExpiry: '],
    [meta('{name: a, serial: 1, issuedAt: 2026-11-20T00:00:00Z, owner: x}'), 'metadata.owner: is not a known key'],
  ] as const)
    assert.throws(
      () => loadPolicy(text, 'p.yaml', FILES),
      error => {
        assert.ok(hasCode(error, 'POLICY_INVALID') && error.message.startsWith(`p.yaml: ${place}`), String(error));
        return true;
      },
      text,
    );
});

void test('the short form is refused with the command that rewrites it', () => {
  assert.throws(
    () => loadPolicy('registries: [r.test]\nshare: [r.test/**]\n', '/etc/p.yaml', FILES),
    error => hasCode(error, 'POLICY_INVALID') && error.message.includes('pinnace policy migrate /etc/p.yaml'),
  );
});

void test('registries are mirrored under their name and aliases, others not', () => {
  const policy = load('registries: [r.test:5000, {name: q.test, aliases: [q, quay]}]');
  assert.equal(policy.registry(parseRegistry('quay')), 'q.test');
  assert.equal(policy.registry(parseRegistry('q.test')), 'q.test');
  assert.equal(policy.registry(parseRegistry('r.test:5000')), 'r.test:5000');
  assert.equal(policy.registry(parseRegistry('r.test')), undefined);
  assert.equal(load('registries: ["*"]').registry(parseRegistry('x.test')), 'x.test');
});

void test('what is unknown, of a wrong type, ambiguous or out of range is refused', () => {
  refuses('POLICY_INVALID', [
    ['registry: [r.test]', 'registry: is not a known key'],
    ['mode: enforce', 'mode: is not a known key'],
    ['registries: r.test', 'registries: '],
    ['registries: [7]', 'registries[0]: '],
    ['registries: [r.test, R.test]', 'registries[1]: '],
    ['registries: ["r.test/a"]', 'registries[0]: '],
    ['registries: [r.test, r.test]', 'registries[1]: r.test stands twice'],
    ['registries: ["*", "*"]', 'registries: '],
    ['registries: [{name: r.test, aliases: [r, r]}]', 'registries[0]: r stands twice'],
    ['registries: [{name: r.test, aliases: [q.test]}, q.test]', 'registries[1]: q.test stands twice'],
    ['registries: [{name: r.test, alias: [r]}]', 'registries[0].alias: is not a known key'],
    ['registries: [{aliases: [r]}]', 'registries[0].name: '],
    ['trustRoots: [a]', 'trustRoots: '],
    ['rules: {name: a}', 'rules: must be a list'],
    ['rules: [a]', 'rules[0]: must be a mapping'],
    ['exceptions: {}', 'exceptions: must be a list'],
    ['defaults: []', 'defaults: must be a mapping'],
    ['authorities: [a]', 'authorities: must be a mapping'],
  ]);
});

void test('keys twice, aliases and tags of YAML, and what its reader warns of are refused', () => {
  for (const text of [
    'registries: []\nregistries: []',
    'rules: []\nrules: []',
    'registries: &a [r.test]\ndefaults: *a',
    'x: !y 1',
    'registries: [',
    'registries:\n\t- r.test',
  ])
    assert.throws(
      () => load(text),
      error => hasCode(error, 'YAML_INVALID'),
      text,
    );
});

const NAMING = `
trustRoots: {corp: {file: root.json, sha256: ${ROOT_SHA256}}}
${KEYS}
defaults: {pins: {files: [db.lock]}}
rules: [{name: team, match: r.test/team/app, pins: {require: true, files: [app.lock, db.lock]}}]
`;

void test('the files that a policy names are told as written, sorted, each once', () => {
  assert.deepEqual(policyFiles(whole(NAMING), 'p.yaml'), [
    'a.pub',
    'app.lock',
    'b.pub',
    'c.pub',
    'db.lock',
    'root.json',
  ]);
  assert.deepEqual(policyFiles(whole(''), 'p.yaml'), []);
});

void test('a file that was not given is an error that names it and its place', () => {
  for (const name of policyFiles(whole(NAMING), 'p.yaml')) {
    const files = new Map([...FILES].filter(([file]) => file !== name));
    assert.throws(
      () => load(NAMING, '', files),
      error => hasCode(error, 'POLICY_INVALID') && error.message.includes(name),
      name,
    );
  }
});

void test('a trust root counts only with the bytes whose hash is written down', () => {
  assert.equal(Buffer.from(load(NAMING).trustRoots.get('corp')!).toString(), '{"root":1}');
  assert.throws(() => load(NAMING, '', new Map([...FILES, ['root.json', Buffer.from('{"root":2}')]])), {
    code: 'POLICY_INVALID',
  });
});

void test('a key file holds one public key in PEM, and no private one', () => {
  for (const text of [
    '',
    'x',
    ['-----BEGIN PRIVATE', 'KEY-----\nAAAA\n-----END PRIVATE', 'KEY-----\n'].join(' '),
    '-----BEGIN PUBLIC KEY-----\nAA*A\n-----END PUBLIC KEY-----\n',
    `-----BEGIN PUBLIC KEY-----\n${'A'.repeat(20_000)}\n-----END PUBLIC KEY-----\n`,
    '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n-----BEGIN PUBLIC KEY-----\nAAAB\n-----END PUBLIC KEY-----\n',
  ])
    assert.throws(
      () => load(KEYS, '', new Map([...FILES, ['a.pub', Buffer.from(text)]])),
      error => hasCode(error, 'POLICY_INVALID') && error.message.includes('authorities.a.key.file'),
      text.slice(0, 40),
    );
});

void test('a lock file with an error is refused with its own name and line', () => {
  assert.throws(
    () => load('rules: [{name: a, match: r.test/a, pins: {files: [broken.lock]}}]'),
    error => hasCode(error, 'PINS_INVALID') && error.message.startsWith('broken.lock:3: '),
  );
});

void test('two lock files of one rule may not differ about a reference', () => {
  const files = (names: string): string => `rules: [{name: a, match: r.test/team/**, pins: {files: [${names}]}}]`;
  assert.throws(() => load(files('app.lock, moved.lock')), { code: 'PINS_INVALID' });
  assert.ok(load(files('app.lock, db.lock')).pin(tag('r.test/team/db:1')));
});

void test('one key under two names is not two signers', () => {
  const twice = 'authorities: {a: {key: {file: a.pub}}, b: {key: {file: a.pub}}}\n';
  const rule = (how: string): string => `${twice}rules: [{name: r, match: r.test/a, signatures: ${how}}]`;
  load(rule('{anyOf: [a, b]}'));
  for (const how of ['{allOf: [a, b]}', '{nOf: {n: 2, of: [a, b]}}'])
    assert.throws(() => load(rule(how)), { code: 'POLICY_INVALID' }, how);
  const reflowed = Buffer.from(FILES.get('a.pub')!).toString().replaceAll('\n', '\r\n');
  const spelt = KEYS + 'rules: [{name: r, match: r.test/a, attestations: [{predicateType: t, allOf: [a, b]}]}]';
  assert.throws(() => load(spelt, '', new Map([...FILES, ['b.pub', Buffer.from(reflowed)]])), {
    code: 'POLICY_INVALID',
  });
});

void test('the hash is that of what sha256sum prints for the policy and the files that it names', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pinnace-hash-'));
  try {
    const names = { 'a.pub': 'keys/a.pub', 'app.lock': 'pins/app.lock', 'root.json': 'root.json' };
    const text = whole(`
trustRoots: {corp: {file: ${names['root.json']}, sha256: ${ROOT_SHA256}}}
authorities: {a: {key: {file: ${names['a.pub']}}}}
rules: [{name: r, match: r.test/a, pins: {files: [${names['app.lock']}]}}]
`);
    const files = new Map(Object.entries(names).map(([from, to]) => [to, FILES.get(from)!]));
    writeFileSync(join(folder, 'policy.yaml'), text);
    for (const [name, bytes] of files) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), bytes);
    }
    const printed = execFileSync('sha256sum', ['policy.yaml', ...policyFiles(text, 'policy.yaml')], { cwd: folder });
    const wanted = createHash('sha256').update(printed).digest('hex');
    assert.equal(loadPolicy(text, join(folder, 'policy.yaml'), files).hash, wanted);
    const other = new Map([...files, ['keys/a.pub', FILES.get('b.pub')!]]);
    assert.notEqual(loadPolicy(text, 'policy.yaml', other).hash, wanted);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

void test('permissive.yaml mirrors and shares everything, and takes a tag from any one node', () => {
  const policy = loadPolicy(example('permissive.yaml').toString(), 'permissive.yaml', new Map());
  const registry = parseRegistry('r.test:5000');
  assert.equal(policy.registry(registry), registry);
  assert.equal(policy.pull(ref('r.test/a/b:1'), NOW).allowed, true);
  const rule = ruleFor(policy, 'r.test/a:1');
  assert.deepEqual([rule.share, rule.tags, rule.vouchers], [{}, { by: 'statements', min: 1, keepMs: 7 * DAY_MS }, 2]);
});

void test('pinned.yaml mirrors one registry, shares one team’s images, and knows pinned tags alone', () => {
  const files = new Map([['pins/team.lock', example('pins/team.lock')]]);
  const policy = loadPolicy(example('pinned.yaml').toString(), 'pinned.yaml', files);
  assert.equal(policy.registry(parseRegistry('team')), 'registry.example');
  assert.equal(policy.registry(parseRegistry('r.test')), undefined);
  assert.deepEqual(ruleFor(policy, 'registry.example/team/app').share, {});
  assert.equal(ruleFor(policy, 'registry.example/other').share, undefined);
  assert.ok(policy.pin(tag('registry.example/team/app:1.0')));
  assert.equal(policy.pin(tag('registry.example/team/app:1.1')), undefined);
});

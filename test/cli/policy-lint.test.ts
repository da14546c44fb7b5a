/** `pinnace policy lint`: errors name their place and exit with 64; each finding is found, and only where it is. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { codeIn, digest, exits, freshFolder, pinnaceAt } from '../support/command-line.ts';
import { keyText, policyText } from './policy-ground.ts';

const folder = await freshFolder();
const [A, B] = [digest('a'), digest('b')];
const NOW = Date.parse('2026-12-01T00:00:00Z');
await folder.put('key.pub', keyText());
await folder.put('p.lock', `pinnace-pins 1 serial 1\nr.test/a/app:1 ${A}\nr.test/b/app:1 ${B}\n`);
let made = 0;
const lint = async (text: string, ...more: string[]) =>
  pinnaceAt(NOW, 'policy', 'lint', await folder.put(`${made++}.yaml`, text), ...more, '--json');
const QUIET = policyText('rules: [{name: a, match: r.test/a/**, share: cluster}]');

/** The findings of a policy, as `id path`. */
async function found(text: string): Promise<readonly string[]> {
  const { json } = exits(await lint(text), 0);
  return (json.warnings as { id: string; path: string }[]).map(({ id, path }) => `${id} ${path}`);
}

void test('a policy without anything to say of passes with --strict', async () => {
  const { json } = exits(await lint(QUIET, '--strict'), 0);
  assert.deepEqual(json.warnings, []);
  assert.equal((json.policy as { serial: number }).serial, 3);
});

void test('with --strict a warning is exit code 1, without it 0', async () => {
  const text = policyText('rules: [{name: a, match: r.test/a/**, mode: audit}]');
  exits(await lint(text), 0);
  exits(await lint(text, '--strict'), 1);
});

void test('what is wrong is refused with 64, the file and the place', async () => {
  for (const [text, where] of [
    [policyText('rule: []'), 'rule'],
    [policyText('rules: [{name: a, match: r.test/a, share: everyone}]'), 'rules'],
    [policyText('rules: [{name: a, match: r.test/a, signatures: {anyOf: [none]}}]'), 'signatures'],
  ] as const) {
    const printed = exits(await lint(text), 64);
    assert.equal(codeIn(printed), 'POLICY_INVALID');
    const { message } = printed.json.error as { message: string };
    assert.match(message, /\.yaml: /);
    assert.ok(message.includes(where), message);
  }
  assert.equal(codeIn(exits(await lint('a: ['), 64)), 'YAML_INVALID');
  assert.equal(
    codeIn(exits(await lint(policyText('authorities: {x: {key: {file: none.pub}}}')), 69)),
    'FILE_UNREADABLE',
  );
});

void test('a key that is none is refused before any image is judged by it', async () => {
  await folder.put('bad.pub', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n');
  const text = policyText('authorities: {x: {key: {file: bad.pub, notAfter: 2027-01-01T00:00:00Z}}}');
  assert.equal(codeIn(exits(await lint(text), 64)), 'POLICY_INVALID');
});

void test('pins that no rule looks at are named, whether another rule decides or the registry is not mirrored', async () => {
  const [one, none] = ['a', 'c'].map(team =>
    policyText(`rules: [{name: x, match: r.test/${team}/**, pins: {files: [p.lock]}}]`),
  );
  assert.deepEqual(await found(one!), ['pin-unused p.lock']);
  assert.match(JSON.stringify((await lint(one!)).json), /r\.test\/b\/app:1/);
  assert.doesNotMatch(JSON.stringify((await lint(one!)).json), /r\.test\/a\/app:1/);
  assert.match(JSON.stringify((await lint(none!)).json), /r\.test\/a\/app:1, r\.test\/b\/app:1/);
  assert.deepEqual(await found(policyText('rules: [{name: x, match: r.test/**, pins: {files: [p.lock]}}]')), []);
});

void test('authorities and trust roots that nobody names, and keys without an end, are found', async () => {
  const root = JSON.stringify({});
  await folder.put('root.json', root);
  const text = policyText(
    'authorities: {idle: {key: {file: key.pub}}, used: {key: {file: key.pub, notAfter: 2027-01-01T00:00:00Z}}}\nrules: [{name: a, match: r.test/a, signatures: {anyOf: [used]}}]',
  );
  assert.deepEqual(await found(text), ['authority-unused authorities.idle', 'key-without-end authorities.idle.key']);
  const sha256 = createHash('sha256').update(root).digest('hex');
  const printed = await lint(
    policyText(`trustRoots: {idle: {file: root.json, sha256: ${sha256}}}\nrules: [{name: a, match: r.test/a}]`),
  );
  // An empty root is none, wherever it is named.
  if (printed.exit === 64) assert.equal(codeIn(printed), 'POLICY_INVALID');
  else assert.match(JSON.stringify(printed.json), /trust-root-unused/);
});

void test('rules of registries that are not mirrored, and registries without a rule, are found', async () => {
  assert.deepEqual(await found(policyText('rules: [{name: a, match: [q.test/**, r.test/a]}]')), [
    'rule-unreachable rules.a.match',
  ]);
  assert.deepEqual(await found(policyText('').replace('[r.test]', '[r.test, {name: s.test, aliases: [s]}]')), [
    'registry-without-rule registries.r.test',
    'registry-without-rule registries.s.test',
  ]);
});

void test('what is open on purpose is told: everything shared, one node for a tag, audit, moves, defaults that allow', async () => {
  const text = policyText(`
defaults: {action: allow, shareEverything: true, share: cluster}
rules:
  - {name: tag, match: r.test/t/*, tags: {min: 1}}
  - {name: watch, match: r.test/w/*, mode: audit}
  - {name: moves, match: r.test/**, pins: {require: true, files: [p.lock], moves: reported}}
`);
  assert.deepEqual(await found(text), [
    'defaults-allow defaults.action',
    'shares-everything defaults.share',
    'tags-by-one rules.tag.tags.min',
    'mode-audit rules.watch.mode',
    'moves-reported rules.moves.pins.moves',
  ]);
  const bare = policyText('defaults: {shareEverything: true}\nrules: [{name: all, match: "**", share: cluster}]');
  assert.deepEqual(await found(bare), ['shares-everything rules.all.share']);
});

void test('a policy that ends within 30 days, and an exception that ended, are told', async () => {
  const rules = `rules: [{name: a, match: r.test/a}]\nexceptions: [{match: r.test/a, digest: "${A}", reason: r, approvedBy: b, expiresAt: 2026-11-30T00:00:00Z}]`;
  const meta = (end: string): string => `name: p, serial: 1, issuedAt: 2026-11-20T00:00:00Z, expiresAt: ${end}`;
  assert.deepEqual(await found(policyText(rules, meta('2026-12-30T00:00:00Z'))), [
    'expires-soon metadata.expiresAt',
    'exception-expired exceptions[0]',
  ]);
  assert.deepEqual(await found(policyText('rules: [{name: a, match: r.test/a}]', meta('2026-12-31T00:00:01Z'))), []);
  const printed = await lint(policyText(rules, meta('2027-02-01T00:00:00Z')), '--at', '2026-11-29');
  assert.deepEqual(exits(printed, 0).json.warnings, []);
});

void test('for a person each finding is a line with its place', async () => {
  const file = await folder.put('text.yaml', policyText('rules: [{name: a, match: r.test/a, mode: audit}]'));
  const { out } = exits(await pinnaceAt(NOW, 'policy', 'lint', file), 0);
  assert.match(out, /text\.yaml: rules\.a\.mode: .*\(mode-audit\)\n.*is valid; 1 warnings\n$/);
});

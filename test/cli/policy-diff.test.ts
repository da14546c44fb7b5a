/** `pinnace policy diff`: what means the same is no change, and every change of meaning is one, by its field. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bundlePolicy, signPolicy } from '../../src/trust/policy-bundle.ts';
import { digest, exits, freshFolder, pinnace } from '../support/command-line.ts';
import { person } from '../support/signed-policies.ts';
import { keyText, policyText } from './policy-ground.ts';

const folder = await freshFolder();
const [A, B, C] = [digest('a'), digest('b'), digest('c')];
const KEY = keyText();
await folder.put('one.pub', KEY);
await folder.put('same.pub', KEY.replaceAll('\n', '\r\n'));
await folder.put('other.pub', keyText());
await folder.put('a.lock', `pinnace-pins 1 serial 1\nr.test/a:1 ${A}\nr.test/b:1 ${A}\n`);
await folder.put('b.lock', `pinnace-pins 1 serial 2\nr.test/a:1 ${B} # moved\nr.test/c:1 ${C}\n`);

interface Changes {
  readonly added: readonly { readonly name: string }[];
  readonly removed: readonly { readonly name: string }[];
  readonly changed: readonly {
    readonly name: string;
    readonly field: string;
    readonly from: unknown;
    readonly to: unknown;
  }[];
}
let made = 0;
async function diff(a: string, b: string): Promise<Readonly<Record<string, Changes>>> {
  const files = [await folder.put(`${made++}.yaml`, a), await folder.put(`${made++}.yaml`, b)];
  return exits(await pinnace('policy', 'diff', ...files, '--json'), 0).json.changes as Record<string, Changes>;
}
const NONE: Changes = { added: [], removed: [], changed: [] };
/** The sections that differ. */
const differing = (changes: Readonly<Record<string, Changes>>): readonly string[] =>
  Object.keys(changes).filter(section => JSON.stringify(changes[section]) !== JSON.stringify(NONE));

const rules = (text: string): string =>
  policyText(`authorities: {x: {key: {file: one.pub}}, y: {key: {file: other.pub}}}\n${text}`);

void test('what is written otherwise and means the same is no change', async () => {
  const a = rules(`rules:
  - {name: r, match: [r.test/a, r.test/b], signatures: {anyOf: [x, y]}, tags: pins}
  - {name: s, match: r.test/s}`);
  const b = rules(`defaults: {action: deny}
rules:
  - {name: s, match: r.test/s, vouchers: 2}
  - {name: r, match: [r.test/b, r.test/a], share: never, signatures: {nOf: {n: 1, of: [y, x]}, formats: [legacy, bundle]}}`);
  assert.deepEqual(differing(await diff(a, b)), []);
  const files = [await folder.put('x.yaml', a), await folder.put('y.yaml', b)];
  assert.match(exits(await pinnace('policy', 'diff', ...files), 0).out, /mean the same/);
});

void test('rules are told by field, as they decide: a change of the defaults is one of each rule that leans on them', async () => {
  const changes = await diff(
    rules('rules: [{name: r, match: r.test/a, share: cluster}, {name: gone, match: r.test/g}]'),
    rules(
      'defaults: {mode: audit}\nrules: [{name: r, match: r.test/*, pins: {require: true, files: [a.lock]}}, {name: new, match: r.test/n}]',
    ),
  );
  assert.deepEqual(
    changes.rules?.added.map(({ name }) => name),
    ['new'],
  );
  assert.deepEqual(
    changes.rules?.removed.map(({ name }) => name),
    ['gone'],
  );
  assert.deepEqual(
    changes.rules?.changed.map(({ name, field, from, to }) => [name, field, from, to]),
    [
      ['r', 'match', ['r.test/a'], ['r.test/*']],
      ['r', 'mode', 'enforce', 'audit'],
      ['r', 'pins.require', false, true],
      ['r', 'pinFiles', [], ['a.lock']],
      ['r', 'share', 'cluster', 'never'],
    ],
  );
  assert.deepEqual(
    changes.defaults?.changed.map(({ field }) => field),
    ['mode'],
  );
});

void test('pins are added, removed and moved, by tag', async () => {
  const [a, b] = ['a', 'b'].map(name => rules(`rules: [{name: r, match: r.test/*, pins: {files: [${name}.lock]}}]`));
  const { pins } = await diff(a!, b!);
  assert.deepEqual(
    pins?.added.map(({ name }) => name),
    ['r.test/c:1'],
  );
  assert.deepEqual(
    pins?.removed.map(({ name }) => name),
    ['r.test/b:1'],
  );
  assert.deepEqual(pins?.changed, [{ name: 'r.test/a:1', field: 'digest', from: A, to: B }]);
});

void test('a key is its fingerprint: another file of the same key is no change, another key is', async () => {
  const by = (file: string, more = ''): string =>
    policyText(
      `authorities: {x: {key: {file: ${file}${more}}}}\nrules: [{name: r, match: r.test/a, signatures: {anyOf: [x]}}]`,
    );
  assert.deepEqual(differing(await diff(by('one.pub'), by('same.pub'))), []);
  const { authorities } = await diff(by('one.pub'), by('other.pub', ', notAfter: 2027-01-01T00:00:00Z'));
  assert.deepEqual(
    authorities?.changed.map(({ field }) => field),
    ['key', 'notAfter'],
  );
  assert.match(String(authorities?.changed[0]?.from), /^sha256:[0-9a-f]{64}$/);
});

void test('registries, exceptions and metadata are compared, too', async () => {
  const exception = (end: string): string =>
    `exceptions: [{match: r.test/a, digest: "${A}", reason: r, approvedBy: b, expiresAt: ${end}}]`;
  const changes = await diff(
    policyText(exception('2026-12-05T00:00:00Z')),
    policyText(exception('2026-12-06T00:00:00Z'), 'name: p, serial: 4, issuedAt: 2026-11-20T00:00:00Z').replace(
      '[r.test]',
      '[{name: r.test, aliases: [r]}, "*"]',
    ),
  );
  assert.deepEqual(differing(changes), ['metadata', 'registries', 'exceptions']);
  assert.deepEqual(changes.metadata?.changed, [{ name: 'metadata', field: 'serial', from: 3, to: 4 }]);
  assert.deepEqual(
    changes.registries?.added.map(({ name }) => name),
    ['*'],
  );
  assert.deepEqual(
    changes.registries?.changed.map(({ name, to }) => [name, to]),
    [['r.test', ['r']]],
  );
});

void test('for a person each change is a line with its sign', async () => {
  const files = [
    await folder.put('before.yaml', rules('rules: [{name: r, match: r.test/*, pins: {files: [a.lock]}}]')),
    await folder.put('after.yaml', rules('rules: [{name: r, match: r.test/*, action: deny, pins: {files: [b.lock]}}]')),
  ];
  const { out } = exits(await pinnace('policy', 'diff', ...files), 0);
  assert.match(out, /^rules\n {2}~ r\.action: allow -> deny\n/);
  assert.ok(out.includes(`  + r.test/c:1: ${C}\n`));
  exits(await pinnace('policy', 'diff', files[0]!), 64);
});

void test('a signed bundle is compared as the policy that it was made of', async () => {
  const text = policyText(
    'rules: [{name: r, match: r.test/*, pins: {files: [a.lock]}}]',
    'name: p, serial: 3, issuedAt: 2026-11-20T00:00:00Z, expiresAt: 2027-01-01T00:00:00Z',
  );
  const file = await folder.put('plain.yaml', text);
  const sealed = bundlePolicy({
    cluster: 'c'.repeat(32),
    name: 'p',
    serial: 3,
    issuedAt: Date.parse('2026-11-20T00:00:00Z'),
    expiresAt: Date.parse('2027-01-01T00:00:00Z'),
    policy: text,
    files: new Map([['a.lock', await folder.text('a.lock')]]),
  });
  const bundle = await folder.put('p.policy.json', Buffer.from(signPolicy(sealed, person())).toString());
  const { json } = exits(await pinnace('policy', 'diff', file, bundle, '--json'), 0);
  assert.deepEqual(differing(json.changes as Record<string, Changes>), []);
  assert.match(exits(await pinnace('policy', 'explain', 'r.test/a:1', bundle), 0).out, /pinned to/);
});

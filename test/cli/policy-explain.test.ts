/** `pinnace policy explain` and `migrate`: the rule that decides, why, and what it asks for; the same decisions in new words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeIn, digest, exits, freshFolder, pinnaceAt } from '../support/command-line.ts';
import { keyText, policyText } from './policy-ground.ts';

const folder = await freshFolder();
const [A, B] = [digest('a'), digest('b')];
const NOW = Date.parse('2026-12-01T00:00:00Z');
await folder.put('key.pub', keyText());
await folder.put('p.lock', `pinnace-pins 1 serial 1\nr.test/a/app:1 ${A}\n`);
const FILE = await folder.put(
  'policy.yaml',
  policyText(`
authorities: {one: {key: {file: key.pub}}, two: {key: {file: key.pub}}}
defaults: {shareEverything: true}
rules:
  - {name: all, match: "**", tags: {min: 2, keep: 12h}, vouchers: 3}
  - name: a
    match: [r.test/a/**, r.test/x]
    pins: {require: true, files: [p.lock]}
    signatures: {anyOf: [one, two], maxAge: 90d, formats: [bundle]}
    attestations:
      - {predicateType: "https://p.test/v1", allOf: [one], where: {/level: {min: 3}, /by: ci, /bad: {exists: false}}}
    share: {zones: [z1, z2], roles: [serve], maxBytes: 8GiB}
  - {name: narrow, match: r.test/a/b/*, action: deny, mode: audit}
exceptions:
  - {match: r.test/a/b/*, digest: "${B}", reason: INC-1, approvedBy: alice, expiresAt: 2026-12-05T00:00:00Z}
`),
);
const explain = (reference: string, ...more: string[]) => pinnaceAt(NOW, 'policy', 'explain', reference, FILE, ...more);

void test('all patterns that match are told, the one that decides first, whatever their order in the file', async () => {
  const { json } = exits(await explain('r.test/a/b/c:1', '--json'), 0);
  assert.equal(json.rule, 'narrow');
  assert.deepEqual(json.matched, [
    { pattern: 'r.test/a/b/*', rule: 'narrow' },
    { pattern: 'r.test/a/**', rule: 'a' },
    { pattern: '**', rule: 'all' },
  ]);
  assert.equal((json.exceptions as object[]).length, 1);
});

void test('a policy that ended says what that means, whether it freezes or denies', async () => {
  for (const [onExpiry, said] of [
    ['freeze', /ended at 2026-11-30T00:00:00\.000Z: what was admitted before stays, nothing new is/],
    ['deny', /refused \(403 DENIED, POLICY_EXPIRED\): the policy ended at 2026-11-30/],
  ] as const) {
    const ends = `name: p, serial: 3, issuedAt: 2026-11-20T00:00:00Z, expiresAt: 2026-11-30T00:00:00Z, onExpiry: ${onExpiry}`;
    const file = await folder.put(`${onExpiry}.yaml`, policyText('defaults: {action: allow}\n', ends));
    const at = (day: string) => pinnaceAt(Date.parse(day), 'policy', 'explain', 'r.test/a:1', file);
    assert.match(exits(await at('2026-12-01T00:00:00Z'), 0).out, said);
    assert.doesNotMatch(exits(await at('2026-11-29T00:00:00Z'), 0).out, /ended/);
  }
});

void test('what a rule asks for comes out in sentences', async () => {
  const { out } = exits(await explain('r.test/a/app:1'), 0);
  for (const part of [
    /Rule a decides, by its pattern r\.test\/a\/\*\*, which is narrower than \*\* \(all\)/,
    new RegExp(`pinned to ${A}`),
    /must be signed by one of one, two, with a proven time of at most 90d ago, as bundle/,
    /attestation https:\/\/p\.test\/v1 by one, where \/level is at least 3, and \/by is "ci", and \/bad is not there/,
    /nodes of the zones z1, z2 with one of the roles serve, but no single content above 8589934592 bytes/,
  ])
    assert.match(out, part);
  const other = exits(await explain('r.test/other'), 0).out;
  assert.match(other, /Rule all decides/);
  assert.match(other, /2 distinct nodes stated; each counts for 12h/);
  assert.match(other, /never told or given/);
  assert.match(other, /once 3 distinct nodes vouch/);
});

void test('in JSON sets are lists, and what would happen by name alone is there', async () => {
  const { json } = exits(await explain('r.test/a/app:2', '--json'), 0);
  const { terms, pull } = json as { terms: { share: object; signatures: object }; pull: { code: string } };
  assert.deepEqual(terms.share, { zones: ['z1', 'z2'], roles: ['serve'], maxBytes: 8 * 2 ** 30 });
  assert.deepEqual(terms.signatures, { n: 1, of: ['one', 'two'], maxAgeMs: 90 * 86_400_000, formats: ['bundle'] });
  assert.equal(pull.code, 'PIN_MISSING');
});

void test('a registry that is not mirrored is said to be that', async () => {
  const { json } = exits(await explain('q.test/a:1', '--json'), 0);
  assert.equal(json.mirrored, false);
  assert.match((json.sentences as string[])[0]!, /not mirrored/);
});

void test('deny and audit mode are said; an exception says its end', async () => {
  const { out } = exits(await explain('r.test/a/b/c:1'), 0);
  assert.match(out, /denied, whatever it shows/);
  assert.match(out, /Mode audit/);
  assert.match(out, /Exception until 2026-12-05T00:00:00\.000Z/);
  const later = exits(await explain('r.test/a/b/c:1', '--at', '2026-12-06'), 0).out;
  assert.match(later, /Ended exception/);
});

void test('wrong use is said to be that', async () => {
  assert.equal(codeIn(exits(await pinnaceAt(NOW, 'policy', 'explain', 'r.test/a', '--json'), 64)), 'USAGE');
  assert.equal(codeIn(exits(await explain('Not A Name', '--json'), 64)), 'REFERENCE_INVALID');
  assert.equal(codeIn(exits(await explain('r.test/a:1', '--at', 'now', '--json'), 64)), 'USAGE');
});

const SHORT = `registries: [r.test]
share: [r.test/team/**]
tags: [{match: r.test/**, min: 2}]
pins: {"r.test/team/app:1": "${A}"}
`;

void test('a policy of the short form is rewritten, with its lock file, over nothing, and decides as before', async () => {
  const old = await folder.put('old.yaml', SHORT);
  const out = folder.at('new');
  const { json } = exits(await pinnaceAt(NOW, 'policy', 'migrate', old, '--out', out, '--json'), 0);
  assert.deepEqual(json.files, [{ file: `${out}/old.yaml` }, { file: `${out}/old.lock` }]);
  const cases = await folder.put(
    'migrated.cases.yaml',
    `cases:
  - {reference: "r.test/team/app:1", expect: {decision: allow, rule: X, share: true}}
  - {reference: "r.test/team/app:2", expect: {decision: upstream, rule: X, code: TAG_UNDECIDED}}
  - {reference: "r.test/other@${A}", expect: {decision: allow, rule: X, share: false}}
  - {reference: "q.test/other:1", expect: {decision: upstream, rule: registries}}`,
  );
  const tried = (await pinnaceAt(NOW, 'policy', 'test', `${out}/old.yaml`, cases, '--json')).json;
  for (const { wrong } of tried.failures as { wrong: string[] }[]) assert.deepEqual(wrong, ['rule']);
  const again = await pinnaceAt(NOW, 'policy', 'migrate', old, '--out', out, '--json');
  assert.equal(codeIn(exits(again, 64)), 'FILE_EXISTS');
});

void test('without --out the new policy is printed; one of the new form is refused', async () => {
  const old = await folder.put('plain.yaml', 'registries: [r.test]\n');
  const { out } = exits(await pinnaceAt(NOW, 'policy', 'migrate', old), 0);
  assert.match(out, /^apiVersion: pinnace\.policy\/v1\n/);
  const { json } = exits(await pinnaceAt(NOW, 'policy', 'migrate', old, '--json'), 0);
  assert.deepEqual(json.files, [{ name: 'plain.yaml', text: out }]);
  assert.equal(codeIn(exits(await pinnaceAt(NOW, 'policy', 'migrate', FILE, '--json'), 64)), 'POLICY_INVALID');
  const lint = await pinnaceAt(NOW, 'policy', 'lint', old, '--json');
  assert.match((exits(lint, 64).json.error as { message: string }).message, /pinnace policy migrate/);
});

/** `pinnace policy test`: cases go through the functions of a pull and a holding, and say each thing that can be asked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCases } from '../../src/cli/policy-cases.ts';
import { codeIn, digest, exits, freshFolder, pinnace, pinnaceAt } from '../support/command-line.ts';
import { keyText, policyText } from './policy-ground.ts';

const folder = await freshFolder();
const [A, B] = [digest('a'), digest('b')];
const NOW = Date.parse('2026-12-01T00:00:00Z');
await folder.put('one.pub', keyText());
await folder.put('two.pub', keyText());
await folder.put('p.lock', `pinnace-pins 1 serial 1\nr.test/team/app:1 ${A}\n`);
const POLICY = await folder.put(
  'policy.yaml',
  policyText(`
authorities:
  one: {key: {file: one.pub, notAfter: 2026-12-31T00:00:00Z}}
  two: {key: {file: two.pub}}
rules:
  - name: team
    match: r.test/team/**
    pins: {require: true, files: [p.lock]}
    signatures: {allOf: [one, two], maxAge: 30d}
    share: {zones: [z1], maxBytes: 1MiB}
  - name: watched
    match: r.test/watched/*
    mode: audit
    signatures: {anyOf: [one], formats: [legacy]}
    attestations: [{predicateType: "https://p.test/v1", anyOf: [two], where: {/score: {min: 7}}}]
    tags: {min: 2}
`),
);
let made = 0;
const run = async (cases: string, ...more: string[]) =>
  pinnaceAt(NOW, 'policy', 'test', POLICY, await folder.put(`${made++}.cases.yaml`, cases), ...more, '--json');
const SIGNED =
  'signedBy: [{authority: one, signedAt: 2026-11-20T00:00:00Z}, {authority: two, signedAt: 2026-11-20T00:00:00Z}]';
const APP = 'reference: r.test/team/app:1';

/** Runs one case, which must pass. */
async function passes(one: string): Promise<void> {
  const printed = await run(`cases: [{${one}}]`);
  assert.equal(printed.exit, 0, printed.out);
}

void test('pins, signatures with their ages, and shares by zone and size are decided', async () => {
  await passes(
    `${APP}, ${SIGNED}, node: {zone: z1}, size: 1048576, expect: {decision: allow, rule: team, share: true}`,
  );
  await passes(
    `${APP}, ${SIGNED}, node: {zone: z1}, size: 1048577, expect: {decision: allow, rule: team, share: false}`,
  );
  await passes(`${APP}, ${SIGNED}, node: {zone: z2}, expect: {decision: allow, rule: team, share: false}`);
  await passes(`${APP}, ${SIGNED}, expect: {decision: allow, rule: team, share: false}`);
  await passes(
    `${APP}, ${SIGNED}, at: 2026-12-20T00:00:00Z, expect: {decision: deny, rule: team, code: SIGNATURE_UNTRUSTED}`,
  );
  await passes(`${APP}, signedBy: [one, two], expect: {decision: deny, rule: team, code: SIGNATURE_UNTRUSTED}`);
  await passes(`${APP}, expect: {decision: deny, rule: team, code: SIGNATURE_MISSING}`);
  await passes(
    `${APP}, digest: "${B}", ${SIGNED}, expect: {decision: deny, rule: team, code: PIN_MISMATCH, share: false}`,
  );
  await passes(`reference: "r.test/team/app@${A}", ${SIGNED}, expect: {decision: allow, rule: team}`);
});

void test('a signature counts when its key held: at its proven time, else now, as for a node', async () => {
  const by = (time: string): string =>
    `${APP}, at: 2027-01-03T00:00:00Z, signedBy: [{authority: one, signedAt: ${time}}, {authority: two, signedAt: ${time}}]`;
  await passes(`${by('2026-12-30T00:00:00Z')}, expect: {decision: allow, rule: team}`);
  await passes(`${by('2027-01-02T00:00:00Z')}, expect: {decision: deny, rule: team, code: SIGNATURE_UNTRUSTED}`);
  const watched = `reference: "r.test/watched/x@${A}", signedBy: [{authority: one, format: legacy}], attestedBy: [{authority: two, predicateType: "https://p.test/v1", predicate: {score: 7}}]`;
  await passes(`${watched}, at: 2026-12-30T00:00:00Z, expect: {decision: allow, rule: watched}`);
  const { json } = await run(`cases: [{${watched}, at: 2027-01-01T00:00:00Z, expect: {decision: allow, rule: x}}]`);
  assert.equal((json.failures as { found: { code: string } }[])[0]?.found.code, 'SIGNATURE_UNTRUSTED');
});

void test('audit mode allows with the code of what is missing; formats and conditions count', async () => {
  const image = `reference: "r.test/watched/x@${A}"`;
  await passes(`${image}, signedBy: [one], expect: {decision: allow, rule: watched, code: SIGNATURE_UNTRUSTED}`);
  const legacy = `${image}, signedBy: [{authority: one, format: legacy}], attestedBy: [{authority: two, predicateType: "https://p.test/v1", predicate: {score: `;
  await passes(`${legacy}6}}], expect: {decision: allow, rule: watched, code: ATTESTATION_UNTRUSTED}`);
  const { json } = await run(
    `cases: [{${legacy}7}}], expect: {decision: allow, rule: watched, code: ATTESTATION_UNTRUSTED}}]`,
  );
  assert.equal(json.failed, 1);
});

void test('a tag that policy leaves to statements, or a registry that is not mirrored, goes upstream', async () => {
  await passes('reference: r.test/watched/x:1, expect: {decision: upstream, rule: watched, code: TAG_UNDECIDED}');
  await passes(
    'reference: q.test/x:1, expect: {decision: upstream, rule: registries, code: NOT_MIRRORED, share: false}',
  );
  await passes('reference: r.test/other/x:1, expect: {decision: deny, rule: defaults, code: DENIED}');
});

void test('each field that differs is named, with what was found; the others count as passed', async () => {
  const cases = `at: 2026-12-01T00:00:00Z
cases:
  - {${APP}, expect: {decision: allow, rule: other, code: DENIED, share: true}}
  - {${APP}, expect: {decision: deny, rule: team}}`;
  const { json } = exits(await run(cases), 1);
  assert.deepEqual([json.cases, json.passed, json.failed], [2, 1, 1]);
  const [failure] = json.failures as { wrong: string[]; found: object; where: string }[];
  assert.deepEqual(failure?.wrong, ['decision', 'rule', 'code', 'share']);
  assert.match(failure!.where, /cases\[0\]$/);
  const text = await pinnaceAt(NOW, 'policy', 'test', POLICY, await folder.put('f.cases.yaml', cases));
  assert.match(
    exits(text, 1).out,
    /FAIL .*cases\[0\].*\n.*expected allow DENIED by other, shared\n.*found.*SIGNATURE_MISSING/,
  );
});

void test('an authority that the policy does not have is a mistake in the case, not an unsigned image', async () => {
  const printed = await run(`cases: [{${APP}, signedBy: [oen], expect: {decision: deny, rule: team}}]`);
  assert.equal(codeIn(exits(printed, 64)), 'POLICY_INVALID');
});

void test('what is unknown, misspelt or missing in a case is refused with its place', () => {
  const good = { reference: 'r.test/a:1', expect: { decision: 'allow', rule: 'x' } };
  for (const bad of [
    {},
    { reference: 'r.test/a:1' },
    { ...good, reference: 'r.test/a' },
    { ...good, reference: 'a:1' },
    { ...good, digest: 'sha256:1' },
    { ...good, reference: `r.test/a@${A}`, digest: B },
    { ...good, signed: ['one'] },
    { ...good, signedBy: 'one' },
    { ...good, signedBy: [{}] },
    { ...good, signedBy: [{ authority: 'one', format: 'notary' }] },
    { ...good, attestedBy: ['one'] },
    { ...good, attestedBy: [{ authority: 'one' }] },
    { ...good, at: 'today' },
    { ...good, at: '2026-02-30T00:00:00Z' },
    { ...good, node: { roles: ['root'] } },
    { ...good, size: -1 },
    { ...good, untrusted: true },
    { ...good, expect: { decision: 'maybe', rule: 'x' } },
    { ...good, expect: { decision: 'allow' } },
    { ...good, expect: { decision: 'allow', rule: 'x', code: 'NONSENSE' } },
    { ...good, expect: { decision: 'allow', rule: 'x', code: 'toString' } },
    { ...good, expect: { decision: 'allow', rule: 'x', share: 'yes' } },
  ])
    assert.throws(
      () => parseCases(JSON.stringify({ cases: [good, bad] }), 'c.yaml'),
      { code: 'POLICY_INVALID', message: /^c\.yaml: cases\[1\]/ },
      JSON.stringify(bad),
    );
  for (const text of ['cases: []', 'cases: {}', '{}', 'cases: [1]', `cases: [${JSON.stringify(good)}]\nmore: 1`])
    assert.throws(() => parseCases(text, 'c.yaml'), { code: 'POLICY_INVALID' }, text);
  assert.throws(() => parseCases('cases: &a []', 'c.yaml'), { code: /_INVALID/ });
});

void test('wrong use is said to be that', async () => {
  for (const argv of [[], [POLICY], [POLICY, POLICY, POLICY]])
    assert.equal(codeIn(exits(await pinnace('policy', 'test', ...argv, '--json'), 64)), 'USAGE');
  const absent = await pinnace('policy', 'test', POLICY, folder.at('none.yaml'), '--json');
  assert.equal(codeIn(exits(absent, 69)), 'FILE_UNREADABLE');
});

/** Decisions: by name, by pins, by what is signed; each refusal has its code, and audit mode lets through and tells. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Code } from '../../src/errors.ts';
import type { Role } from '../../src/oci/oci.ts';
import type { Ruling } from '../../src/policy/policy.ts';
import { by, D1, D2, D3, DAY_MS, ISSUED_AT, KEYS, load, NOW, ref, ruleFor, tag } from './ground.ts';

const policy = (rule: string, metadata = '', more = ''): ReturnType<typeof load> =>
  load(`registries: [r.test]\n${KEYS}${more}\nrules: [{name: team, match: r.test/team/**, ${rule}}]`, metadata);
const PINNED = 'pins: {require: true, files: [app.lock, db.lock]}';
const APP = 'r.test/team/app';
const said = ({ allowed, rule, code }: Ruling): [boolean, string, Code | undefined] => [allowed, rule, code];

void test('a name is pulled where its registry is mirrored and its rule allows it', () => {
  const some = policy('vouchers: 1');
  assert.deepEqual(said(some.pull(ref(`${APP}:1`), NOW)), [true, 'team', undefined]);
  assert.deepEqual(said(some.pull(ref('r.test/other:1'), NOW)), [false, 'defaults', 'DENIED']);
  assert.deepEqual(said(some.pull(ref('q.test/team/app:1'), NOW)), [false, 'registries', 'NOT_MIRRORED']);
  assert.deepEqual(said(policy('action: deny').pull(ref(`${APP}:1`), NOW)), [false, 'team', 'DENIED']);
  const open = policy('action: deny', '', 'defaults: {action: allow}');
  assert.deepEqual(said(open.pull(ref('r.test/other:1'), NOW)), [true, 'defaults', undefined]);
  assert.deepEqual(said(open.admit(ref(`${APP}:1`), D1, [], NOW)), [false, 'team', 'DENIED']);
});

void test('an alias is no name for a decision', () => {
  const some = load('registries: [{name: r.test, aliases: [r]}]\ndefaults: {action: allow}');
  assert.equal(some.pull(ref('r/app:1'), NOW).code, 'NOT_MIRRORED');
  assert.equal(some.pull(ref('r.test/app:1'), NOW).allowed, true);
});

void test('a pin is that of the rule that decides for the name, and of no other', () => {
  const some = load(
    'rules: [{name: a, match: r.test/team/**, pins: {files: [app.lock]}}, {name: b, match: r.test/team/db, pins: {files: [app.lock]}}]',
  );
  assert.equal(some.pin(tag(`${APP}:1`)), D1);
  assert.equal(some.pin(tag(`${APP}:3`)), undefined);
  assert.equal(some.pin(tag('r.test/team/db:1')), undefined);
  const { registry, repository } = ref(APP);
  assert.deepEqual([...some.pinned(registry, repository)], [D1, D2]);
  assert.equal(some.pinned(registry, ref('r.test/team/ap').repository).size, 0);
});

void test('where pins are required, a tag needs one, and a digest must be named by one', () => {
  const some = policy(PINNED);
  assert.equal(some.pull(ref(`${APP}:3`), NOW).code, 'PIN_MISSING');
  assert.equal(some.pull(ref(`${APP}:3@${D1}`), NOW).code, 'PIN_MISSING');
  assert.equal(some.pull(ref(`${APP}:1`), NOW).allowed, true);
  assert.equal(some.pull(ref(`${APP}@${D3}`), NOW).allowed, true, 'it may be listed by a pinned index');
  for (const [name, digest, code] of [
    [`${APP}:1`, D1, undefined],
    [`${APP}:1`, D3, 'PIN_MISMATCH'],
    [`${APP}:1`, D2, 'PIN_MISMATCH'],
    [`${APP}:3`, D1, 'PIN_MISSING'],
    [`${APP}@${D2}`, D2, undefined],
    [`${APP}:2@${D2}`, D2, undefined],
    [`${APP}:1@${D2}`, D2, 'PIN_MISMATCH'],
    [`${APP}:3@${D1}`, D1, 'PIN_MISSING'],
    [`${APP}@${D3}`, D3, 'PIN_MISMATCH'],
    [`r.test/team/db@${D1}`, D1, 'PIN_MISMATCH'],
  ] as const) {
    const ruling = some.admit(ref(name), digest, [], NOW);
    assert.deepEqual(said(ruling), [code === undefined, 'team', code], `${name} ${digest}`);
  }
});

void test('moves that are reported pass with their code, and a tag without a pin does not', () => {
  const some = policy(PINNED.replace('true,', 'true, moves: reported,'));
  assert.deepEqual(said(some.admit(ref(`${APP}:1`), D3, [], NOW)), [true, 'team', 'PIN_MISMATCH']);
  assert.deepEqual(said(some.admit(ref(`${APP}@${D3}`), D3, [], NOW)), [true, 'team', 'PIN_MISMATCH']);
  assert.deepEqual(said(some.admit(ref(`${APP}:3`), D3, [], NOW)), [false, 'team', 'PIN_MISSING']);
  const signed = policy(`${PINNED.replace('true,', 'true, moves: reported,')}, signatures: {anyOf: [a]}`);
  assert.equal(signed.admit(ref(`${APP}:1`), D3, [], NOW).code, 'SIGNATURE_MISSING');
  assert.equal(signed.needsSignatures(ref(`${APP}:1`), D3, NOW), true);
});

void test('where pins are not required, a moved tag is still what its pin says, and nothing is refused', () => {
  const some = policy('pins: {files: [app.lock]}');
  assert.equal(some.pin(tag(`${APP}:1`)), D1);
  assert.deepEqual(said(some.admit(ref(`${APP}:1`), D3, [], NOW)), [true, 'team', undefined]);
});

void test('signatures are asked for where a rule needs them and nothing else refuses already', () => {
  const needs = (rule: string, name: string, digest = D1): boolean =>
    policy(rule).needsSignatures(ref(name), digest, NOW);
  assert.equal(needs('vouchers: 1', `${APP}:1`), false);
  assert.equal(needs('signatures: {anyOf: [a]}', `${APP}:1`), true);
  assert.equal(needs('attestations: [{predicateType: t, anyOf: [a]}]', `${APP}:1`), true);
  assert.equal(needs('signatures: {anyOf: [a]}', 'r.test/other:1'), false);
  assert.equal(needs(`${PINNED}, signatures: {anyOf: [a]}`, `${APP}:1`), true);
  assert.equal(needs(`${PINNED}, signatures: {anyOf: [a]}`, `${APP}:1`, D3), false);
  assert.equal(needs(`${PINNED}, signatures: {anyOf: [a]}, mode: audit`, `${APP}:1`, D3), true);
  assert.equal(needs('action: deny, signatures: {anyOf: [a]}', `${APP}:1`), false);
});

void test('each refusal has its code, the first that holds', () => {
  const attested = 'attestations: [{predicateType: t, anyOf: [b]}]';
  const some = policy(`${PINNED}, signatures: {anyOf: [a]}, ${attested}`);
  const name = ref(`${APP}:1`);
  const statement = by('b', { predicateType: 't' });
  for (const [digest, signed, refused, code] of [
    [D3, [by('a'), statement], 0, 'PIN_MISMATCH'],
    [D1, [], 0, 'SIGNATURE_MISSING'],
    [D1, [], 1, 'SIGNATURE_UNTRUSTED'],
    [D1, [by('c'), statement], 0, 'SIGNATURE_UNTRUSTED'],
    [D1, [statement], 0, 'SIGNATURE_MISSING'],
    [D1, [by('a')], 0, 'ATTESTATION_MISSING'],
    [D1, [by('a')], 1, 'ATTESTATION_UNTRUSTED'],
    [D1, [by('a'), by('c', { predicateType: 't' })], 0, 'ATTESTATION_UNTRUSTED'],
    [D1, [by('a'), by('b', { predicateType: 'u' })], 0, 'ATTESTATION_MISSING'],
    [D1, [by('a'), statement], 5, undefined],
  ] as const) {
    const ruling = some.admit(name, digest, signed, NOW, refused);
    assert.deepEqual(said(ruling), [code === undefined, 'team', code], `${String(code)} ${refused}`);
    assert.ok(ruling.detail);
  }
});

void test('audit mode lets through what action, pins and signatures refuse, with the code and all that is missing', () => {
  const some = policy(`${PINNED}, signatures: {anyOf: [a]}, mode: audit`);
  const ruling = some.admit(ref(`${APP}:1`), D3, [], NOW);
  assert.deepEqual(said(ruling), [true, 'team', 'PIN_MISMATCH']);
  assert.match(ruling.detail, /pinned to .*; needs the signature/);
  assert.deepEqual(said(some.pull(ref(`${APP}:3`), NOW)), [true, 'team', 'PIN_MISSING']);
  const denying = policy('action: deny, mode: audit');
  assert.deepEqual(said(denying.pull(ref(`${APP}:1`), NOW)), [true, 'team', 'DENIED']);
  assert.deepEqual(said(denying.admit(ref(`${APP}:1`), D1, [], NOW)), [true, 'team', 'DENIED']);
  assert.equal(denying.pull(ref('q.test/a:1'), NOW).code, 'NOT_MIRRORED');
});

void test('after its end a policy that freezes admits nothing new, and one that denies lets nothing through', () => {
  const END = ISSUED_AT + 10 * DAY_MS;
  const name = ref(`${APP}:1`);
  for (const mode of ['enforce', 'audit']) {
    const freezing = policy(`mode: ${mode}`, ', expiresAt: 2026-11-30T00:00:00Z');
    assert.deepEqual(said(freezing.admit(name, D1, [], END - 1)), [true, 'team', undefined]);
    assert.equal(freezing.admit(name, D1, [], END - 1).until, undefined, 'what was admitted stays');
    assert.deepEqual(said(freezing.admit(name, D1, [], END)), [false, 'team', 'POLICY_EXPIRED']);
    assert.equal(freezing.pull(name, END).allowed, true);
    const denying = policy(`mode: ${mode}`, ', expiresAt: 2026-11-30T00:00:00Z, onExpiry: deny');
    assert.equal(denying.admit(name, D1, [], END - 1).until, END);
    assert.deepEqual(said(denying.pull(name, END - 1)), [true, 'team', undefined]);
    assert.deepEqual(said(denying.pull(name, END)), [false, 'team', 'POLICY_EXPIRED']);
    assert.equal(denying.admit(name, D1, [], END).code, 'POLICY_EXPIRED');
  }
  const signed = policy('signatures: {anyOf: [a]}', ', expiresAt: 2026-11-30T00:00:00Z');
  assert.deepEqual([signed.needsSignatures(name, D1, END - 1), signed.needsSignatures(name, D1, END)], [true, false]);
});

void test('a ruling holds until the first of what it stands on ends', () => {
  const rule = 'signatures: {allOf: [a, b], maxAge: 10d}, attestations: [{predicateType: t, anyOf: [c]}]';
  const some = policy(rule, ', expiresAt: 2026-12-20T00:00:00Z, onExpiry: deny');
  const at = (days: number): number => NOW + days * DAY_MS;
  const statement = by('c', { predicateType: 't' });
  const until = (...signed: readonly ReturnType<typeof by>[]): number | undefined =>
    some.admit(ref(`${APP}:1`), D1, signed, NOW).until;
  assert.equal(until(by('a', { signedAt: at(-1) }), by('b', { signedAt: at(-3) }), statement), at(7));
  assert.equal(until(by('a', { signedAt: at(-1), until: at(2) }), by('b', { signedAt: at(-3) }), statement), at(2));
  assert.equal(
    until(by('a', { signedAt: at(0) }), by('b', { signedAt: at(0) }), { ...statement, until: at(1) }),
    at(1),
  );
  assert.equal(policy('signatures: {anyOf: [a]}').admit(ref(`${APP}:1`), D1, [by('a')], NOW).until, undefined);
});

void test('content is given to nodes of one of the zones and one of the roles, up to the size', () => {
  const shares = (share: string, zone: string | undefined, roles: Role[], size = 1): boolean => {
    const some = policy(`share: ${share}`);
    return some.shares(ruleFor(some, APP), { roles: new Set(roles), ...(zone ? { zone } : {}) }, size);
  };
  assert.equal(shares('never', 'a', ['fetch']), false);
  assert.equal(shares('cluster', undefined, []), true);
  assert.equal(shares('{zones: [a, b]}', 'b', []), true);
  assert.equal(shares('{zones: [a, b]}', 'c', ['fetch']), false);
  assert.equal(shares('{zones: [a, b]}', undefined, ['fetch']), false);
  assert.equal(shares('{roles: [attest, enroll]}', 'a', ['fetch', 'attest']), true);
  assert.equal(shares('{roles: [attest]}', 'a', ['fetch']), false);
  assert.equal(shares('{zones: [a], roles: [attest]}', 'a', ['fetch']), false);
  assert.equal(shares('{maxBytes: 1MiB}', 'a', [], 2 ** 20), true);
  assert.equal(shares('{maxBytes: 1MiB}', 'a', [], 2 ** 20 + 1), false);
});

/** Exceptions: one digest under one pattern, until an end that is near. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { by, D1, D2, D3, DAY_MS, ISSUED_AT, KEYS, load, NOW, ref, refuses } from './ground.ts';

const exception = (rest = '', expiresAt = '2026-12-01T00:00:00Z'): string =>
  `{match: r.test/team/app, digest: "${D3}", reason: INC-1, approvedBy: alice, expiresAt: ${expiresAt}${rest}}`;
const policy = (more: string, exceptions = exception(), rule = ''): ReturnType<typeof load> =>
  load(
    `registries: [r.test]\n${KEYS}rules: [{name: team, match: r.test/team/**, ${more}}${rule}]\nexceptions: [${exceptions}]`,
  );
const STRICT = 'pins: {require: true, files: [app.lock]}, signatures: {anyOf: [a]}';
const END = ISSUED_AT + 11 * DAY_MS;

void test('that digest, and no other, needs no pin, signature or attestation until the end, and the use is told', () => {
  const strict = policy(STRICT);
  const name = ref(`r.test/team/app@${D3}`);
  const ruling = strict.admit(name, D3, [], NOW);
  assert.deepEqual([ruling.allowed, ruling.rule, ruling.code, ruling.until], [true, 'team', undefined, END]);
  assert.deepEqual(ruling.exception, { reason: 'INC-1', approvedBy: 'alice' });
  assert.equal(strict.needsSignatures(name, D3, NOW), false);
  assert.equal(strict.admit(name, D3, [], END - 1).allowed, true);
  assert.equal(strict.admit(name, D3, [], END).code, 'PIN_MISMATCH');
  assert.equal(strict.admit(ref(`r.test/team/app@${D1}`), D1, [], NOW).code, 'SIGNATURE_MISSING');
  assert.equal(strict.admit(ref(`r.test/team/db@${D3}`), D3, [], NOW).code, 'PIN_MISMATCH');
});

void test('where the rule is met, no exception is used', () => {
  const signed = policy('signatures: {anyOf: [a]}');
  assert.equal(signed.needsSignatures(ref('r.test/team/app:1'), D3, NOW), true);
  const ruling = signed.admit(ref('r.test/team/app:1'), D3, [by('a')], NOW);
  assert.deepEqual([ruling.allowed, ruling.exception, ruling.until], [true, undefined, undefined]);
});

void test('a denied name may be asked for by digest while one holds, and that digest alone is admitted', () => {
  const denying = policy('action: deny');
  assert.equal(denying.pull(ref(`r.test/team/app@${D3}`), NOW).allowed, true);
  assert.equal(denying.pull(ref(`r.test/team/app@${D1}`), NOW).allowed, true, 'what the image is made of');
  assert.equal(denying.pull(ref('r.test/team/app:1'), NOW).code, 'DENIED');
  assert.equal(denying.pull(ref(`r.test/team/db@${D3}`), NOW).code, 'DENIED');
  assert.equal(denying.pull(ref(`r.test/team/app@${D3}`), END).code, 'DENIED');
  assert.ok(denying.admit(ref(`r.test/team/app@${D3}`), D3, [], NOW).exception);
  assert.equal(denying.admit(ref(`r.test/team/app@${D1}`), D1, [], NOW).code, 'DENIED');
});

void test('a tag comes to an excused digest by its pin alone', () => {
  const excused = exception().replace(D3, D2);
  const denying = policy('action: deny, pins: {files: [app.lock]}', excused);
  assert.equal(denying.pull(ref('r.test/team/app:2'), NOW).allowed, true);
  assert.equal(denying.pull(ref('r.test/team/app:1'), NOW).code, 'DENIED');
  assert.equal(policy(STRICT).pull(ref('r.test/team/app:9'), NOW).code, 'PIN_MISSING');
  assert.equal(policy(STRICT).pull(ref(`r.test/team/app:9@${D3}`), NOW).allowed, true, 'it names the digest as well');
  assert.equal(policy('action: deny').pull(ref(`r.test/team/app:9@${D1}`), NOW).code, 'DENIED');
});

void test('of several, the one that lasts longest is used', () => {
  const two = policy(STRICT, `${exception()}, ${exception('', '2026-12-10T00:00:00Z').replace('team/app', 'team/**')}`);
  assert.equal(two.admit(ref(`r.test/team/app@${D3}`), D3, [], NOW).until, ISSUED_AT + 20 * DAY_MS);
});

void test('an exception does not outlast the policy', () => {
  const rest = `registries: [r.test]\nrules: [{name: t, match: r.test/**, action: deny}]\nexceptions: [${exception()}]`;
  const name = ref(`r.test/team/app@${D3}`);
  const ended = load(rest, ', expiresAt: 2026-11-25T00:00:00Z, onExpiry: deny');
  assert.equal(ended.admit(name, D3, [], NOW).until, ISSUED_AT + 5 * DAY_MS);
  assert.equal(ended.admit(name, D3, [], ISSUED_AT + 5 * DAY_MS).code, 'POLICY_EXPIRED');
});

void test('what is not one digest, for one pattern, with an end within 90 days is refused with its place', () => {
  const at = (text: string, place: string): readonly [string, string] => [`exceptions: [${text}]`, place];
  load(`exceptions: [${exception('', '2027-02-18T00:00:00Z')}]`);
  refuses('POLICY_INVALID', [
    at(exception('', '2027-02-18T00:00:01Z'), 'exceptions[0].expiresAt: must be at most 90 days'),
    at(exception().replace(/, expiresAt: [^}]*/, ''), 'exceptions[0].expiresAt: '),
    at(exception().replace('reason: INC-1, ', ''), 'exceptions[0].reason: '),
    at(exception().replace('INC-1', '"a\\nb"'), 'exceptions[0].reason: '),
    at(exception().replace('approvedBy: alice, ', ''), 'exceptions[0].approvedBy: '),
    at(exception().replace(D3, 'latest'), 'exceptions[0].digest: '),
    at(exception().replace(/digest: "[^"]*", /, ''), 'exceptions[0].digest: '),
    at(exception().replace('r.test/team/app', 'r.test'), 'exceptions[0].match: '),
    at(exception(', action: allow'), 'exceptions[0].action: is not a known key'),
    at(`${exception()}, ${exception()}`, 'exceptions: r.test/team/app with'),
    [
      `registries: [{name: r.test, aliases: [r]}]\nexceptions: [${exception().replace('r.test', 'r')}]`,
      'exceptions[0].match: r is an alias',
    ],
  ]);
});

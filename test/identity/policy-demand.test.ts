/** What a roster demands of policies: bounded, one spelling of each key, and nothing that cannot be met. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { CompactSign } from 'jose';
import { POLICY_KEYS_MAX, type PolicyDemand, policyKeyOf } from '../../src/identity/policy-demand.ts';
import { issueRoster, readRoster } from '../../src/identity/roster.ts';
import { makeCluster } from '../support/cluster.ts';
import { demandOf, person, spkiOf } from '../support/signed-policies.ts';

const { issuer, roster } = await makeCluster();
const claims = JSON.parse(Buffer.from(roster.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;
const sign = (policy: unknown): Promise<string> =>
  new CompactSign(Buffer.from(JSON.stringify({ ...claims, policy })))
    .setProtectedHeader({ alg: 'EdDSA', typ: 'pinnace-roster+jwt' })
    .sign(issuer.key);
const text = (key: Uint8Array): string => Buffer.from(key).toString('base64');
const [alice, bob] = [person(), person('p256')];
const good = { keys: [alice, bob].map(key => text(spkiOf(key))), threshold: 2, requireSigned: true, lowestSerial: 7 };

void test('what was signed is read back, and a roster without it demands nothing', async () => {
  const policy: PolicyDemand = demandOf([alice, bob], { threshold: 2, requireSigned: true, lowestSerial: 7 });
  const jwt = await issueRoster(issuer, { seq: 2, issuedAt: 0, revoked: new Map(), policy });
  assert.deepEqual((await readRoster(jwt, issuer.cluster)).policy, policy);
  assert.deepEqual((await readRoster(await sign(good), issuer.cluster)).policy, policy);
  assert.equal((await readRoster(roster, issuer.cluster)).policy, undefined);
  assert.doesNotMatch(JSON.stringify(claims), /policy/);
});

void test('every field must be there, of its form, within its bounds, and none besides', async () => {
  const many = Array.from({ length: POLICY_KEYS_MAX + 1 }, () => text(spkiOf(person())));
  for (const change of [
    { keys: [] },
    { keys: undefined },
    { keys: many },
    { keys: [good.keys[0], good.keys[0]] },
    { keys: [7] },
    { threshold: 0 },
    { threshold: 3 },
    { threshold: 1.5 },
    { threshold: undefined },
    { requireSigned: undefined },
    { requireSigned: 1 },
    { lowestSerial: 0 },
    { lowestSerial: undefined },
    { more: 1 },
  ])
    await assert.rejects(readRoster(await sign({ ...good, ...change }), issuer.cluster), { code: 'ROSTER_INVALID' });
  for (const policy of [null, [], 'x', 1])
    await assert.rejects(readRoster(await sign(policy), issuer.cluster), { code: 'ROSTER_INVALID' });
  const most = many.slice(1);
  assert.equal((await readRoster(await sign({ ...good, keys: most }), issuer.cluster)).policy?.keys.length, 16);
});

void test('keys of other kinds, and other spellings of a key, do not count: no key counts twice', async () => {
  const other = (key: KeyObject): string =>
    text(new Uint8Array(createPublicKey(key).export({ type: 'spki', format: 'der' })));
  const der = Buffer.from(spkiOf(bob));
  const point = der.subarray(-65);
  const odd = (point.at(-1)! & 1) === 1;
  // The same point as P-256 keys may be written too: compressed, and hybrid.
  const compressed = Buffer.concat([
    Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'),
    Buffer.from([odd ? 3 : 2]),
    point.subarray(1, 33),
  ]);
  const hybrid = Buffer.concat([der.subarray(0, -65), Buffer.from([odd ? 7 : 6]), point.subarray(1)]);
  assert.deepEqual(policyKeyOf(createPublicKey({ key: compressed, format: 'der', type: 'spki' }), 'x'), spkiOf(bob));
  for (const key of [
    other(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey),
    other(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
    other(generateKeyPairSync('x25519').privateKey),
    compressed.toString('base64'),
    hybrid.toString('base64'),
    `${good.keys[1]} `,
    good.keys[0]!.replace(/=*$/, ''),
    Buffer.concat([der, Buffer.from([0])]).toString('base64'),
    'nonsense',
  ])
    await assert.rejects(
      readRoster(await sign({ ...good, keys: [good.keys[0]!, good.keys[1]!, key] }), issuer.cluster),
      { code: 'ROSTER_INVALID' },
      key,
    );
});

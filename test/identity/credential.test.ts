/** Credentials: one form, one order of judgement, and no other algorithm, type, spelling or cluster gets through. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { CompactSign } from 'jose';
import { CREDENTIAL_MAX_BYTES, issueCredential, readCredential } from '../../src/identity/credential.ts';
import { newKey } from '../../src/identity/issuer.ts';
import { realWorld } from '../../src/world.ts';
import { makeCluster } from '../support/cluster.ts';

const { issuer, roster, nodes } = await makeCluster({ nodes: [{ name: 'n1', zone: 'z1' }, 'n2'] });
const [n1, n2] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
const TYP = 'pinnace-credential+jwt';
const claims = JSON.parse(Buffer.from(n1.credential.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;

const sign = (payload: string, header: object = { alg: 'EdDSA', typ: TYP }, key = issuer.key): Promise<string> =>
  new CompactSign(Buffer.from(payload)).setProtectedHeader(header as { alg: string }).sign(key);
const read = (jwt: string) => readCredential(jwt, issuer.cluster, n1.peer);
const invalid = async (jwt: string | Promise<string>, code = 'CREDENTIAL_INVALID') =>
  assert.rejects(read(await jwt), { code });
const b64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

void test('what was issued is read back', async () => {
  const node = await read(n1.credential);
  assert.equal(node.peer, n1.peer);
  assert.equal(node.name, 'n1');
  assert.equal(node.zone, 'z1');
  assert.deepEqual([...node.roles], ['fetch', 'serve', 'attest']);
  assert.equal(node.expiresAt - node.issuedAt, 365 * 86_400_000);
  assert.equal((await read(await sign(JSON.stringify(claims)))).name, 'n1');
});

void test('no other algorithm is believed: none, HMAC with the public key, another key', async () => {
  const payload = n1.credential.split('.')[1]!;
  await invalid(`${b64({ alg: 'none', typ: TYP })}.${payload}.`);
  await invalid(`${b64({ alg: 'none', typ: TYP })}.${payload}.${'A'.repeat(86)}`);
  const head = `${b64({ alg: 'HS512', typ: TYP })}.${payload}`;
  await invalid(`${head}.${createHmac('sha512', issuer.cluster.issuer).update(head).digest('base64url')}`);
  await invalid(sign(JSON.stringify(claims), undefined, newKey(realWorld)));
});

void test('a roster or any other document of the issuer is no credential', async () => {
  await invalid(roster);
  await invalid(sign(JSON.stringify(claims), { alg: 'EdDSA', typ: 'JWT' }));
  await invalid(sign(JSON.stringify(claims), { alg: 'EdDSA' }));
  await invalid(sign(JSON.stringify(claims), { alg: 'EdDSA', typ: TYP, kid: '1' }));
  await invalid(sign(JSON.stringify(claims), { typ: TYP, alg: 'EdDSA' }));
});

void test('another spelling of a good credential is refused', async () => {
  await invalid(sign(`${JSON.stringify(claims)} `));
  await invalid(sign(JSON.stringify(claims).replace('{', '{"node":"n0",')));
  const last = n1.credential.at(-1)!;
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  await invalid(n1.credential.slice(0, -1) + alphabet[alphabet.indexOf(last) + 1]);
  for (const tail of ['\n', '.', '=', ' ', '.x']) await invalid(n1.credential + tail);
});

void test('every claim must be there, of its form, and none besides', async () => {
  for (const [key, values] of Object.entries({
    sub: [undefined, 7, '', 'nobody', n2.peer],
    cnf: [undefined, {}, { jwk: {} }, { jwk: { kty: 'OKP', crv: 'X25519', x: '' } }],
    node: [undefined, '', 'N1', 'a.b', 'n1\n', 'x'.repeat(64)],
    zone: [7, '', 'Z'],
    roles: [undefined, [], ['admin'], ['serve', 'fetch'], ['fetch', 'fetch'], 'fetch'],
    iat: [undefined, -1, 1.5, '1', 1e300],
    exp: [undefined, 0, claims.iat, '1'],
    nbf: [1],
    __proto__x: [1],
  }))
    for (const value of values) await invalid(sign(JSON.stringify({ ...claims, [key]: value })));
});

void test('another cluster is named as such, whatever signed it', async () => {
  const other = await makeCluster({ nodes: ['n1'] });
  await assert.rejects(readCredential(other.node('n1').credential, issuer.cluster), { code: 'CREDENTIAL_FOREIGN' });
  await invalid(sign(JSON.stringify({ ...claims, iss: 'urn:x' })), 'CREDENTIAL_FOREIGN');
  await invalid(sign(JSON.stringify({ ...claims, aud: 'urn:x' })), 'CREDENTIAL_FOREIGN');
  const same = await makeCluster({ nodes: ['n1'], id: issuer.cluster.id });
  await invalid(same.node('n1').credential);
});

void test('a credential shown by another is stolen', async () => {
  await assert.rejects(readCredential(n1.credential, issuer.cluster, n2.peer), { code: 'CREDENTIAL_STOLEN' });
});

void test('an overlong credential is refused before it is looked at', async () => {
  await invalid('x'.repeat(CREDENTIAL_MAX_BYTES + 1));
  await invalid(sign(JSON.stringify({ ...claims, extra: 'x'.repeat(CREDENTIAL_MAX_BYTES) })));
});

void test('names that are no DNS labels are not issued', async () => {
  const subject = { peer: n1.peer, roles: ['fetch'] as const, issuedAt: 0 };
  await assert.rejects(issueCredential(issuer, { ...subject, name: 'N 1' }), { code: 'NAME_INVALID' });
  await assert.rejects(issueCredential(issuer, { ...subject, name: 'n1', zone: '' }), { code: 'NAME_INVALID' });
});

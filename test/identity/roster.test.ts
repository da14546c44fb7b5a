/** Rosters: signed by the issuer, numbered, bounded, and nothing in them that this version does not know. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompactSign } from 'jose';
import { issueRoster, readRoster, revokes, ROSTER_LIFETIME_MS, ROSTER_MAX_BYTES } from '../../src/identity/roster.ts';
import { makeCluster } from '../support/cluster.ts';

const { issuer, roster, nodes, signRoster } = await makeCluster({ nodes: ['n1', 'n2'] });
const [n1, n2] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
const claims = JSON.parse(Buffer.from(roster.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;
const sign = (change: object): Promise<string> =>
  new CompactSign(Buffer.from(JSON.stringify({ ...claims, ...change })))
    .setProtectedHeader({ alg: 'EdDSA', typ: 'pinnace-roster+jwt' })
    .sign(issuer.key);
const invalid = async (jwt: string | Promise<string>) =>
  assert.rejects(readRoster(await jwt, issuer.cluster), { code: 'ROSTER_INVALID' });

void test('what was signed is read back', async () => {
  const read = await readRoster(await signRoster({ seq: 9, revoked: ['n1', n2.peer] }), issuer.cluster);
  assert.equal(read.seq, 9);
  assert.equal(read.expiresAt - read.issuedAt, ROSTER_LIFETIME_MS);
  assert.deepEqual([...read.revoked.keys()], ['n1', n2.peer]);
});

void test('a name or key is taken back up to a moment, and what is issued later counts', async () => {
  const draft = {
    seq: 2,
    revoked: [
      { of: 'n1', before: 5_000_000 },
      { of: n2.peer, before: 5_000_000 },
    ],
  };
  const read = await readRoster(await signRoster(draft), issuer.cluster);
  assert.equal(revokes(read, { name: 'n1', peer: n1.peer, issuedAt: 5_000_000 }), true);
  assert.equal(revokes(read, { name: 'n1', peer: n1.peer, issuedAt: 5_001_000 }), false);
  assert.equal(revokes(read, { name: 'n7', peer: n2.peer, issuedAt: 4_000_000 }), true);
  assert.equal(revokes(read, { name: 'n7', peer: n1.peer, issuedAt: 0 }), false);
});

void test('another issuer, another cluster, a credential: no roster', async () => {
  await invalid((await makeCluster()).roster);
  await invalid((await makeCluster({ id: issuer.cluster.id })).roster);
  await invalid(sign({ iss: 'urn:x' }));
  await invalid(sign({ aud: 'urn:x' }));
  await invalid(n1.credential);
});

void test('every claim must be there, of its form, and none besides', async () => {
  for (const change of [
    { seq: 0 },
    { seq: 1.5 },
    { seq: '2' },
    { seq: undefined },
    { iat: -1 },
    { exp: claims.iat },
    { exp: undefined },
    { revoked: undefined },
    { revoked: {} },
    { revoked: [7] },
    { revoked: [{ before: 1 }] },
    { revoked: [{ node: 'n1' }] },
    { revoked: [{ node: 'n1', before: -1 }] },
    { revoked: [{ node: 'N1', before: 1 }] },
    { revoked: [{ peer: 'n1', before: 1 }] },
    { revoked: [{ node: 'n1', peer: n1.peer, before: 1 }] },
    { revoked: [{ node: 'n1', before: 1, why: 'x' }] },
    {
      revoked: [
        { node: 'n1', before: 1 },
        { node: 'n1', before: 2 },
      ],
    },
    { requireSigned: true },
  ])
    await invalid(sign(change));
});

void test('a roster longer than the bound is neither signed nor read', async () => {
  const revoked = new Map(Array.from({ length: 8000 }, (_, i) => [`n${i}`, 1]));
  await assert.rejects(issueRoster(issuer, { seq: 2, issuedAt: 0, revoked }), { code: 'ROSTER_INVALID' });
  await invalid(`${'x'.repeat(ROSTER_MAX_BYTES)}.x.x`);
});

/**
 * Golden files of what the issuer signs: the same bytes for the same words. `credential`, `roster` and the token's digest
 * are what N−1 wrote and reads; `handover`, `roster-handed-over` and `roster-policy` are new with N.
 */
import assert from 'node:assert/strict';
import { createHash, createPublicKey } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { EPOCH_SEQS, issueHandover } from '../../src/identity/handover.ts';
import { issueCredential, readCredential } from '../../src/identity/credential.ts';
import { issuerOf } from '../../src/identity/issuer.ts';
import { deriveSeed, privateKeyOf, rawPublicKey } from '../../src/identity/key.ts';
import { peerIdOf } from '../../src/identity/peer-id.ts';
import { policyKeyOf } from '../../src/identity/policy-demand.ts';
import { issueRoster, readRoster } from '../../src/identity/roster.ts';
import { openSelf } from '../../src/identity/self.ts';
import { formatToken, parseToken } from '../../src/identity/token.ts';
import { bytesOf, digestOf } from '../../src/oci/oci.ts';
import { realWorld } from '../../src/world.ts';
import { memoryKeep } from '../support/cluster.ts';

const WRITE = process.env.PINNACE_WRITE_GOLDEN === '1';
/** A key made of a word: nobody's secret. */
const key = (word: string): ReturnType<typeof privateKeyOf> => privateKeyOf(bytesOf(digestOf(Buffer.from(word))));
const issuer = issuerOf('0123456789abcdef0123456789abcdef', key('issuer'));
const peer = peerIdOf(rawPublicKey(key('node')));
const issuedAt = Date.UTC(2026, 0, 1);

async function same(name: string, jwt: string): Promise<void> {
  const file = new URL(`golden/${name}.txt`, import.meta.url);
  if (WRITE) await writeFile(file, `${jwt}\n`);
  assert.equal(`${jwt}\n`, await readFile(file, 'utf8'));
}

void test('a credential is written as its golden file, and read back', async () => {
  const jwt = await issueCredential(issuer, {
    peer,
    name: 'n1',
    zone: 'z1',
    roles: ['fetch', 'serve', 'attest'],
    issuedAt,
  });
  await same('credential', jwt);
  const node = await readCredential(jwt, issuer.cluster, peer);
  assert.deepEqual(
    [node.name, node.zone, [...node.roles], node.issuedAt],
    ['n1', 'z1', ['fetch', 'serve', 'attest'], issuedAt],
  );
});

void test('a roster is written as its golden file, and read back', async () => {
  const revoked = new Map<string, number>([
    ['n2', issuedAt],
    [peer, issuedAt],
  ]);
  const jwt = await issueRoster(issuer, { seq: 7, issuedAt, revoked });
  await same('roster', jwt);
  const roster = await readRoster(jwt, issuer.cluster);
  assert.deepEqual([roster.seq, [...roster.revoked]], [7, [...revoked]]);
});

void test('a roster that says whose policies count is written as its golden file, and read back', async () => {
  const keys = ['alice', 'bob'].map(word => policyKeyOf(createPublicKey(key(word)), word));
  const policy = { keys, threshold: 2, requireSigned: true, lowestSerial: 40 };
  const jwt = await issueRoster(issuer, { seq: 8, issuedAt, revoked: new Map(), policy });
  await same('roster-policy', jwt);
  assert.deepEqual((await readRoster(jwt, issuer.cluster)).policy, policy);
});

void test('a handover, and a roster that carries two of them, are written as their golden files and read back', async () => {
  const [second, recovery] = [rawPublicKey(key('second')), key('recovery')];
  const third = issuerOf(issuer.cluster.id, key('third'));
  const parts = { cluster: issuer.cluster.id, issuedAt };
  const first = { ...parts, from: issuer.cluster.issuer, to: second, epoch: 0 };
  const rescue = { ...parts, from: second, to: third.cluster.issuer, epoch: 1 };
  const handovers = [await issueHandover(issuer.key, first), await issueHandover(recovery, rescue)];
  await same('handover', handovers[0]!);
  const jwt = await issueRoster(third, { seq: EPOCH_SEQS + 1, issuedAt, revoked: new Map(), handovers });
  await same('roster-handed-over', jwt);
  const roster = await readRoster(jwt, { ...issuer.cluster, recovery: rawPublicKey(recovery) });
  assert.deepEqual([roster.signer, roster.former], [third.cluster.issuer, [issuer.cluster.issuer, second]]);
});

void test('a token of format 1 is what it was, and a node comes out of it; of format 2 it says the recovery key', async () => {
  const secret = bytesOf(digestOf(Buffer.from('secret')));
  const own = peerIdOf(rawPublicKey(privateKeyOf(deriveSeed(secret, issuer.cluster.id, 'n1'))));
  const credential = await issueCredential(issuer, { peer: own, name: 'n1', roles: ['fetch'], issuedAt });
  const roster = await issueRoster(issuer, { seq: 3, issuedAt, revoked: new Map() });
  const parts = {
    kind: 'node',
    cluster: issuer.cluster,
    secret,
    name: 'n1',
    credential,
    lowestSeq: 3,
    roster,
  } as const;
  const token = formatToken(parts);
  // A token is a secret by its form, whoever made it: the tree has its digest.
  await same('token-digest', createHash('sha256').update(token).digest('hex'));
  assert.equal((await openSelf({ token, start: memoryKeep(), world: realWorld })).peer, own);
  const recovery = rawPublicKey(key('recovery'));
  const second = formatToken({ ...parts, cluster: { ...issuer.cluster, recovery } });
  assert.ok(second.startsWith('pjt2.'));
  assert.deepEqual(parseToken(second).cluster.recovery, recovery);
  for (const text of [second.replace('pjt2', 'pjt1'), token.replace('pjt1', 'pjt2'), token.replace('pjt1', 'pjt3')])
    assert.throws(() => parseToken(text), { code: 'TOKEN_INVALID' });
});

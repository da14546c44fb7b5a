/** Golden files of what the issuer signs: a credential and a roster are the same bytes for the same words. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { issueCredential, readCredential } from '../../src/identity/credential.ts';
import { issuerOf } from '../../src/identity/issuer.ts';
import { privateKeyOf, rawPublicKey } from '../../src/identity/key.ts';
import { peerIdOf } from '../../src/identity/peer-id.ts';
import { issueRoster, readRoster } from '../../src/identity/roster.ts';
import { bytesOf, digestOf } from '../../src/oci/oci.ts';

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

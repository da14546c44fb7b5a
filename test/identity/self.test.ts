/** A node comes out of its token, with nothing online; a token that does not hold together makes none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { issueCredential } from '../../src/identity/credential.ts';
import { verifyPeer } from '../../src/identity/key.ts';
import { openSelf } from '../../src/identity/self.ts';
import { formatToken, parseToken } from '../../src/identity/token.ts';
import { realWorld } from '../../src/world.ts';
import { makeCluster, memoryKeep } from '../support/cluster.ts';

const cluster = await makeCluster({ nodes: [{ name: 'n1', zone: 'z1' }, 'n2'] });
const n1 = cluster.node('n1');
const n2 = cluster.node('n2');
const open = (token: string, start = memoryKeep()) => openSelf({ token, start, world: realWorld });
const changed = (change: object): string => formatToken({ ...parseToken(n1.token), ...change });

void test('the same token gives the same key, and its signatures are verified by its peer id', async () => {
  const self = await open(n1.token);
  assert.equal(self.peer, n1.peer);
  assert.equal(self.name, 'n1');
  assert.equal(self.credential(), n1.credential);
  const message = Buffer.from('hello');
  const signature = self.sign(message);
  assert.equal(verifyPeer(self.peer, message, signature), true);
  assert.equal(verifyPeer(n2.peer, message, signature), false);
  assert.equal(verifyPeer(self.peer, Buffer.from('hullo'), signature), false);
  assert.equal(verifyPeer(self.peer, message, signature.subarray(1)), false);
});

void test('two tokens of one node name have two keys', async () => {
  const again = await cluster.add('n1');
  assert.notEqual(again.peer, n1.peer);
});

void test('every start has a higher number, also after the state was lost', async () => {
  const start = memoryKeep();
  const first = await open(n1.token, start);
  const second = await open(n1.token, start);
  assert.equal(second.start, first.start + 1);
  const later = { now: () => realWorld.now() + 10_000 };
  const lost = await openSelf({ token: n1.token, start: memoryKeep(), world: later });
  assert.ok(lost.start > second.start);
  const before = memoryKeep(Buffer.from(`{"version":1,"start":${first.start}}`));
  const restored = await openSelf({ token: n1.token, start: before, world: later });
  assert.ok(restored.start > second.start, 'an old copy of the state is no way back');
});

void test('a token whose credential has another name in it is refused, though the issuer signed it for this key', async () => {
  const subject = { peer: n1.peer, name: 'n9', roles: ['fetch'] as const, issuedAt: realWorld.now() };
  const credential = await issueCredential(cluster.issuer, subject);
  await assert.rejects(open(changed({ credential })), { code: 'TOKEN_INVALID' });
});

void test('a damaged or newer count of starts is an error, never a lower number', async () => {
  for (const text of ['', '{"version":1,"st', '{}', '{"version":1,"start":-1}', '[1]'])
    await assert.rejects(open(n1.token, memoryKeep(Buffer.from(text))), { code: 'STATE_INVALID' });
  const newer = memoryKeep(Buffer.from('{"version":2,"start":5}'));
  await assert.rejects(open(n1.token, newer), { code: 'STATE_NEWER' });
});

void test('a token whose parts do not belong together is refused', async () => {
  const other = await makeCluster({ nodes: ['n1'] });
  const parts = parseToken(other.node('n1').token);
  for (const change of [
    { secret: new Uint8Array(32) },
    { name: 'n3' },
    { credential: n2.credential },
    { roster: other.roster },
    { lowestSeq: 2 },
    { cluster: parts.cluster },
    { cluster: { ...cluster.issuer.cluster, issuer: parts.cluster.issuer } },
  ])
    await assert.rejects(open(changed(change)), { code: 'TOKEN_INVALID' });
});

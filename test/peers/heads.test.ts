/** What two nodes send each other: what is news to the other, its own renewed credential included. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { issueCredential } from '../../src/identity/credential.ts';
import { verifyPeer } from '../../src/identity/key.ts';
import { headsOf, lacking } from '../../src/peers/heads.ts';
import { encodeItem } from '../../src/peers/intake.ts';
import { Table } from '../../src/peers/table.ts';
import { DAY_MS, makeCluster } from '../support/cluster.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

void test('a node that was renewed while it was away is given its own credential, and nobody is given what he has', async () => {
  const world = simulatedWorld();
  const cluster = await makeCluster({ world, nodes: ['n1', 'n2'] });
  const [n1, n2] = [cluster.node('n1'), cluster.node('n2')];
  const [here, away] = [await n1.members(), await n2.members()];
  const table = new Table({ world, self: n1.peer, members: here, verify: verifyPeer });
  await here.admit(n2.credential, n2.peer);
  await away.admit(n1.credential, n1.peer);
  const given = (): Uint8Array[] => [...lacking(here, table, headsOf(away, table), n2.peer, world.now())];
  assert.deepEqual(given(), []);
  const subject = { peer: n2.peer, name: 'n2', roles: ['fetch'] as const, issuedAt: world.now() + DAY_MS };
  const renewed = await issueCredential(cluster.issuer, subject);
  await here.offerCredential(renewed);
  assert.deepEqual(given().map(String), [String(encodeItem('credential', renewed))]);
});

import assert from 'node:assert/strict';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, pinnace, ProcessCluster, type ProcessNode } from '../support/nodes.ts';

const MS = 20_000;

const connected = async (node: ProcessNode): Promise<string[]> =>
  (await node.status()).peers
    .filter(peer => peer.connected)
    .map(({ name }) => name)
    .sort();

void test('a roster that is dropped on one running node spreads to all, and whom it revokes is cut off everywhere', async () => {
  const cluster = await ProcessCluster.make(3);
  try {
    const [n1, n2, n3] = [await cluster.add('n1'), await cluster.add('n2'), await cluster.add('n3')];
    for (const node of cluster.nodes) await node.start();
    await eventually('all see one another', MS, async () => {
      const seen = await Promise.all([n1, n2, n3].map(connected));
      return seen.every(names => names.length === 2) || undefined;
    });
    const dir = join(cluster.dir, 'cluster');
    await pinnace('revoke', 'n3', '--dir', dir);
    await copyFile(join(dir, 'roster.jwt'), join(n1.stateDir, 'incoming', 'roster.jwt'));
    await eventually('n2 has the roster, and nobody speaks to n3', MS, async () => {
      const [first, second, third] = await Promise.all([n1, n2, n3].map(connected));
      const { roster } = await n2.status();
      const cut = first!.join() === 'n2' && second!.join() === 'n1' && third!.length === 0;
      return (roster.seq === 2 && cut) || undefined;
    });
    for (const node of [n1, n2]) {
      const records = await node.records();
      assert.ok(records.some(({ event, seq }) => event === 'roster.accepted' && seq === 2));
      assert.equal(records.filter(({ event }) => event === 'peer.revoked').length, 1);
    }
  } finally {
    await cluster.remove();
  }
});

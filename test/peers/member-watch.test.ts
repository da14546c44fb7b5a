/** Who is shut out while a link arises. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerId } from '../../src/oci/oci.ts';
import { MemberWatch } from '../../src/peers/member-watch.ts';
import { makeCluster } from '../support/cluster.ts';
import { MemoryNetwork } from '../support/memory-wire.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

void test('who is revoked between its greeting and its link has none (storm, seed 505)', async () => {
  const world = simulatedWorld();
  const cluster = await makeCluster({ nodes: ['n1', 'n2'], world });
  const members = await cluster.node('n1').members();
  const { peer, credential } = cluster.node('n2');
  const network = new MemoryNetwork();
  const wire = network.wire(cluster.node('n1').peer, async other => {
    await members.admit(credential, other);
    // The roster comes when the greeting has ended well, and there is no link yet that could be cut.
    await members.offerRoster(await cluster.signRoster({ seq: 2, revoked: ['n2'] }));
  });
  const recorded: { event: string; peer?: PeerId }[] = [];
  new MemberWatch({
    world,
    wire,
    members,
    record: event => Promise.resolve(void recorded.push(event)),
    log: () => undefined,
    signal: new AbortController().signal,
    shutOut: () => undefined,
    news: () => Promise.resolve(),
    newPolicy: () => Promise.resolve(),
  }).start();
  await network.wire(peer, () => Promise.resolve()).dial(wire.addresses[0]!, new AbortController().signal);
  assert.deepEqual(wire.links(), []);
  assert.ok(recorded.some(event => event.event === 'peer.revoked' && event.peer === peer));
});

/** A member sends small bundles that are large when they are unpacked: one after the other is looked at, never all at once. */
import assert from 'node:assert/strict';
import { setTimeout as wait } from 'node:timers/promises';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { POLICY_GOSSIP_RATE } from '../../src/peers/gossip.ts';
import { bundleOf, demandOf, packed, person, policyStage } from '../support/signed-policies.ts';

const MIB = 1 << 20;

void test('as many bundles as one peer may send at once, of 31 MiB unpacked each, take the memory of a few (BUNDLE_INVALID)', async () => {
  const alice = person();
  const stage = await policyStage(demandOf([alice]));
  const node = await stage.node('n1');
  const bombs = Array.from({ length: POLICY_GOSSIP_RATE.burst }, (_, at) =>
    gzipSync(Buffer.alloc(31 * MIB, 'x').fill(`${at}`, 0, 2)),
  );
  const used = (): number => process.memoryUsage().arrayBuffers;
  const before = used();
  let most = 0;
  let open = true;
  const watching = (async () => {
    while (open) {
      most = Math.max(most, used() - before);
      await wait(2);
    }
  })();
  const offers = bombs.map(bomb => assert.rejects(node.members.offerPolicy(bomb), { code: 'BUNDLE_INVALID' }));
  await Promise.all(offers);
  open = false;
  await watching;
  assert.ok(most < 256 * MIB, `${Math.round(most / MIB)} MiB`);
  assert.equal(await node.members.offerPolicy(await packed(bundleOf(stage.cluster.id, { serial: 4 }, [alice]))), true);
});

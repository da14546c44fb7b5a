/** Mirrored is not shared: with `share` left empty a node takes for itself, and nothing is told or given to others. */
import assert from 'node:assert/strict';
import { assertHolds, joined, machine, ownContents } from '../support/system/machine.ts';
import { sharing } from '../support/system/node.ts';
import { systemTest } from '../support/system/suite.ts';

const REGISTRY = 'reg.test';
const MIB = 2 ** 20;
const SHARED = sharing(`${REGISTRY}/**`);
const UNSHARED = `registries: [${REGISTRY}]\ntags:\n  - match: "${REGISTRY}/**"\n    min: 1\n`;

systemTest('a node that shares nothing mirrors all for itself', async lab => {
  const common = { version: '2.x', registry: REGISTRY } as const;
  const [a, b, c] = await Promise.all([
    machine(lab, 'a', { ...common, policy: SHARED }),
    machine(lab, 'b', { ...common, policy: UNSHARED, bootstrap: ['a'] }),
    machine(lab, 'c', { ...common, policy: SHARED, bootstrap: ['a'] }),
  ]);
  await joined(a, b, c);
  const [given, own] = [
    await lab.image({ reference: `${REGISTRY}/team/given:1`, layers: [{ randomBytes: 3 * MIB, seed: 'given' }] }),
    await lab.image({ reference: `${REGISTRY}/team/own:1`, layers: [{ randomBytes: 3 * MIB, seed: 'own' }] }),
  ];
  await a.containerd.load(await lab.archive(given));
  await b.containerd.load(await lab.archive(own));
  for (const { node } of [b, c]) {
    await node.hears('a', ownContents(given).length);
    await node.hearsTag('a', given.reference);
  }
  await b.containerd.cri.pull(given.reference);
  await assertHolds(b.containerd, given);
  // For itself it answers from its containerd, by digest and by tag.
  const manifest = await b.node.get(`/v2/team/own/manifests/${own.digest}?ns=${REGISTRY}`);
  assert.equal(manifest.status, 200);
  const layer = own.manifests[0]?.layers[0];
  assert.equal((await b.node.get(`/v2/team/own/blobs/${layer?.digest}?ns=${REGISTRY}`)).body.length, layer?.size);

  await a.node.kill();
  for (const image of [given, own]) await assert.rejects(c.containerd.cri.pull(image.reference));
  assert.equal((await c.node.get(`/v2/team/own/manifests/${own.digest}?ns=${REGISTRY}`)).status, 404);
  const told = await b.node.status();
  assert.deepEqual(told.holdings, { contents: 0, bytes: 0 });
  assert.equal((await c.node.status()).peers.find(({ name }) => name === 'b')?.holdings, 0);
  assert.deepEqual(await c.node.stated(own.reference), {});
  const events = new Set((await b.node.audit()).map(({ event }) => event));
  for (const event of ['share.offered', 'serve.started', 'tag.stated']) assert.equal(events.has(event), false, event);
});

/** A registry that is there at first: containerd goes around the mirror, and what it then knows helps others later. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { assertHolds, joined, machine, ownContents } from '../support/system/machine.ts';
import { MIRROR, sharing } from '../support/system/node.ts';
import { until } from '../support/system/processes.ts';
import { systemTest } from '../support/system/suite.ts';

const REGISTRY = 'reg.test';
const MIB = 2 ** 20;
/** "Within seconds", in milliseconds. */
const SECONDS_MS = 8_000;
const COMMON = { policy: sharing(`${REGISTRY}/**`), registry: REGISTRY } as const;

systemTest('what a node saw upstream it states; what came through a mirror nobody states', async lab => {
  const image = await lab.image({
    reference: `${REGISTRY}/team/app:1`,
    layers: [{ randomBytes: 3 * MIB, seed: 1 }, { files: { 'etc/name': 'app' } }],
    platforms: ['linux/amd64', 'linux/arm64'],
    gzip: true,
  });
  const contents = ownContents(image).length;
  const registry = await lab.registry('r');
  await registry.push(image);
  const upstream = registry.endpoint;
  const [a, b, c] = await Promise.all([
    machine(lab, 'a', { ...COMMON, version: '2.x', upstream }),
    machine(lab, 'b', { ...COMMON, version: '1.6', upstream, bootstrap: ['a'] }),
    machine(lab, 'c', { ...COMMON, version: '2.x', upstream, bootstrap: ['a'] }),
  ]);
  await joined(a, b, c);

  // Nobody holds it: "not here", and the pull goes on upstream by itself.
  await a.containerd.cri.pull(image.reference);
  await assertHolds(a.containerd, image);
  await a.node.records('why not', ({ event, code }) => event === 'pull.refused' && code === 'TAG_UNDECIDED');
  const stated = await a.node.records('the tag', ({ event }) => event === 'tag.stated');
  assert.deepEqual([stated.reference, stated.digest, stated.origin], [image.reference, image.digest, 'observed']);

  await registry.stop();
  await b.node.hears('a', contents);
  await b.node.hearsTag('a', image.reference);
  await b.containerd.cri.pull(image.reference);
  await assertHolds(b.containerd, image);

  // B gives the bytes and never the tag, whatever is started again.
  const neverStated = async (): Promise<void> => {
    await c.node.hears('b', contents);
    assert.deepEqual(await c.node.stated(image.reference), { a: image.digest });
    assert.equal((await b.node.audit()).filter(({ event }) => event === 'tag.stated').length, 0);
  };
  await neverStated();
  await b.node.kill();
  await b.node.start();
  await joined(a, b, c);
  await neverStated();
  await b.containerd.stop();
  await b.node.stop();
  await b.containerd.start();
  await b.node.start();
  await joined(a, b, c);
  await neverStated();

  // Also where B has lost the record of what its mirror answered.
  await b.node.stop();
  await rm(join(b.node.stateDir, 'origins.json'));
  await b.node.start();
  await joined(a, b, c);
  await neverStated();

  // A's word survives A, and a restart of the one who heard it.
  await a.node.kill();
  await c.node.stop();
  await c.node.start();
  await joined(b, c);
  await c.node.hears('b', contents);
  await c.containerd.cri.pull(image.reference);
  await assertHolds(c.containerd, image);
  await neverStated();
});

systemTest('a tag that moves upstream moves for the others too, once a node saw it', async lab => {
  const reference = `${REGISTRY}/team/app:latest`;
  const [before, after] = [
    await lab.image({ reference, layers: [{ randomBytes: MIB, seed: 'before' }] }),
    await lab.image({ reference, layers: [{ randomBytes: MIB, seed: 'after' }] }),
  ];
  const registry = await lab.registry('r');
  await registry.push(before);
  const upstream = registry.endpoint;
  const [a, b] = await Promise.all([
    machine(lab, 'a', { ...COMMON, version: '2.x', upstream }),
    machine(lab, 'b', { ...COMMON, version: '1.6', bootstrap: ['a'] }),
  ]);
  // A asks its mirror for content alone; tags it asks of the registry.
  await a.containerd.hosts(REGISTRY, { mirror: MIRROR, upstream, capabilities: ['pull'] });
  await joined(a, b);
  for (const image of [before, after]) {
    await registry.push(image);
    await a.containerd.cri.pull(reference);
    const known = async (): Promise<boolean> => (await b.node.stated(reference)).a === image.digest;
    await until('b knows where the tag points', SECONDS_MS, known);
    await b.containerd.cri.pull(reference);
    await assertHolds(b.containerd, image);
  }
});

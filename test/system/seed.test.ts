/** The main job: an image that one containerd was given spreads to others by tag, though no registry answers. */
import assert from 'node:assert/strict';
import type { BuiltImage } from '../support/images.ts';
import type { Lab } from '../support/system/lab.ts';
import { assertHolds, joined, type Machine, machine, ownContents, removeImage } from '../support/system/machine.ts';
import { type AuditLine, sharing } from '../support/system/node.ts';
import { systemTest } from '../support/system/suite.ts';

const REGISTRY = 'ksd.test.com';
const SHARED = sharing(`${REGISTRY}/**`);
const PINS_ONLY = `registries: [${REGISTRY}]\nshare: ["${REGISTRY}/**"]\n`;

/** Machine A, whose containerd imported the image. */
async function seed(lab: Lab, image: BuiltImage): Promise<Machine> {
  const a = await machine(lab, 'a', { version: '2.x', policy: SHARED, registry: REGISTRY });
  await a.containerd.load(await lab.archive(image));
  await a.node.holds(ownContents(image).length);
  return a;
}

const absent = /not ?found|404|resolve|lookup|dial/i;

systemTest('an imported image spreads by tag, runs, and outlives the node that had it first', async lab => {
  const image = await lab.busybox(`${REGISTRY}/ksd/nginx:1.27`);
  const contents = ownContents(image).length;
  const a = await seed(lab, image);
  const peer = { policy: SHARED, registry: REGISTRY, bootstrap: ['a'] };
  const b = await machine(lab, 'b', { ...peer, version: '1.6' });
  const c = await machine(lab, 'c', { ...peer, version: '2.x' });
  await joined(a, b, c);
  for (const { node, containerd } of [b, c]) {
    await node.hears('a', contents);
    assert.equal(await node.hearsTag('a', image.reference), image.digest);
    await containerd.cri.pull(image.reference);
    await assertHolds(containerd, image);
    await node.records('the tag by statements', ({ event, by }) => event === 'tag.resolved' && by === 'statements');
  }
  await lab.pause(b.containerd);
  const line = ['/bin/echo', 'a line from b'];
  assert.equal(await b.containerd.cri.runLine(image.reference, line), 'a line from b\n');

  await c.node.hears('b', contents);
  await a.node.kill();
  await a.containerd.stop('SIGKILL');
  await removeImage(c.containerd, image);
  const [cBefore, bBefore] = [(await c.node.audit()).length, (await b.node.audit()).length];
  await c.containerd.cri.pull(image.reference);
  await assertHolds(c.containerd, image);
  // The tag is A's word alone: what came through a mirror is stated by nobody.
  assert.deepEqual(await c.node.stated(image.reference), { a: image.digest });
  await c.node.records('the tag again', ({ event }) => event === 'tag.resolved', cBefore);
  const layer = image.manifests[0]?.layers[0];
  const given = ({ event, digest, bytes }: AuditLine): boolean =>
    event === 'serve.ended' && digest === layer?.digest && bytes === layer?.size;
  await b.node.records('what it gave', given, bBefore);
});

systemTest('by default a tag is what a person pinned and nothing else; by digest the image is there', async lab => {
  const image = await lab.busybox(`${REGISTRY}/ksd/nginx:1.27`);
  const a = await seed(lab, image);
  const b = await machine(lab, 'b', { version: '2.x', policy: PINS_ONLY, registry: REGISTRY, bootstrap: ['a'] });
  await joined(a, b);
  await b.node.hears('a', ownContents(image).length);
  await b.node.hearsTag('a', image.reference);
  const asked = `/v2/ksd/nginx/manifests/1.27?ns=${REGISTRY}`;
  assert.equal((await b.node.get(asked, { method: 'HEAD' })).status, 404);
  await assert.rejects(b.containerd.cri.pull(image.reference), absent);
  await b.node.records('why not', ({ event, code }) => event === 'pull.refused' && code === 'TAG_UNPINNED');

  const byDigest = `${REGISTRY}/ksd/nginx@${image.digest}`;
  await b.containerd.cri.pull(byDigest);
  await assertHolds(b.containerd, image, byDigest);

  await b.node.policy(`${PINS_ONLY}pins:\n  ${image.reference}: ${image.digest}\n`);
  await b.node.records('the new policy', ({ event }) => event === 'policy.loaded', (await b.node.audit()).length);
  await b.containerd.cri.pull(image.reference);
  await assertHolds(b.containerd, image);
  await b.node.records('the pin', ({ event, by }) => event === 'tag.resolved' && by === 'pin');
});

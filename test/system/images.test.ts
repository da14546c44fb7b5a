/** The shapes that images have: each pulled through the mirror alone by both containerds, and compared byte by byte. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { type BuiltImage, type ImageSpec } from '../support/images.ts';
import type { Lab } from '../support/system/lab.ts';
import { assertHolds, fileOf, joined, type Machine, machine, ownContents } from '../support/system/machine.ts';
import { sharing } from '../support/system/node.ts';
import { systemTest } from '../support/system/suite.ts';

const REGISTRY = 'reg.test';
const MIB = 2 ** 20;
const COMMON = { policy: sharing(`${REGISTRY}/**`), registry: REGISTRY } as const;

/** A holder and two that pull, one of each containerd. */
async function trio(lab: Lab): Promise<readonly [Machine, Machine, Machine]> {
  const trio = await Promise.all([
    machine(lab, 'a', { ...COMMON, version: '2.x' }),
    machine(lab, 'b', { ...COMMON, version: '1.6', bootstrap: ['a'] }),
    machine(lab, 'c', { ...COMMON, version: '2.x', bootstrap: ['a'] }),
  ]);
  await joined(...trio);
  return trio;
}

/** Puts an image into A's containerd; answers when the others know all that it says of it. */
async function give(lab: Lab, [a, ...others]: readonly [Machine, ...Machine[]], spec: ImageSpec): Promise<BuiltImage> {
  const image = await lab.image(spec);
  const before = (await a.node.status()).holdings.contents;
  // The archive has the own platform alone: what else it had, containerd would hold until its next garbage collection.
  await a.containerd.load(await lab.archive({ ...image, contents: ownContents(image) }), 'own');
  const contents = before + ownContents(image).length;
  await a.node.holds(contents);
  for (const { node } of others) {
    await node.hears('a', contents);
    await node.hearsTag('a', image.reference);
  }
  return image;
}

const named = (name: string): string => `${REGISTRY}/team/${name}:1`;

systemTest('images of every shape cross from containerd to containerd', async lab => {
  const [a, b, c] = await trio(lab);
  const multi = await give(lab, [a, b, c], {
    reference: named('multi'),
    layers: [{ randomBytes: 2 * MIB, seed: 'multi' }, { files: { 'etc/name': 'multi' } }],
    platforms: ['linux/amd64', 'linux/arm64'],
    gzip: true,
  });
  const schema2 = await give(lab, [a, b, c], {
    reference: named('docker'),
    layers: [{ randomBytes: 2 * MIB, seed: 'docker' }, { files: { 'etc/name': 'docker' } }],
    platforms: ['linux/amd64', 'linux/arm64'],
    dockerSchema2: true,
  });
  const many = await give(lab, [a, b, c], {
    reference: named('many'),
    layers: Array.from({ length: 20 }, (_, at) => ({ randomBytes: MIB + at, seed: `many ${at}` })),
  });
  const empty = await give(lab, [a, b, c], { reference: named('empty'), layers: [] });
  for (const { containerd } of [b, c]) {
    for (const image of [multi, schema2, many, empty]) {
      await containerd.cri.pull(image.reference);
      await assertHolds(containerd, image);
      assert.equal((await containerd.cri.images()).filter(one => one.repo_tags.includes(image.reference)).length, 1);
    }
    // Nobody has the other platform, and nobody needs it.
    const own = new Set(ownContents(multi));
    for (const content of multi.contents)
      if (![...own].some(({ digest }) => digest === content.digest))
        assert.equal(existsSync(fileOf(containerd, content.digest)), false);
  }
});

systemTest('by digest an image needs no word on its tag', async lab => {
  const [a, b, c] = await trio(lab);
  const image = await give(lab, [a, b, c], {
    reference: named('digest'),
    layers: [{ randomBytes: 3 * MIB, seed: 'digest' }],
    platforms: ['linux/amd64', 'linux/arm64'],
  });
  const byDigest = `${REGISTRY}/team/digest@${image.digest}`;
  for (const { containerd, node } of [b, c]) {
    await containerd.cri.pull(byDigest);
    await assertHolds(containerd, image, byDigest);
    assert.equal((await node.audit()).filter(({ event }) => event === 'tag.resolved').length, 0);
  }
  // What nobody has is "not here", also beside what is there.
  const nobody = `${REGISTRY}/team/digest@sha256:${'0'.repeat(63)}1`;
  await assert.rejects(b.containerd.cri.pull(nobody));
});

systemTest(
  '500 MB cross to both containerds, the second time from two holders',
  async lab => {
    const [a, b, c] = await trio(lab);
    const image = await give(lab, [a, b, c], {
      reference: named('big'),
      layers: Array.from({ length: 4 }, (_, at) => ({ randomBytes: 125_000_000, seed: `big ${at}` })),
    });
    assert.ok(image.bytes >= 500e6);
    let began = performance.now();
    await c.containerd.cri.pull(image.reference);
    console.log(`# 500 MB by one voucher, containerd 2.x: ${((performance.now() - began) / 1000).toFixed(1)} s`);
    await assertHolds(c.containerd, image);
    await b.node.hears('c', ownContents(image).length, 120_000);
    began = performance.now();
    await b.containerd.cri.pull(image.reference);
    console.log(`# 500 MB by two vouchers, containerd 1.6: ${((performance.now() - began) / 1000).toFixed(1)} s`);
    await assertHolds(b.containerd, image);
  },
  300_000,
);

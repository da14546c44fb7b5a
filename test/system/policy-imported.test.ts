/**
 * Nodes without containerd and without a registry: an image and what is signed about it come in archives, as skopeo and
 * `cosign save` write them, are judged, shared and pulled.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { parseTagReference } from '../../src/oci/oci.ts';
import type { BuiltImage } from '../support/images.ts';
import type { SignatureFormat } from '../support/system/cosign.ts';
import type { Lab } from '../support/system/lab.ts';
import { assertHolds, type Machine, machine, ownContents } from '../support/system/machine.ts';
import type { PinnaceNode } from '../support/system/node.ts';
import { run } from '../support/system/processes.ts';
import { openSigning, type Signing } from '../support/system/signing.ts';
import { systemTest } from '../support/system/suite.ts';

const REGISTRY = 'reg.test';
const FORMATS: readonly SignatureFormat[] = ['bundle', 'legacy'];
const POLICY = `apiVersion: pinnace.policy/v1
kind: MirrorPolicy
metadata: {name: imported, serial: 1, issuedAt: 2026-11-20T00:00:00Z}
registries: [${REGISTRY}]
authorities:
  platform: {key: {file: keys/platform.pub}}
rules:
  - name: team
    match: ${REGISTRY}/team/**
    signatures: {anyOf: [platform]}
    share: cluster
`;

/** Copies an image and all that is signed about it into one OCI layout, each under its name. */
async function skopeoLayout(lab: Lab, signing: Signing, image: BuiltImage): Promise<string> {
  const { repository, tag } = parseTagReference(image.reference);
  const layout = join(lab.folder, `layout-${image.digest.slice(-8)}`);
  for (const one of [tag, ...(await signing.about(image))]) {
    const from = `docker://${signing.registry.endpoint}/${repository}:${one}`;
    // skopeo would compress the image's layers, and would write the listing of signatures anew: that one may change.
    const kept = one === tag ? ['--preserve-digests'] : [];
    const onto = `oci:${layout}:${REGISTRY}/${repository}:${one}`;
    await run(['skopeo', 'copy', '--all', ...kept, '--src-tls-verify=false', from, onto], {
      netns: signing.host.netns,
    });
  }
  return layout;
}

/** Asserts that it is here, refused for want of a signature, and told to nobody. */
async function refused(node: PinnaceNode, image: BuiltImage): Promise<void> {
  const { repository } = parseTagReference(image.reference);
  const answer = await node.get(`/v2/${repository}/manifests/${image.digest}?ns=${REGISTRY}`);
  assert.equal(answer.status, 403, answer.body.toString());
  assert.match(answer.body.toString(), /"SIGNATURE_MISSING"/);
  assert.equal((await node.status()).holdings.contents, 0);
}

interface Offline {
  readonly signing: Signing;
  readonly image: BuiltImage;
  /** Without containerd. */
  readonly a: PinnaceNode;
  readonly b: Machine;
}

/** A signed image in a registry, and two nodes that cannot reach it. */
async function offline(lab: Lab, format: SignatureFormat): Promise<Offline> {
  const signing = await openSigning(lab);
  const key = await signing.cosign.key('platform');
  const image = await signing.publish(`${REGISTRY}/team/app:1`);
  await signing.cosign.sign(signing.at(image), key, format);
  const strict = { policy: POLICY, policyFiles: { 'keys/platform.pub': key.pem } };
  const a = await lab.node('a', strict);
  const b = await machine(lab, 'b', { version: '2.x', registry: REGISTRY, ...strict, bootstrap: ['a'] });
  await b.node.sees('a');
  return { signing, image, a, b };
}

for (const format of FORMATS)
  systemTest(
    `an archive by skopeo brings an image and its signature (${format}) to a node that has neither`,
    async lab => {
      const { signing, image, a, b } = await offline(lab, format);
      const layout = await skopeoLayout(lab, signing, image);
      await signing.registry.stop();
      await a.cli('import', await lab.archive(image));
      await refused(a, image);
      await a.cli('import', `oci:${layout}`);
      await pulled(b, image);
    },
  );

systemTest('what cosign save writes of an image and its older signatures is imported', async lab => {
  const { signing, image, a, b } = await offline(lab, 'legacy');
  const saved = join(lab.folder, 'saved');
  await signing.cosign.save(signing.at(image), saved);
  await signing.registry.stop();
  await a.cli('import', `oci:${saved}`, '--name', image.reference);
  await pulled(b, image);
});

systemTest(
  'cosign save names no bundle in its index: the image comes, and is refused until an archive has them',
  async lab => {
    const { signing, image, a, b } = await offline(lab, 'bundle');
    const saved = join(lab.folder, 'saved');
    await signing.cosign.save(signing.at(image), saved);
    const layout = await skopeoLayout(lab, signing, image);
    await signing.registry.stop();
    const told = JSON.parse(await a.cli('import', `oci:${saved}`, '--name', image.reference, '--json')) as Imported;
    assert.deepEqual([told.images.length, told.attachments.length], [1, 0]);
    await refused(a, image);
    const more = JSON.parse(await a.cli('import', `oci:${layout}`, '--json')) as Imported;
    assert.deepEqual(
      more.attachments.map(({ subject, bond }) => [subject, bond]),
      [[image.digest, 'subject']],
    );
    await pulled(b, image);
  },
);

interface Imported {
  readonly images: readonly unknown[];
  readonly attachments: readonly { readonly subject: string; readonly bond: string }[];
}

/** The machine hears of the image and pulls it, by its digest. */
async function pulled({ node, containerd }: Machine, image: BuiltImage): Promise<void> {
  await node.hears('a', ownContents(image).length);
  const byDigest = `${image.reference.replace(/:1$/, '')}@${image.digest}`;
  await containerd.cri.pull(byDigest);
  await assertHolds(containerd, image, byDigest);
}

/**
 * Nodes without containerd and without a registry: an image and what is signed about it come in archives, as skopeo and
 * `cosign save` write them, are judged, shared and pulled.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { parseTagReference } from '../../src/oci/oci.ts';
import type { BuiltImage } from '../support/images.ts';
import type { Lab } from '../support/system/lab.ts';
import { assertHolds, machine, ownContents } from '../support/system/machine.ts';
import type { PinnaceNode } from '../support/system/node.ts';
import { run } from '../support/system/processes.ts';
import { openSigning, type Signing } from '../support/system/signing.ts';
import { systemTest } from '../support/system/suite.ts';

const REGISTRY = 'reg.test';
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

const refused = async (node: PinnaceNode, image: BuiltImage): Promise<boolean> => {
  const { repository } = parseTagReference(image.reference);
  return (await node.get(`/v2/${repository}/manifests/${image.digest}?ns=${REGISTRY}`)).status === 403;
};

for (const format of ['bundle', 'legacy'] as const)
  systemTest(
    `an archive by skopeo brings the image and its signature (${format}) to a node that has neither`,
    async lab => {
      const signing = await openSigning(lab);
      const key = await signing.cosign.key('platform');
      const policyFiles = { 'keys/platform.pub': key.pem };
      const image = await signing.publish(`${REGISTRY}/team/app:1`);
      const before = await lab.archive(image);
      await signing.cosign.sign(signing.at(image), key, format);
      const layout = await skopeoLayout(lab, signing, image);
      await signing.registry.stop();
      const a = await lab.node('a', { policy: POLICY, policyFiles });
      const b = await machine(lab, 'b', {
        version: '2.x',
        registry: REGISTRY,
        policy: POLICY,
        policyFiles,
        bootstrap: ['a'],
      });
      await b.node.sees('a');
      await a.cli('import', before);
      assert.equal(await refused(a, image), true);
      assert.equal((await a.status()).holdings.contents, 0);
      await a.cli('import', `oci:${layout}`);
      await pulled(b, image);
    },
  );

systemTest('what `cosign save` writes of a signature in the older format is imported with its image', async lab => {
  const signing = await openSigning(lab);
  const key = await signing.cosign.key('platform');
  const policyFiles = { 'keys/platform.pub': key.pem };
  const image = await signing.publish(`${REGISTRY}/team/app:1`);
  await signing.cosign.sign(signing.at(image), key, 'legacy');
  const saved = join(lab.folder, 'saved');
  await signing.cosign.save(signing.at(image), saved);
  await signing.registry.stop();
  const a = await lab.node('a', { policy: POLICY, policyFiles });
  const b = await machine(lab, 'b', {
    version: '2.x',
    registry: REGISTRY,
    policy: POLICY,
    policyFiles,
    bootstrap: ['a'],
  });
  await b.node.sees('a');
  await a.cli('import', `oci:${saved}`, '--name', image.reference);
  await pulled(b, image);
});

/** The machine hears of the image and pulls it, by its digest. */
async function pulled({ node, containerd }: Awaited<ReturnType<typeof machine>>, image: BuiltImage): Promise<void> {
  await node.hears('a', ownContents(image).length);
  const byDigest = `${image.reference.replace(/:1$/, '')}@${image.digest}`;
  await containerd.cri.pull(byDigest);
  await assertHolds(containerd, image, byDigest);
}

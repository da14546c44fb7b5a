/**
 * Debian's cosign and skopeo, as people use them: what cosign writes reaches a node and travels to others, and both take
 * images and signatures from the mirror by the path alone (`host/registry/repository`), with the registry gone.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestOf, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/oci.ts';
import type { BuiltImage } from '../support/images.ts';
import { type Cosign, type Key, signatureTag } from '../support/system/cosign.ts';
import type { Answer } from '../support/system/http.ts';
import type { Lab } from '../support/system/lab.ts';
import { joined, type Machine, machine } from '../support/system/machine.ts';
import { MIRROR, type PinnaceNode } from '../support/system/node.ts';
import { run } from '../support/system/processes.ts';
import { openSigning } from '../support/system/signing.ts';
import { systemTest } from '../support/system/suite.ts';

const REGISTRY = 'reg.test';
/** The registry's other name, for clients that have no `ns`. */
const ALIAS = 'reg';
const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const PREDICATE = 'https://predicates.example/built/v1';
const POLICY = `apiVersion: pinnace.policy/v1
kind: MirrorPolicy
metadata: {name: clients, serial: 1, issuedAt: 2026-11-20T00:00:00Z}
registries: [{name: ${REGISTRY}, aliases: [${ALIAS}]}]
authorities:
  platform: {key: {file: keys/platform.pub}}
rules:
  - name: team
    match: ${REGISTRY}/team/**
    pins: {require: true, files: [pins/team.lock]}
    signatures: {anyOf: [platform]}
    # Asked for, and so looked for at peers and kept: the cosign of a user may want it later.
    attestations: [{predicateType: ${PREDICATE}, anyOf: [platform], where: {/level: {min: 3}}}]
    share: cluster
`;

const lockOf = (...images: readonly BuiltImage[]): string =>
  `pinnace-pins 1 serial 1\n${images
    .map(({ reference, digest }) => `${reference} ${digest}\n`)
    .toSorted()
    .join('')}`;

for (const version of ['2.x', '1.6'] as const)
  systemTest(`what cosign writes is fetched by containerd ${version} under the names of its tags`, async lab => {
    const signing = await openSigning(lab);
    const containerd = await lab.containerd('a', version);
    const image = await signing.publish(`${REGISTRY}/team/app:1`);
    const key = await signing.cosign.key('platform');
    for (const format of ['bundle', 'legacy'] as const) {
      await signing.cosign.sign(signing.at(image), key, format);
      await signing.cosign.attest(signing.at(image), key, format, PREDICATE, { level: 3 });
    }
    const tags = [
      signatureTag(image.digest, 'bundle'),
      signatureTag(image.digest, 'legacy', 'att'),
      signatureTag(image.digest, 'legacy', 'sig'),
    ];
    assert.deepEqual((await signing.about(image)).toSorted(), tags);
    await signing.bringSignatures(containerd, image);
    // To the kubelet's plugin the older tags look like images: it gives them names by their configs as well.
    const named = (await containerd.ctr('images', 'ls', '-q')).trim().split('\n');
    const names = named.filter(name => !name.startsWith('sha256:'));
    assert.deepEqual(names.toSorted(), tags.map(tag => `${REGISTRY}/team/app:${tag}`).toSorted());
    // The tag's index says nothing of what it lists; each manifest does, and containerd has all that it lists.
    const index = (await manifestNamed(containerd, `${REGISTRY}/team/app:${tags[0]}`)) as Listing;
    assert.equal(index.manifests.length, 2);
    const predicates = await Promise.all(
      index.manifests.map(async listed => {
        assert.notEqual(listed.artifactType, BUNDLE);
        const manifest = (await contentOf(containerd, listed.digest)) as Artifact;
        assert.equal(manifest.artifactType, BUNDLE);
        assert.equal(manifest.subject.digest, image.digest);
        for (const layer of manifest.layers) await contentOf(containerd, layer.digest);
        return manifest.annotations['dev.sigstore.bundle.predicateType'] ?? '';
      }),
    );
    assert.deepEqual(predicates.toSorted(), [PREDICATE, 'https://sigstore.dev/cosign/sign/v1']);
  });

interface Listing {
  readonly mediaType: string;
  readonly manifests: readonly { readonly digest: Digest; readonly artifactType?: string }[];
}
interface Artifact {
  readonly artifactType: string;
  readonly subject: { readonly digest: Digest };
  readonly layers: readonly { readonly digest: Digest }[];
  readonly annotations: Readonly<Record<string, string | undefined>>;
}

async function contentOf({ content }: Machine['containerd'], digest: Digest): Promise<unknown> {
  return JSON.parse(await readFile(join(content, 'blobs', 'sha256', digest.slice('sha256:'.length)), 'utf8'));
}

async function manifestNamed(containerd: Machine['containerd'], name: string): Promise<unknown> {
  const digest = /sha256:[a-f0-9]{64}/.exec((await containerd.ctr('images', 'ls', `name==${name}`)).replace(name, ''));
  return contentOf(containerd, digest![0] as Digest);
}

interface Travelled {
  readonly cosign: Cosign;
  readonly key: Key;
  /** One signed as a bundle, one in the older format; each with an attestation of the same format. */
  readonly images: readonly [bundle: BuiltImage, legacy: BuiltImage];
  readonly a: Machine;
  readonly b: Machine;
}

/** Two machines, of which `b` has neither a registry nor anything but what it had from `a`, through its mirror. */
async function travelled(lab: Lab): Promise<Travelled> {
  const signing = await openSigning(lab);
  const key = await signing.cosign.key('platform');
  const [bundle, legacy] = [
    await signing.publish(`${REGISTRY}/team/bundle:1`),
    await signing.publish(`${REGISTRY}/team/legacy:1`),
  ];
  await signing.cosign.sign(signing.at(bundle), key, 'bundle');
  await signing.cosign.sign(signing.at(legacy), key, 'legacy');
  await signing.cosign.attest(signing.at(bundle), key, 'bundle', PREDICATE, { level: 3 });
  await signing.cosign.attest(signing.at(legacy), key, 'legacy', PREDICATE, { level: 3 });
  const policyFiles = { 'keys/platform.pub': key.pem, 'pins/team.lock': lockOf(bundle, legacy) };
  const common = { version: '2.x', registry: REGISTRY, policy: POLICY, policyFiles } as const;
  const a = await machine(lab, 'a', common);
  const b = await machine(lab, 'b', { ...common, bootstrap: ['a'] });
  await joined(a, b);
  for (const image of [bundle, legacy]) {
    await signing.bringSignatures(a.containerd, image);
    await signing.bring(a.containerd, image);
  }
  await signing.registry.stop();
  await a.node.holds(6);
  await b.node.hears('a', 6);
  for (const image of [bundle, legacy]) await b.containerd.cri.pull(image.reference);
  await b.node.holds(6);
  return { cosign: signing.cosign, key, images: [bundle, legacy], a, b };
}

/** What a client of the mirror calls an image: without `ns`, the registry stands in the path. */
const mirrored = (image: BuiltImage, registry = REGISTRY): string =>
  `${MIRROR}/${image.reference.replace(REGISTRY, registry).replace(/:[^:/]*$/, '')}@${image.digest}`;

systemTest('cosign verifies through the mirror of a node, with the registry and then the giver gone', async lab => {
  const { cosign, key, images, a, b } = await travelled(lab);
  for (const { node } of [a, b])
    for (const image of images)
      for (const registry of [REGISTRY, ALIAS]) {
        const said = JSON.stringify(await cosign.verify(node.host, mirrored(image, registry), key));
        assert.ok(said.includes(image.digest), said);
      }
  await a.node.stop();
  const other = await cosign.key('other');
  for (const image of images) {
    assert.ok((await cosign.verify(b.node.host, mirrored(image), key)).length > 0);
    await assert.rejects(cosign.verify(b.node.host, mirrored(image), other), /ended with/);
    await cosign.verifyAttestation(b.node.host, mirrored(image), key, PREDICATE);
    await assert.rejects(
      cosign.verifyAttestation(b.node.host, mirrored(image), key, `${PREDICATE}/other`),
      /ended with/,
    );
  }
});

/** Asks as cosign does: without `ns`, and with all that it accepts. */
const ask = (node: PinnaceNode, path: string): Promise<Answer> =>
  node.get(path, { headers: { accept: `${OCI_INDEX}, ${OCI_MANIFEST}` } });

async function listing(node: PinnaceNode, path: string): Promise<Listing> {
  const answer = await ask(node, path);
  assert.equal(answer.status, 200, `${path}: ${answer.status} ${answer.body.toString()}`);
  assert.equal(answer.headers['content-type']?.split(';')[0], OCI_INDEX);
  return JSON.parse(answer.body.toString()) as Listing;
}

systemTest(
  'what cosign looks for is answered from what the node keeps: referrers, and the tags of both formats',
  async lab => {
    const { images, a, b } = await travelled(lab);
    await a.node.stop();
    const [bundle, legacy] = images;
    for (const registry of [REGISTRY, ALIAS]) {
      assert.equal((await ask(b.node, '/v2/')).status, 200);
      const base = `/v2/${registry}/team`;
      // The type is the manifest's own, not the listing's that cosign made.
      const all = await listing(b.node, `${base}/bundle/referrers/${bundle.digest}`);
      assert.deepEqual(
        all.manifests.map(({ artifactType }) => artifactType),
        [BUNDLE, BUNDLE],
      );
      const some = `${base}/bundle/referrers/${bundle.digest}?artifactType=${encodeURIComponent(BUNDLE)}`;
      assert.equal((await listing(b.node, some)).manifests.length, 2);
      const none = `${base}/bundle/referrers/${bundle.digest}?artifactType=${encodeURIComponent('application/none')}`;
      assert.equal((await listing(b.node, none)).manifests.length, 0);
      const fallback = await listing(b.node, `${base}/bundle/manifests/${signatureTag(bundle.digest, 'bundle')}`);
      const digests = (list: Listing): readonly Digest[] => list.manifests.map(({ digest }) => digest).toSorted();
      assert.deepEqual(digests(fallback), digests(all));
      for (const digest of digests(all)) await artifact(b.node, `${base}/bundle`, digest, bundle.digest);
      for (const suffix of ['sig', 'att'] as const) {
        const path = `${base}/legacy/manifests/${signatureTag(legacy.digest, 'legacy', suffix)}`;
        const { status, body, headers } = await ask(b.node, path);
        assert.equal(status, 200, path);
        assert.equal(headers['docker-content-digest'], digestOf(body));
        await blobs(b.node, `${base}/legacy`, JSON.parse(body.toString()) as Artifact);
      }
    }
    // Of what is not here nothing is made up, and a digest opens nothing under a name that policy does not give it.
    const tagOf = (repository: string, image: BuiltImage): string =>
      `/v2/${REGISTRY}/${repository}/manifests/${signatureTag(image.digest, 'legacy')}`;
    assert.equal((await ask(b.node, tagOf('team/bundle', bundle))).status, 404);
    assert.equal((await ask(b.node, tagOf('team/bundle', legacy))).status, 403);
    assert.equal((await ask(b.node, `/v2/${REGISTRY}/else/bundle/referrers/${bundle.digest}`)).status, 403);
    assert.equal((await ask(b.node, `/v2/elsewhere.test/team/bundle/referrers/${bundle.digest}`)).status, 404);
  },
);

/** Reads an artifact about `subject` and all that it lists. */
async function artifact(node: PinnaceNode, base: string, digest: Digest, subject: Digest): Promise<void> {
  const { status, body } = await ask(node, `${base}/manifests/${digest}`);
  assert.equal(status, 200, `${base}: ${digest}`);
  assert.equal(digestOf(body), digest);
  const manifest = JSON.parse(body.toString()) as Artifact;
  assert.equal(manifest.subject.digest, subject);
  await blobs(node, base, manifest);
}

async function blobs(node: PinnaceNode, base: string, { layers }: Artifact): Promise<void> {
  for (const { digest } of layers) assert.equal(digestOf((await ask(node, `${base}/blobs/${digest}`)).body), digest);
}

systemTest('skopeo inspects and copies an image through the mirror, with no registry behind it', async lab => {
  const { images, a, b } = await travelled(lab);
  await a.node.stop();
  const { netns } = b.node.host;
  const skopeo = (...args: readonly string[]): Promise<string> => run(['skopeo', ...args], { netns });
  for (const image of images)
    for (const [at, name] of [mirrored(image), mirrored(image, ALIAS), `${MIRROR}/${image.reference}`].entries()) {
      const raw = await skopeo('inspect', '--raw', '--tls-verify=false', `docker://${name}`);
      assert.equal(digestOf(Buffer.from(raw)), image.digest);
      const said = await skopeo('inspect', '--no-tags', '--tls-verify=false', `docker://${name}`);
      assert.equal((JSON.parse(said) as { Digest: string }).Digest, image.digest);
      const layout = join(lab.folder, `copied-${at}-${image.digest.slice(-8)}`);
      await skopeo('copy', '--preserve-digests', '--src-tls-verify=false', `docker://${name}`, `oci:${layout}:copied`);
      assert.ok((await readFile(join(layout, 'index.json'), 'utf8')).includes(image.digest));
    }
  await assert.rejects(skopeo('inspect', '--raw', '--tls-verify=false', `docker://${MIRROR}/${REGISTRY}/team/none:1`));
});

/**
 * A strict policy on real containerds: what is pinned and signed by the right key is shared and pulled; what lacks one of
 * these is told to nobody, given to nobody who asks by digest, and refused at the door with the reason, though a neighbour
 * whose policy allows everything has it.
 */
import assert from 'node:assert/strict';
import type { Code } from '../../src/errors.ts';
import type { Descriptor } from '../../src/oci/oci.ts';
import type { BuiltImage } from '../support/images.ts';
import type { Key } from '../support/system/cosign.ts';
import type { Answer } from '../support/system/http.ts';
import type { Lab } from '../support/system/lab.ts';
import { assertHolds, joined, type Machine, machine, ownContents } from '../support/system/machine.ts';
import type { PinnaceNode } from '../support/system/node.ts';
import { until } from '../support/system/processes.ts';
import { pry } from '../support/system/prying.ts';
import { openSigning, type Signing } from '../support/system/signing.ts';
import { systemTest } from '../support/system/suite.ts';

const REGISTRY = 'reg.test';
const JUDGED_MS = 30_000;
const TIMEOUT_MS = 300_000;
const METADATA = 'serial: 1, issuedAt: 2026-11-20T00:00:00Z';
const STRICT = `apiVersion: pinnace.policy/v1
kind: MirrorPolicy
metadata: {name: strict, ${METADATA}}
registries: [${REGISTRY}]
authorities:
  platform: {key: {file: keys/platform.pub}}
rules:
  - name: prod
    match: ${REGISTRY}/prod/**
    pins: {require: true, files: [pins/prod.lock]}
    signatures: {anyOf: [platform]}
    share: cluster
`;
const OPEN = `apiVersion: pinnace.policy/v1
kind: MirrorPolicy
metadata: {name: open, ${METADATA}}
registries: [${REGISTRY}]
defaults: {action: allow, share: cluster, shareEverything: true, tags: {min: 1}}
`;

/** Images that are as they should be, but for the one thing that their name says. */
interface Images {
  readonly bundle: BuiltImage;
  readonly legacy: BuiltImage;
  readonly unsigned: BuiltImage;
  readonly stranger: BuiltImage;
  readonly grafted: BuiltImage;
  /** What its tag is pinned to, and what it was moved to: signed both. */
  readonly moved: BuiltImage;
  readonly movedTo: BuiltImage;
  readonly unpinned: BuiltImage;
}
type Name = keyof Images;

const GOOD: readonly Name[] = ['bundle', 'legacy', 'moved'];
/** Refused, with the code. */
const BAD: readonly { readonly name: Name; readonly code: Code }[] = [
  { name: 'unsigned', code: 'SIGNATURE_MISSING' },
  { name: 'stranger', code: 'SIGNATURE_UNTRUSTED' },
  { name: 'grafted', code: 'SIGNATURE_UNTRUSTED' },
  { name: 'movedTo', code: 'PIN_MISMATCH' },
  { name: 'unpinned', code: 'PIN_MISMATCH' },
];

async function publishAll(signing: Signing, platform: Key, stranger: Key): Promise<Images> {
  const { cosign } = signing;
  const image = (name: Name, tag = `${name}:1`): Promise<BuiltImage> =>
    signing.publish(`${REGISTRY}/prod/${tag.toLowerCase()}`, name);
  const images: Record<Name, BuiltImage> = {
    bundle: await image('bundle'),
    legacy: await image('legacy'),
    unsigned: await image('unsigned'),
    stranger: await image('stranger'),
    grafted: await image('grafted'),
    moved: await image('moved'),
    // Pushed later under the same tag.
    movedTo: await image('movedTo', 'moved:1'),
    unpinned: await image('unpinned'),
  };
  const { bundle, legacy, moved, movedTo, unpinned } = images;
  for (const signed of [bundle, moved, movedTo, unpinned]) await cosign.sign(signing.at(signed), platform, 'bundle');
  for (const signed of [bundle, legacy]) await cosign.sign(signing.at(signed), platform, 'legacy');
  for (const format of ['bundle', 'legacy'] as const) await cosign.sign(signing.at(images.stranger), stranger, format);
  await signing.graft(bundle, images.grafted);
  return images;
}

const lockOf = (images: Images): string => {
  const pinned = (['bundle', 'legacy', 'unsigned', 'stranger', 'grafted', 'moved'] as const).map(name => images[name]);
  const lines = pinned.map(({ reference, digest }) => `${reference} ${digest} # a test\n`);
  return `pinnace-pins 1 serial 1\n${lines.toSorted().join('')}`;
};

interface Cluster {
  readonly signing: Signing;
  readonly platform: Key;
  readonly images: Images;
  /** Holds everything; strict. */
  readonly a: Machine;
  /** Holds nothing; strict, of an older containerd. */
  readonly b: Machine;
  /** Holds everything; allows everything. */
  readonly open: Machine;
}

async function build(lab: Lab): Promise<Cluster> {
  const signing = await openSigning(lab);
  const platform = await signing.cosign.key('platform');
  const images = await publishAll(signing, platform, await signing.cosign.key('stranger'));
  const policyFiles = { 'keys/platform.pub': platform.pem, 'pins/prod.lock': lockOf(images) };
  const strict = { registry: REGISTRY, policy: STRICT, policyFiles } as const;
  const a = await machine(lab, 'a', { version: '2.x', ...strict });
  const b = await machine(lab, 'b', { version: '1.6', ...strict, bootstrap: ['a'] });
  const open = await machine(lab, 'open', { version: '2.x', registry: REGISTRY, policy: OPEN, bootstrap: ['a'] });
  await joined(a, b, open);
  return { signing, platform, images, a, b, open };
}

/** Everything comes to a machine, each image before or after what is signed about it. */
async function bringAll({ signing, images }: Cluster, { containerd }: Machine): Promise<void> {
  for (const [at, image] of Object.values(images as Record<Name, BuiltImage>).entries()) {
    if (at % 2) await signing.bringSignatures(containerd, image);
    // A tag that moved is known by what it was moved to; what it was before is known by its digest.
    if (image === images.moved) await signing.bringByDigest(containerd, image);
    else await signing.bring(containerd, image);
    if (!(at % 2)) await signing.bringSignatures(containerd, image);
  }
}

const contentsOf = (images: Images, names: readonly Name[]): readonly Descriptor[] =>
  names.flatMap(name => ownContents(images[name]));

const manifestPath = ({ reference }: BuiltImage, which: string): string =>
  `/v2/${reference.slice(REGISTRY.length + 1).replace(/:[^:]*$/, '')}/manifests/${which}?ns=${REGISTRY}`;

/** Why a mirror refuses: the code of its error, and what stands in its detail. */
function refusal(answer: Answer): unknown {
  const text = answer.body.toString();
  assert.equal(answer.status, 403, `${answer.status} ${text}`);
  const { errors } = JSON.parse(text) as { errors: { code: string; detail: { code: string; rule: string } }[] };
  return errors.map(({ code, detail }) => [code, detail.code, detail.rule]);
}

/** The last step of `pinnace why`, and that it names `wanted` (a rule, a code). */
async function assertWhy(node: PinnaceNode, reference: string, wanted: readonly string[]): Promise<void> {
  const told = await node.cli('why', reference, '--json');
  const { steps } = JSON.parse(told) as { steps: { step: string; ok: boolean; detail: string }[] };
  assert.equal(steps.at(-1)?.ok, false, told);
  const because = steps.filter(({ ok }) => !ok).map(({ detail }) => detail);
  for (const word of wanted)
    assert.ok(
      because.some(detail => detail.includes(word)),
      `${word} is not in ${told}`,
    );
}

systemTest(
  'what is pinned and signed by the right key is shared and pulled by other nodes, in both formats of signatures',
  async lab => {
    const cluster = await build(lab);
    const { signing, images, a, b } = cluster;
    await bringAll(cluster, a);
    await signing.registry.stop();
    const good = contentsOf(images, GOOD);
    await b.node.hears('a', new Set(good.map(({ digest }) => digest)).size);
    for (const name of ['bundle', 'legacy', 'moved'] as const) {
      await b.containerd.cri.pull(images[name].reference);
      await assertHolds(b.containerd, images[name]);
    }
    // What it pulled it has judged for itself, by signatures that it has from the other: it shares it with the first one gone.
    await b.node.holds(new Set(good.map(({ digest }) => digest)).size, JUDGED_MS);
    await a.node.kill();
    await cluster.open.node.hears('b', good.length);
    await cluster.open.containerd.cri.pull(`${images.bundle.reference.replace(/:1$/, '')}@${images.bundle.digest}`);
    const admitted = (await b.node.audit()).map(({ event }) => event);
    assert.ok(admitted.includes('share.offered'), [...new Set(admitted)].join());
  },
  TIMEOUT_MS,
);

systemTest(
  'what is unsigned, signed by another key or for another digest, or not what its tag is pinned to, is told and given to nobody',
  async lab => {
    const cluster = await build(lab);
    const { images, a, b } = cluster;
    await bringAll(cluster, a);
    const good = new Set(contentsOf(images, GOOD).map(({ digest }) => digest));
    await b.node.hears('a', good.size);
    assert.equal((await a.node.status()).holdings.contents, good.size);
    const bad = contentsOf(
      images,
      BAD.map(({ name }) => name),
    ).filter(({ digest }) => !good.has(digest));
    const peer = await lab.node('peer', { policy: OPEN, bootstrap: [a.node.host], started: false });
    const pried = await pry(peer, 'a', [images.bundle.target, ...bad]);
    const [given, ...refused] = pried;
    assert.deepEqual(given, {
      digest: images.bundle.digest,
      holders: ['a'],
      bytes: 'given',
      proof: 'given',
      referrers: 2,
    });
    for (const { digest, ...told } of refused)
      assert.deepEqual(told, { holders: [], bytes: 'CONTENT_ABSENT', proof: 'CONTENT_ABSENT', referrers: 0 }, digest);
    const offered = (await a.node.audit()).filter(({ event }) => event === 'share.offered').map(({ digest }) => digest);
    assert.deepEqual(
      offered.filter(digest => bad.some(content => content.digest === digest)),
      [],
    );
  },
  TIMEOUT_MS,
);

systemTest(
  'a pull of it is 403 DENIED with the code where it lies on the node, and where a neighbour who allows everything gives it',
  async lab => {
    const cluster = await build(lab);
    const { signing, images, a, b, open } = cluster;
    await bringAll(cluster, a);
    await bringAll(cluster, open);
    await signing.registry.stop();
    const everything = new Set(contentsOf(images, Object.keys(images) as Name[]).map(({ digest }) => digest));
    await b.node.hears('open', everything.size);
    for (const { name, code } of BAD)
      for (const { node } of [a, b]) {
        const said = refusal(await node.get(manifestPath(images[name], images[name].digest)));
        assert.deepEqual(said, [['DENIED', code, 'prod']], `${name} on ${node.name}`);
        await assertWhy(node, `${images[name].reference.replace(/:1$/, '')}@${images[name].digest}`, [code, 'prod']);
      }
    // By its tag as well: an image of a tag without a pin has no digest at all.
    for (const [name, code] of [
      ['unsigned', 'SIGNATURE_MISSING'],
      ['stranger', 'SIGNATURE_UNTRUSTED'],
      ['grafted', 'SIGNATURE_UNTRUSTED'],
      ['unpinned', 'PIN_MISSING'],
    ] as const) {
      const answer = await b.node.get(manifestPath(images[name], '1'));
      assert.deepEqual(refusal(answer), [['DENIED', code, 'prod']], name);
      await assertWhy(b.node, images[name].reference, [code, 'prod']);
      await assert.rejects(b.containerd.cri.pull(images[name].reference));
    }
    // A tag is what it is pinned to, wherever it was moved.
    const tag = await b.node.get(manifestPath(images.moved, '1'));
    assert.deepEqual([tag.status, tag.headers['docker-content-digest']], [200, images.moved.digest]);
    // What it lists is refused as well: its digests alone open nothing.
    for (const { digest } of ownContents(images.unsigned).slice(1)) {
      const blob = `/v2/prod/unsigned/blobs/${digest}?ns=${REGISTRY}`;
      assert.notEqual((await b.node.get(blob)).status, 200);
    }
    const refused = (await b.node.audit())
      .filter(({ event }) => event === 'pull.refused')
      .map(one => String(one['code']));
    for (const { code } of BAD)
      assert.ok(refused.includes(code), `${code} is not among ${[...new Set(refused)].join()}`);
  },
  TIMEOUT_MS,
);

systemTest(
  'an image that is signed later is shared from then on, and not before',
  async lab => {
    const cluster = await build(lab);
    const { signing, platform, images, a, b } = cluster;
    const { unsigned } = images;
    await signing.bring(a.containerd, unsigned);
    const refused = async (): Promise<boolean> =>
      (await a.node.get(manifestPath(unsigned, unsigned.digest))).status === 403;
    await until('the unsigned image is refused', JUDGED_MS, refused);
    assert.equal((await a.node.status()).holdings.contents, 0);
    await signing.cosign.sign(signing.at(unsigned), platform, 'bundle');
    await signing.bringSignatures(a.containerd, unsigned);
    await signing.registry.stop();
    await b.node.hears('a', ownContents(unsigned).length, JUDGED_MS);
    await b.containerd.cri.pull(unsigned.reference);
    await assertHolds(b.containerd, unsigned);
  },
  TIMEOUT_MS,
);

/** What is attached to an image, at the door: the referrers API, its fallback tag, cosign's tags, and what they list. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { pull } from '../../src/mirror/mirror.ts';
import { digestOf, OCI_INDEX, parseRequest } from '../../src/oci/oci.ts';
import { buildAttachment, type BuiltAttachment } from '../support/memory-attachments.ts';
import { bytesOfJson } from '../support/sigstore-signing.ts';
import { type Got, type StoryNode, storyImage, take } from './story-node.ts';
import {
  Admission,
  ALL,
  attach,
  bundleBy,
  is,
  KEYS,
  legacyBy,
  NAME,
  PINNED,
  PLATFORM,
  policy,
  signatureBy,
  SIGNED,
  store,
  STRANGER,
  withPins,
} from './admission.ts';

const IMAGE = storyImage(NAME, { layers: [10] });
const { digest } = IMAGE.target;
const GOOD = signatureBy(PLATFORM, digest);
const LEGACY = legacyBy(PLATFORM, digest);
const ATT = buildAttachment(digest, 'an envelope', { bond: 'att' });
const SBOM = buildAttachment(digest, 'a list', { artifactType: 'application/spdx+json', annotations: { of: 'x' } });
const HEX = digest.replace(':', '-');
const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json';

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

/** A request with a query of its own beside `ns`. */
const referrers = (node: StoryNode, of: string = digest, query = '', name = 'team/app'): Promise<Got> =>
  story.until(pull(node.rooms, parseRequest('GET', `/v2/${name}/referrers/${of}?ns=r.test${query}`)).then(take));
const tagged = (node: StoryNode, tag: string, name = 'team/app'): Promise<Got> =>
  story.get(node, `${name}/manifests/${tag}`);
const listed = ({ bytes }: Got) =>
  (JSON.parse(bytes.toString()) as { manifests: { digest: string; artifactType: string }[] }).manifests;
const digests = (got: Got): string[] => listed(got).map(one => one.digest);
const sorted = (...all: readonly BuiltAttachment[]): string[] => all.map(one => one.digest).sort();

void test('the referrers API lists what is attached by subject, and it can be fetched, manifest and layers', async () => {
  const node = await story.holder('node', IMAGE, SIGNED, [GOOD, SBOM, LEGACY]);
  const got = await referrers(node);
  assert.equal(got.answer.descriptor.mediaType, OCI_INDEX);
  assert.deepEqual(digests(got), sorted(GOOD, SBOM));
  const manifest = await tagged(node, GOOD.digest);
  assert.ok(manifest.bytes.equals(GOOD.artifact.manifest));
  for (const [blob, bytes] of GOOD.contents)
    assert.ok((await story.get(node, `team/app/blobs/${blob}`)).bytes.equals(Buffer.from(bytes)));
});

void test('artifactType filters by what each manifest says of itself', async () => {
  const node = await story.holder('node', IMAGE, SIGNED, [GOOD, SBOM]);
  assert.deepEqual(digests(await referrers(node, digest, `&artifactType=${encodeURIComponent(BUNDLE)}`)), [
    GOOD.digest,
  ]);
  assert.deepEqual(digests(await referrers(node, digest, '&artifactType=application%2Fspdx%2Bjson')), [SBOM.digest]);
  assert.deepEqual(digests(await referrers(node, digest, '&artifactType=x')), []);
});

void test('the type that a listing gives is not believed: the manifest’s own is told', async () => {
  const node = await story.holder('node', IMAGE, SIGNED);
  const own = node.store.put(GOOD.artifact.manifest);
  for (const bytes of GOOD.contents.values()) node.store.put(bytes);
  const type = { mediaType: 'application/vnd.oci.image.manifest.v1+json', artifactType: 'application/spdx+json' };
  const manifests = [{ ...own, ...type }];
  const index = node.store.put(bytesOfJson({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }), OCI_INDEX);
  node.store.name({ ...IMAGE.reference, tag: HEX } as typeof IMAGE.reference, index);
  await story.share();
  assert.deepEqual(
    listed(await referrers(node)).map(({ digest: of, artifactType }) => [of, artifactType]),
    [[GOOD.digest, BUNDLE]],
  );
});

void test('a manifest under such a tag that lists other content of this node attaches nothing: nobody gets that as a signature', async () => {
  for (const bond of ['subject', 'sig', 'att'] as const) {
    const one = new Admission();
    const node = await one.holder('node', IMAGE, SIGNED, [GOOD]);
    const secret = Buffer.from(JSON.stringify({ config: { Env: ['PASSWORD=1'] }, rootfs: { diff_ids: ['sha256:1'] } }));
    const lying = buildAttachment(digest, secret, { bond });
    store(node, IMAGE, lying);
    await one.share();
    const hidden = digestOf(secret);
    assert.deepEqual(node.rooms.attachments.owners(hidden), []);
    const reader = await one.reader(SIGNED);
    await assert.rejects(node.giver.give(reader.node, hidden, 0, secret.length), is('CONTENT_ABSENT'));
    await one.end();
  }
});

void test('where nothing is attached the referrers API answers with an empty list, and every tag is absent (CONTENT_ABSENT)', async () => {
  const node = await story.holder('node', IMAGE, ALL);
  assert.deepEqual(digests(await referrers(node)), []);
  for (const tag of [HEX, `${HEX}.sig`, `${HEX}.att`]) await assert.rejects(tagged(node, tag), is('CONTENT_ABSENT'));
  assert.deepEqual(node.asked, []);
});

void test('the fallback tag lists the same, and .sig and .att are the manifests themselves', async () => {
  const node = await story.holder('node', IMAGE, SIGNED, [GOOD, SBOM, LEGACY, ATT]);
  assert.ok((await tagged(node, HEX)).bytes.equals((await referrers(node)).bytes));
  assert.ok((await tagged(node, `${HEX}.sig`)).bytes.equals(LEGACY.artifact.manifest));
  assert.ok((await tagged(node, `${HEX}.att`)).bytes.equals(ATT.artifact.manifest));
});

void test('these tags never go through pins or statements, and are never stated', async () => {
  for (const [text, files] of [
    [PINNED, withPins({ [NAME]: digest })],
    [policy('share: cluster'), KEYS],
    [ALL, KEYS],
  ] as const) {
    const one = new Admission();
    const node = await one.node('node', { policy: text, files });
    node.keep(IMAGE);
    for (const each of [GOOD, LEGACY]) store(node, IMAGE, each);
    await one.share();
    for (const tag of [HEX, `${HEX}.sig`]) {
      const got = await one.get(node, `team/app/manifests/${tag}`);
      assert.ok(got.whole);
    }
    assert.ok(!node.told.tags.some(tag => tag.includes(HEX)));
    assert.deepEqual(node.audit.of('tag.resolved'), []);
    assert.ok(!node.told.holdings.includes(GOOD.digest));
    await one.end();
  }
});

void test('a statement about such a tag decides nothing (CONTENT_ABSENT)', async () => {
  const liar = await story.holder('liar', IMAGE, ALL);
  const reference = { ...IMAGE.reference, tag: `${HEX}.sig` } as Parameters<typeof liar.rooms.stated.claims>[0];
  const now = story.world.now();
  await liar.rooms.peers.stateTags([{ reference, digest, observedAt: now, renewedAt: now }]);
  const node = await story.reader(ALL);
  await assert.rejects(tagged(node, `${HEX}.sig`), is('CONTENT_ABSENT'));
  assert.deepEqual(node.audit.of('tag.resolved'), []);
});

void test('what is attached is absent under every other name, by list, tag, manifest and blob (CONTENT_ABSENT)', async () => {
  const node = await story.holder('node', IMAGE, SIGNED, [GOOD, LEGACY]);
  const other = 'other/app';
  for (const asked of [
    () => referrers(node, digest, '', other),
    () => tagged(node, HEX, other),
    () => tagged(node, `${HEX}.sig`, other),
  ])
    await assert.rejects(asked(), is('CONTENT_ABSENT'));
  await assert.rejects(tagged(node, GOOD.digest, other), is('CONTENT_ABSENT'));
  for (const blob of GOOD.contents.keys())
    await assert.rejects(story.get(node, `${other}/blobs/${blob}`), is('CONTENT_ABSENT'));
});

for (const [what, text, attachments, code] of [
  ['is refused', SIGNED, [signatureBy(STRANGER, digest)], 'SIGNATURE_UNTRUSTED'],
  ['is of a denied name', policy('action: deny'), [GOOD], 'DENIED'],
] as const)
  void test(`nothing that is attached to an image that ${what} is given (${code})`, async () => {
    const node = await story.holder('node', IMAGE, text, attachments);
    const [{ digest: own, contents }] = attachments as readonly [BuiltAttachment];
    await assert.rejects(referrers(node), is(code));
    await assert.rejects(tagged(node, HEX), is(code));
    await assert.rejects(tagged(node, own), is('CONTENT_ABSENT'));
    for (const blob of contents.keys())
      await assert.rejects(story.get(node, `team/app/blobs/${blob}`), is('CONTENT_ABSENT'));
    assert.equal(node.audit.of('pull.refused').length, 3 + contents.size);
  });

void test('where policy asks for no signature, what other nodes have is fetched and listed, 32 at most', async () => {
  const many = Array.from({ length: 40 }, (_, at) => buildAttachment(digest, `${at}`));
  await story.holder('other', IMAGE, ALL, many);
  const node = await story.reader(ALL);
  await story.get(node, story.manifest(IMAGE, digest));
  assert.equal(digests(await referrers(node)).length, 32);
});

void test('where policy asks for signatures, only what counted is listed of what others have', async () => {
  await story.holder('other', IMAGE, ALL, [signatureBy(STRANGER, digest), GOOD, SBOM]);
  const node = await story.reader(SIGNED);
  await story.get(node, story.manifest(IMAGE, digest));
  assert.deepEqual(digests(await referrers(node)), [GOOD.digest]);
});

void test('an attestation is listed and given like a signature', async () => {
  const statement = buildAttachment(digest, bundleBy(PLATFORM, digest, 'https://r.test/built', { level: 3 }));
  const node = await story.holder('node', IMAGE, SIGNED, [GOOD, statement]);
  assert.deepEqual(digests(await referrers(node)), sorted(GOOD, statement));
});

void test('a content that a thousand artifacts have is found through the image that was pulled, and no other of them is looked for', async () => {
  const others = Array.from({ length: 1_000 }, (_, at) =>
    buildAttachment(digestOf(Buffer.from(`other ${at}`)), `${at}`),
  );
  const node = await story.reader(ALL);
  await attach(node, ...others);
  const before = node.audit.of('pull.refused').length;
  const empty = `team/app/blobs/${digestOf(Buffer.from('{}'))}`;
  const asked: string[] = [];
  const holders = node.rooms.peers.holders.bind(node.rooms.peers);
  Object.assign(node.rooms.peers, {
    holders: (of: typeof digest) => {
      asked.push(of);
      return holders(of);
    },
  });
  await assert.rejects(story.get(node, empty), is('CONTENT_ABSENT'));
  assert.equal(node.audit.of('pull.refused').length, before + 1);
  assert.ok(new Set(asked).size <= 4, `${new Set(asked).size} subjects were looked for`);
  await attach(node, SBOM);
  await story.holder('holder', IMAGE, ALL);
  await story.get(node, story.manifest(IMAGE, digest));
  assert.equal((await story.get(node, empty)).bytes.toString(), '{}');
});

void test('what nobody judges takes no room from what counts: half of it is kept free', async () => {
  for (const [fill, taken] of [
    [0.49, 1],
    [0.5, 0],
  ] as const) {
    const one = new Admission();
    await one.holder('other', IMAGE, ALL, [SBOM]);
    const node = await one.reader(ALL);
    Object.defineProperty(node.rooms.attachments, 'fill', { value: fill });
    const got = await one.until(
      pull(node.rooms, parseRequest('GET', `/v2/team/app/referrers/${digest}?ns=r.test`)).then(take),
    );
    assert.equal(digests(got).length, taken);
    await one.end();
  }
});

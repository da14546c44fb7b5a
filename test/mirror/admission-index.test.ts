/** Indexes: what they list inherits only through them, under their name, and never the other way round. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { pullImage } from '../../src/mirror/mirror.ts';
import { bytesOfJson } from '../support/sigstore-signing.ts';
import { type Descriptor, type Digest, digestOf, OCI_INDEX, parseReference } from '../../src/oci/oci.ts';
import { type StoryNode, storyImage } from './story-node.ts';
import {
  Admission,
  ALL,
  attach,
  is,
  KEYS,
  NAME,
  PINNED,
  PLATFORM,
  recorded,
  signatureBy,
  SIGNED,
  withPins,
} from './admission.ts';

const IMAGE = storyImage(NAME, { layers: [10], platforms: ['linux/amd64', 'linux/arm64'] });
const { digest } = IMAGE.target;
const [AMD, ARM] = IMAGE.images;
const CHILD = AMD!.manifest.digest;
/** The same bytes under another name of the same registry. */
const TWIN = storyImage('r.test/other/app:1', {
  layers: [10],
  platforms: ['linux/amd64', 'linux/arm64'],
  seed: NAME,
});
const PINS = withPins({ [NAME]: digest });

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

/** All of a platform can be had, each manifest and blob once. */
async function takes(node: StoryNode, image = IMAGE, platform = AMD!): Promise<void> {
  for (const path of [
    story.manifest(image, platform.manifest.digest),
    ...platform.layers.map(layer => story.blob(image, layer)),
  ])
    assert.ok((await story.get(node, path)).whole);
}

for (const [what, text, files, attached] of [
  ['pinned', PINNED, PINS, []],
  ['signed', SIGNED, KEYS, [signatureBy(PLATFORM, digest)]],
] as const) {
  void test(`an index that is ${what} lets in all that it lists, through it`, async () => {
    await story.holder('open', IMAGE, ALL, attached);
    const node = await story.reader(text, files);
    await story.get(node, story.manifest(IMAGE));
    for (const platform of IMAGE.images) await takes(node, IMAGE, platform);
    assert.deepEqual(
      new Set(node.audit.of('image.admitted').map(one => one.digest)),
      new Set([digest]),
      'the index alone was judged',
    );
    assert.deepEqual(recorded(node, 'image.refused'), []);
  });

  void test(`a holder tells all that an index lists that is ${what}, and nothing without it`, async () => {
    const node = await story.holder('strict', IMAGE, text, attached, files);
    assert.deepEqual([...node.told.holdings].sort(), [...IMAGE.contents.keys()].sort());
    const bare = await story.node('bare', { policy: text, files });
    for (const bytes of IMAGE.contents.values()) bare.store.put(bytes);
    bare.store.name(parseReference(`r.test/team/app@${CHILD}`), AMD!.manifest);
    await attach(bare, ...attached);
    await story.share();
    await story.hides(bare, IMAGE);
  });

  void test(`what an index lists that is ${what} stays out under another name`, async () => {
    await story.holder('open', IMAGE, ALL, attached);
    await story.holder('twin', TWIN, ALL);
    const node = await story.reader(text, files);
    await story.get(node, story.manifest(IMAGE));
    await takes(node);
    const code = what === 'pinned' ? 'PIN_MISMATCH' : 'SIGNATURE_MISSING';
    await story.refuses(node, TWIN, code, CHILD);
    for (const layer of AMD!.layers)
      await assert.rejects(story.get(node, story.blob(TWIN, layer)), is('CONTENT_ABSENT'));
  });
}

void test('a platform’s manifest asked for alone is found through the pinned index of its name', async () => {
  await story.holder('open', IMAGE, ALL);
  const node = await story.reader(PINNED, PINS);
  await takes(node);
  assert.deepEqual(
    node.audit.of('image.admitted').map(one => one.digest),
    [digest],
  );
});

void test('a manifest that no pinned index lists is refused, though it is of the same repository (PIN_MISMATCH)', async () => {
  const other = storyImage('r.test/team/app:2', { layers: [10] });
  await story.holder('open', IMAGE, ALL);
  await story.holder('other', other, ALL);
  const node = await story.reader(PINNED, PINS);
  await story.refuses(node, other, 'PIN_MISMATCH', other.target.digest);
  assert.ok(!node.asked.some(one => one.digest === other.target.digest));
});

void test('a platform’s manifest is signed and its index is not: the index is refused, the manifest is not (SIGNATURE_MISSING)', async () => {
  await story.holder('open', IMAGE, ALL, [signatureBy(PLATFORM, CHILD)]);
  const node = await story.reader(SIGNED);
  await story.refuses(node, IMAGE, 'SIGNATURE_MISSING');
  await story.refuses(node, IMAGE, 'SIGNATURE_MISSING', digest);
  await takes(node);
  await story.refuses(node, IMAGE, 'SIGNATURE_MISSING', ARM!.manifest.digest);
  for (const layer of ARM!.layers)
    await assert.rejects(story.get(node, story.blob(IMAGE, layer)), is('CONTENT_ABSENT'));
});

void test('an index is signed and its platform’s manifest is not: the manifest alone, without the index, is refused (SIGNATURE_MISSING)', async () => {
  await story.holder('open', IMAGE, ALL, [signatureBy(PLATFORM, digest)]);
  const node = await story.reader(SIGNED);
  await story.refuses(node, IMAGE, 'SIGNATURE_MISSING', CHILD);
  await story.get(node, story.manifest(IMAGE, digest));
  await takes(node);
});

void test('an index that lists a foreign manifest lets it in under its own name alone, and is itself refused (SIGNATURE_MISSING)', async () => {
  const evil = storyImage('r.test/team/evil:1', { layers: [10] });
  const { mediaType, size, digest: foreign } = evil.target;
  const bytes = bytesOfJson({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [{ mediaType, digest: foreign, size }],
  });
  const target: Descriptor = { mediaType: OCI_INDEX, digest: digestOf(bytes), size: bytes.length };
  const index = { ...IMAGE, target, contents: new Map<Digest, Uint8Array>([...evil.contents, [target.digest, bytes]]) };
  await story.holder('signed', IMAGE, ALL, [signatureBy(PLATFORM, digest)]);
  await story.holder('evil', index, ALL);
  const node = await story.reader(SIGNED);
  await story.get(node, story.manifest(IMAGE, digest));
  await story.refuses(node, index, 'SIGNATURE_MISSING', target.digest);
  await story.refuses(node, index, 'SIGNATURE_MISSING', foreign);
});

void test('what a pinned index in the store lists, and only others have, comes through it, and stays after a look at the store', async () => {
  await story.holder('open', IMAGE, ALL);
  const node = await story.reader(PINNED, PINS);
  node.store.put(IMAGE.contents.get(digest)!, OCI_INDEX);
  node.store.name(IMAGE.reference, IMAGE.target);
  await story.share();
  await story.get(node, story.manifest(IMAGE, CHILD));
  node.sharing.changed();
  await story.share();
  node.decree(PINNED.replace('serial: 1', 'serial: 2'), PINS);
  await story.share();
  for (const layer of AMD!.layers) assert.ok((await story.get(node, story.blob(IMAGE, layer))).whole);
  assert.deepEqual(recorded(node, 'image.refused'), []);
});

void test('a tag and a digest together are judged by the pin of the tag, also where the index that lists the digest is known (PIN_MISMATCH)', async () => {
  await story.holder('open', IMAGE, ALL);
  const node = await story.reader(PINNED, PINS);
  await story.get(node, story.manifest(IMAGE));
  const both = pullImage(node.rooms, { ...IMAGE.reference, digest: CHILD }, undefined, () => undefined);
  await assert.rejects(story.until(both), is('PIN_MISMATCH'));
});

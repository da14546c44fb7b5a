/** Artifacts that lie, beside an honest image: from a peer, and in this node's own store. None is kept, judged or endless. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Digest, digestOf, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/oci.ts';
import {
  Admission,
  ALL,
  bundleBy,
  countJudged,
  is,
  junk,
  NAME,
  PLATFORM,
  referrerOf,
  signatureBy,
  SIGNED,
  STRANGER,
} from '../mirror/admission.ts';
import { type StoryNode, storyImage } from '../mirror/story-node.ts';
import { type BuiltAttachment, buildAttachment } from '../support/memory-attachments.ts';
import { bytesOfJson } from '../support/sigstore-signing.ts';

const IMAGE = storyImage(NAME, { layers: [10] });
const { digest } = IMAGE.target;
const GOOD = signatureBy(PLATFORM, digest);
const JSON_OF = JSON.parse(GOOD.artifact.manifest.toString()) as Record<string, unknown>;

/** The good artifact with another manifest around its contents. */
function spoilt(manifest: Buffer): BuiltAttachment {
  return { artifact: { ...GOOD.artifact, manifest }, contents: GOOD.contents, digest: digestOf(manifest) };
}
const withFields = (fields: object): BuiltAttachment => spoilt(bytesOfJson({ ...JSON_OF, ...fields }));
const layer = (JSON_OF.layers as object[])[0]!;
const text = GOOD.artifact.manifest.toString();

/** All of it is there and has its digest. */
function large(): BuiltAttachment {
  const [one, two] = ['a', 'b'].map(letter => Buffer.alloc(600 << 10, letter)) as [Buffer, Buffer];
  const layers = [one, two].map(bytes => ({ ...layer, digest: digestOf(bytes), size: bytes.length }));
  const built = buildAttachment(digest, one, { layers });
  return { ...built, contents: new Map([...built.contents, [digestOf(two), two]]) };
}

const BAD: readonly (readonly [what: string, artifact: BuiltAttachment])[] = [
  ['that is an image and an index at once', withFields({ manifests: [] })],
  [
    'whose subject stands twice',
    spoilt(Buffer.from(text.replace('{', `{"subject":${JSON.stringify(JSON_OF.subject)},`))),
  ],
  ['whose key differs by its case alone', spoilt(Buffer.from(text.replace('{', '{"Subject":null,')))],
  ['nested without end', spoilt(Buffer.from(text.replace('{', `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)},`)))],
  ['with 513 layers', withFields({ layers: Array.from({ length: 513 }, () => layer) })],
  ['of two layers that have more than a MiB together', large()],
  ['whose layer says another size', withFields({ layers: [{ ...layer, size: 3 }] })],
  [
    'whose layer lies elsewhere alone',
    withFields({ layers: [{ ...layer, digest: digestOf(Buffer.from('x')), urls: ['http://evil.test/x'] }] }),
  ],
  ['whose annotations are no strings', withFields({ layers: [{ ...layer, annotations: { a: 1 } }] })],
  ['about no digest', withFields({ subject: { mediaType: OCI_MANIFEST, digest: 'sha256:../../etc', size: 1 } })],
  [
    'about another digest',
    withFields({ subject: { mediaType: OCI_MANIFEST, digest: digestOf(Buffer.from('x')), size: 1 } }),
  ],
  ['about nothing', withFields({ subject: undefined })],
  ['of schema 1', spoilt(Buffer.from('{"schemaVersion":1,"fsLayers":[]}'))],
  ['that is no JSON', spoilt(Buffer.from('not a manifest'))],
];

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

/** A peer that holds the image and offers these artifacts about it. */
const offering = (name: string, all: readonly BuiltAttachment[]) =>
  story.offering(name, {
    contents: new Map<Digest, Uint8Array>([
      ...IMAGE.contents,
      ...all.flatMap(({ artifact, contents, digest: own }) => [[own, artifact.manifest] as const, ...contents]),
    ]),
    offers: all.map(referrerOf),
  });

async function comesThrough(node: StoryNode): Promise<void> {
  assert.ok((await story.get(node, story.manifest(IMAGE, digest))).whole);
  assert.deepEqual(
    node.rooms.attachments.of(digest).map(({ manifest }) => manifest.digest),
    [GOOD.digest],
  );
}

for (const [what, artifact] of BAD) {
  void test(`an artifact ${what}, from a peer, is neither judged nor kept, and hides no good one (SIGNATURE_MISSING)`, async () => {
    await offering('liar', [artifact]);
    const node = await story.reader(SIGNED);
    const judged = countJudged(node);
    await story.refuses(node, IMAGE, 'SIGNATURE_MISSING', digest);
    assert.deepEqual([judged.times, node.rooms.attachments.of(digest)], [0, []]);
    await offering('honest', [GOOD]);
    await story.world.advance(10_000);
    await comesThrough(node);
  });

  void test(`an artifact ${what}, in the store, is left alone, and ends no look at it`, async () => {
    const node = await story.reader(SIGNED);
    node.keep(IMAGE);
    for (const bytes of artifact.contents.values()) node.store.put(bytes);
    const own = node.store.put(artifact.artifact.manifest, OCI_MANIFEST);
    const index = node.store.put(bytesOfJson({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [own] }), OCI_INDEX);
    const tag = digest.replace(':', '-');
    for (const [name, target] of [
      [tag, index],
      [`${tag}.sig`, own],
    ] as const)
      node.store.name({ ...IMAGE.reference, tag: name } as typeof IMAGE.reference, target);
    await story.share();
    await story.hides(node, IMAGE);
    assert.deepEqual(node.rooms.attachments.of(digest), []);
    assert.equal(node.audit.of('attachment.kept').length, 0);
  });
}

/** Bundles that are whole in form, each by a key of its own number. */
const forged = (number: number): BuiltAttachment =>
  buildAttachment(digest, bytesOfJson({ ...(JSON.parse(bundleBy(STRANGER, digest).toString()) as object), number }));

void test('a listing of 512 artifacts in the store is read once, and the good one behind all others counts (attachment.kept)', async () => {
  const node = await story.reader(SIGNED);
  node.keep(IMAGE);
  const shaped = Array.from({ length: 255 }, (_, number) => forged(number));
  const shapeless = Array.from({ length: 255 }, (_, number) => junk(digest, number));
  const manifests = [...shapeless, ...shaped, GOOD].map(({ artifact, contents }) => {
    for (const bytes of contents.values()) node.store.put(bytes);
    return node.store.put(artifact.manifest, OCI_MANIFEST);
  });
  // One that is not here.
  manifests.unshift({ mediaType: OCI_MANIFEST, digest: digestOf(Buffer.from('nowhere')), size: 7 });
  const index = node.store.put(bytesOfJson({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }), OCI_INDEX);
  node.store.name({ ...IMAGE.reference, tag: digest.replace(':', '-') } as typeof IMAGE.reference, index);
  const judged = countJudged(node);
  await story.share();
  assert.ok(node.told.holdings.includes(digest));
  assert.equal(judged.times, 256);
  node.sharing.changed();
  await story.share();
  assert.equal(judged.times, 256);
  assert.equal(node.audit.of('attachment.kept').length, 256);
});

void test('artifacts about each other in a circle end, and are no images', async () => {
  const node = await story.reader(ALL);
  node.keep(IMAGE);
  const first = buildAttachment(digest, 'one');
  const second = buildAttachment(first.digest, 'two');
  await story.share();
  for (const one of [first, second]) await node.rooms.attachments.keep(one.artifact, one.contents);
  await assert.rejects(story.get(node, `team/app/manifests/${second.digest}`), is('CONTENT_ABSENT'));
  assert.ok((await story.get(node, `team/app/manifests/${first.digest}`)).whole);
});

void test('what signs is withheld: a source that has the image and says that nothing is attached makes a refusal, never a yes (SIGNATURE_MISSING)', async () => {
  await offering('withholds', []);
  const node = await story.reader(SIGNED);
  await story.refuses(node, IMAGE, 'SIGNATURE_MISSING', digest);
  await story.refuses(node, IMAGE, 'SIGNATURE_MISSING', digest);
});

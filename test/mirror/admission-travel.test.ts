/** Signatures travel with what they are about, and hide each other nowhere. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type BuiltAttachment, buildAttachment } from '../support/memory-attachments.ts';
import { MirrorError } from '../../src/errors.ts';
import { rulingOn } from '../../src/mirror/mirror.ts';
import { storyImage } from './story-node.ts';
import {
  Admission,
  ALL,
  attach,
  countJudged,
  junk,
  KEYS,
  legacyBy,
  NAME,
  PLATFORM,
  policy,
  referrerOf,
  RELEASE,
  signatureBy,
  SIGNED,
  store,
  STRANGER,
} from './admission.ts';

const IMAGE = storyImage(NAME, { layers: [10] });
const { digest } = IMAGE.target;
const GOOD = signatureBy(PLATFORM, digest);

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

for (const [where, give] of [
  ['among the attachments of one node', (): readonly BuiltAttachment[] => [GOOD]],
  ['of the older form, among the attachments of one node', () => [legacyBy(PLATFORM, digest)]],
] as const)
  void test(`a signature that is only ${where} travels on: the next verifies by its own copy when that node is gone`, async () => {
    const first = await story.holder('first', IMAGE, SIGNED, give());
    const second = await story.reader(SIGNED, undefined, 'second');
    await story.pullAll(second, IMAGE);
    assert.deepEqual(
      second.rooms.attachments.of(digest).map(({ manifest }) => manifest.digest),
      first.rooms.attachments.of(digest).map(({ manifest }) => manifest.digest),
    );
    first.stop();
    const third = await story.reader(SIGNED, undefined, 'third');
    await story.pullAll(third, IMAGE);
    assert.ok(third.asked.every(({ from }) => from === 'second'));
    assert.ok(third.told.holdings.includes(digest));
  });

for (const [what, signature] of [
  ['the fallback tag of the referrers API', GOOD],
  ['cosign’s .sig tag', legacyBy(PLATFORM, digest)],
] as const)
  void test(`a signature that lies in the store under ${what} is found there, recorded, and told as no image (attachment.kept)`, async () => {
    const first = await story.reader(SIGNED, undefined, 'first');
    first.keep(IMAGE);
    store(first, IMAGE, signature);
    await story.share();
    assert.deepEqual(
      first.audit.of('attachment.kept').map(one => [one.subject, one.digest]),
      [[digest, signature.digest]],
    );
    assert.deepEqual([...first.told.holdings].sort(), [...IMAGE.contents.keys()].sort());
    assert.deepEqual(first.told.tags, [NAME]);
    const second = await story.reader(SIGNED, undefined, 'second');
    await story.pullAll(second, IMAGE);
    first.stop();
    const third = await story.reader(SIGNED, undefined, 'third');
    await story.pullAll(third, IMAGE);
  });

void test('a signature that comes into the store after its image lets it be told', async () => {
  const node = await story.holder('first', IMAGE, SIGNED);
  await story.hides(node, IMAGE);
  store(node, IMAGE, GOOD);
  await story.share();
  assert.ok(node.told.holdings.includes(digest));
});

void test('a node that is cut off from everything verifies by itself after a restart', async () => {
  const first = await story.holder('first', IMAGE, SIGNED, [GOOD]);
  const second = await story.reader(SIGNED, undefined, 'second');
  await story.pullAll(second, IMAGE);
  first.stop();
  second.stop();
  const again = await story.node('second', { policy: SIGNED, files: KEYS, again: second });
  const judged = countJudged(again);
  await story.share();
  assert.equal(judged.times, 1);
  assert.ok((await story.get(again, story.manifest(IMAGE, digest))).whole);
  assert.ok(again.told.holdings.includes(digest));
  assert.deepEqual(again.asked, []);
});

const JUNK = Array.from({ length: 1_000 }, (_, number) => junk(digest, number));
/** The image, and what is attached to it, as a peer gives them. */
const contentsOf = (attached: readonly BuiltAttachment[]): Map<typeof digest, Uint8Array> =>
  new Map([
    ...IMAGE.contents,
    ...attached.flatMap(({ artifact, contents, digest: own }) => [[own, artifact.manifest] as const, ...contents]),
  ]);
/** A peer that holds the image and offers these artifacts about it, the first ones first. */
const offering = (name: string, attached: readonly BuiltAttachment[]) =>
  story.offering(name, {
    contents: contentsOf(attached),
    offers: attached.map(referrerOf),
  });

void test('a thousand junk bundles of the right type, listed first by one, hide nothing beside one honest source', async () => {
  const liar = await offering('liar', JUNK);
  const node = await story.reader(SIGNED);
  await story.refuses(node, IMAGE, 'SIGNATURE_UNTRUSTED', digest);
  await story.holder('honest', IMAGE, SIGNED, [GOOD]);
  const judged = countJudged(node);
  await story.world.advance(10_000);
  assert.ok((await story.get(node, story.manifest(IMAGE, digest))).whole);
  assert.equal(judged.times, 1, 'what was judged once costs nothing');
  const bundles = liar.contents.filter(one => JUNK.some(each => each.digest === one));
  assert.equal(bundles.length, 32, 'of one source, 32 are taken');
});

void test('a thousand junk bundles, other ones from each of thirty sources, hide nothing beside one honest source', async () => {
  for (let source = 0; source < 30; source++)
    await offering(`liar${source}`, JUNK.slice(source * 33, (source + 1) * 33));
  await story.holder('honest', IMAGE, SIGNED, [GOOD]);
  const node = await story.reader(SIGNED);
  const judged = countJudged(node);
  assert.ok((await story.get(node, story.manifest(IMAGE, digest))).whole);
  assert.ok(judged.times <= 31, `${judged.times} were judged: the first of each source`);
});

void test('no more than 256 artifacts are taken in one search, and those that were judged are not taken in the next', async () => {
  const asked = [];
  for (let source = 0; source < 30; source++)
    asked.push(await offering(`liar${source}`, JUNK.slice(source * 33, (source + 1) * 33)));
  const node = await story.reader(SIGNED);
  const judged = countJudged(node);
  await story.refuses(node, IMAGE, 'SIGNATURE_UNTRUSTED', digest);
  assert.equal(judged.times, 256);
  await story.world.advance(10_000);
  await story.refuses(node, IMAGE, 'SIGNATURE_UNTRUSTED', digest);
  assert.equal(judged.times, 512);
  const all = asked.flatMap(({ contents }) => contents).filter(one => JUNK.some(each => each.digest === one));
  assert.equal(new Set(all).size, all.length, 'nothing was fetched twice');
});

void test('what is asked at once is searched and judged once', async () => {
  const [honest] = [await offering('honest', [GOOD])];
  const node = await story.reader(SIGNED);
  const judged = countJudged(node);
  await Promise.all([1, 2, 3, 4].map(() => story.get(node, story.manifest(IMAGE, digest))));
  assert.deepEqual([judged.times, honest.lists.length], [1, 1]);
});

void test('a thousand junk bundles that lie on a node before the good one hide it from no other node (else SIGNATURE_UNTRUSTED)', async () => {
  const first = await story.holder('first', IMAGE, SIGNED, [...JUNK, GOOD]);
  assert.ok(first.told.holdings.includes(digest));
  const node = await story.reader(SIGNED);
  assert.ok((await story.get(node, story.manifest(IMAGE, digest))).whole);
});

for (const [how, lie] of [
  ['does not bring it', () => Promise.reject(new MirrorError('CONTENT_ABSENT', 'not here'))],
  [
    'brings other bytes',
    (_: unknown, into: Uint8Array) => {
      into.fill(32);
      return Promise.resolve(into.length);
    },
  ],
  ['never ends it', () => new Promise<number>(() => undefined)],
  ['cannot', () => Promise.reject(new Error('no'))],
] as const)
  void test(`a source that lists the good signature and ${how} does not hide it at the next (else SIGNATURE_MISSING)`, async () => {
    for (const name of ['liar1', 'liar2'])
      await story.offering(name, { contents: IMAGE.contents, offers: [referrerOf(GOOD)], read: lie });
    await story.holder('honest', IMAGE, SIGNED, [GOOD]);
    const node = await story.reader(SIGNED);
    const { whole } = await story.get(node, story.manifest(IMAGE, digest));
    assert.ok(whole);
    assert.deepEqual(
      node.rooms.attachments.of(digest).map(({ manifest }) => manifest.digest),
      [GOOD.digest],
    );
  });

void test('a source that lists the good signature as of another kind does not hide it at the next', async () => {
  for (const bond of ['sig', 'att'] as const)
    await story.offering(`liar${bond}`, {
      contents: contentsOf([GOOD]),
      offers: [{ ...referrerOf(GOOD), bond }],
    });
  const node = await story.reader(SIGNED);
  await story.refuses(node, IMAGE, 'SIGNATURE_UNTRUSTED', digest);
  await story.holder('honest', IMAGE, SIGNED, [GOOD]);
  await story.world.advance(10_000);
  assert.ok((await story.get(node, story.manifest(IMAGE, digest))).whole);
});

void test('a source that never answers what it has is waited for two seconds, and hides nothing', async () => {
  await story.offering('silent', {
    contents: IMAGE.contents,
    offers: [],
    list: () => new Promise(() => undefined),
  });
  await story.holder('honest', IMAGE, SIGNED, [GOOD]);
  const node = await story.reader(SIGNED);
  const before = story.world.monotonic();
  assert.ok((await story.get(node, story.manifest(IMAGE, digest))).whole);
  assert.ok(story.world.monotonic() - before <= 2_200);
});

void test('sources that stall with each artifact end the search in time: the answer is a refusal, not silence', async () => {
  for (let source = 0; source < 8; source++)
    await story.offering(`slow${source}`, {
      contents: IMAGE.contents,
      offers: JUNK.slice(source * 20, source * 20 + 20).map(referrerOf),
      read: () => new Promise(() => undefined),
    });
  const node = await story.reader(SIGNED);
  const before = story.world.monotonic();
  await story.refuses(node, IMAGE, 'SIGNATURE_MISSING', digest);
  assert.ok(story.world.monotonic() - before <= 8_200);
});

const LARGE = buildAttachment(digest, Buffer.alloc((1 << 20) + 1));
for (const [what, offered] of [
  ['about another digest', buildAttachment(storyImage('r.test/team/other:1').target.digest, 'x')],
  ['larger than a MiB', LARGE],
  ['that is an index', { ...GOOD, artifact: { ...GOOD.artifact, manifest: Buffer.from('{"manifests":[]}') } }],
] as const)
  void test(`an artifact ${what} is neither judged nor kept, and hides nothing`, async () => {
    await offering('liar', [offered]);
    const node = await story.reader(SIGNED);
    const judged = countJudged(node);
    await story.refuses(node, IMAGE, 'SIGNATURE_MISSING', digest);
    assert.equal(judged.times, 0);
    assert.deepEqual(node.rooms.attachments.of(digest), []);
  });

void test('junk that other nodes offer is kept by nobody; what holds is (image.admitted)', async () => {
  await offering('liar', [...JUNK.slice(0, 10), signatureBy(STRANGER, digest), GOOD]);
  const node = await story.reader(SIGNED);
  await story.get(node, story.manifest(IMAGE, digest));
  assert.equal(node.audit.of('image.admitted').length, 1);
  assert.deepEqual(
    node.rooms.attachments.of(digest).map(({ manifest }) => manifest.digest),
    [GOOD.digest],
  );
});

void test('two authorities that must both have signed are found at two nodes, and both are kept', async () => {
  const both = policy('share: cluster, tags: {min: 1, keep: 7d}, signatures: {allOf: [platform, release]}');
  await story.holder('a', IMAGE, ALL, [GOOD]);
  const node = await story.reader(both);
  await story.refuses(node, IMAGE, 'SIGNATURE_UNTRUSTED', digest);
  await story.holder('b', IMAGE, ALL, [signatureBy(RELEASE, digest)]);
  await story.world.advance(10_000);
  assert.ok((await story.get(node, story.manifest(IMAGE, digest))).whole);
  assert.equal(node.rooms.attachments.of(digest).length, 2);
});

void test('a signature that holds and cannot be kept counts, and counts again when the verdict is made anew', async () => {
  await story.holder('honest', IMAGE, ALL, [GOOD]);
  const node = await story.reader(SIGNED);
  Object.assign(node.rooms.attachments, { keep: () => Promise.reject(new Error('full')) });
  assert.ok((await story.get(node, story.manifest(IMAGE, digest))).whole);
  const judged = countJudged(node);
  Object.assign(node.rooms.verdicts, { of: () => undefined });
  assert.equal((await rulingOn(node.rooms, { ...IMAGE.reference, digest })).allowed, true);
  assert.equal(judged.times, 0);
});

void test('an attachment that rotted on this node is had from another', async () => {
  const node = await story.reader(SIGNED);
  await attach(node, GOOD);
  (node.rooms.attachments as unknown as { rot(of: typeof digest): void }).rot(GOOD.digest);
  await story.holder('honest', IMAGE, SIGNED, [GOOD]);
  assert.ok((await story.get(node, story.manifest(IMAGE, digest))).whole);
  assert.ok(node.log.some(line => line.includes(GOOD.digest)));
});

void test('a reload judges an artifact again where authorities changed, and not where only rules did', async () => {
  const node = await story.holder('node', IMAGE, SIGNED, [GOOD]);
  const judged = countJudged(node);
  node.decree(SIGNED.replace('min: 1', 'min: 2'));
  await story.share();
  assert.equal(judged.times, 0);
  assert.ok(node.told.holdings.includes(digest));
});

void test('a reload that gives an authority another key counts nothing that was judged by the one before (SIGNATURE_UNTRUSTED)', async () => {
  const node = await story.holder('node', IMAGE, SIGNED, [GOOD]);
  node.decree(
    SIGNED,
    new Map([...KEYS, ['platform.pub', KEYS.get('release.pub')!], ['release.pub', KEYS.get('platform.pub')!]]),
  );
  await story.share();
  assert.deepEqual(node.told.holdings, []);
  await story.refuses(node, IMAGE, 'SIGNATURE_UNTRUSTED', digest);
});

/** The five gates, each alone: share, serve, resolve, pull, admit. The neighbour's policy allows everything. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { Code } from '../../src/errors.ts';
import { MIB, type StoryNode, storyImage } from './story-node.ts';
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
  RELEASE,
  recorded,
  signatureBy,
  SIGNED,
  STRANGER,
  withPins,
} from './admission.ts';
import { type BuiltAttachment, buildAttachment } from '../support/memory-attachments.ts';

const IMAGE = storyImage(NAME, { layers: [2 * MIB] });
const OTHER = storyImage(NAME, { layers: [10], seed: 'other' });
const { digest } = IMAGE.target;

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

/** What is wrong with an image: what is attached to it, what policy asks for, and how it is refused. */
interface Wrong {
  readonly what: string;
  readonly text: string;
  readonly attached: readonly BuiltAttachment[];
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly code: Code;
  /** By its digest alone, where that differs. */
  readonly byDigest?: Code;
}

const WRONG: readonly Wrong[] = [
  { what: 'unsigned', text: SIGNED, attached: [], files: KEYS, code: 'SIGNATURE_MISSING' },
  {
    what: 'signed by another key',
    text: SIGNED,
    attached: [signatureBy(STRANGER, digest), legacyBy(STRANGER, digest)],
    files: KEYS,
    code: 'SIGNATURE_UNTRUSTED',
  },
  {
    what: 'with a signature of another digest',
    text: SIGNED,
    attached: [signatureBy(PLATFORM, digest, OTHER.target.digest), legacyBy(PLATFORM, digest, OTHER.target.digest)],
    files: KEYS,
    code: 'SIGNATURE_UNTRUSTED',
  },
];

const refusals = (node: StoryNode): unknown[] =>
  recorded(node, 'image.refused').map(({ code, digest: of, rule }) => [code, of, rule]);

for (const { what, text, attached, files, code } of WRONG) {
  void test(`share, serve: an image ${what} is neither told nor given, not even by digest, and that is recorded (${code})`, async () => {
    const node = await story.holder('strict', IMAGE, text, attached, files);
    await story.hides(node, IMAGE);
    assert.deepEqual(refusals(node), [[code, digest, 'team']]);
    const reader = await story.reader(ALL);
    await story.refuses(reader, IMAGE, 'CONTENT_ABSENT', digest);
    assert.deepEqual(reader.asked, [], 'nobody says that it is there');
  });

  void test(`admit: an image ${what} is refused by tag and by digest, whoever has it (${code})`, async () => {
    await story.holder('open', IMAGE, ALL, attached);
    const node = await story.reader(text, files);
    await story.refuses(node, IMAGE, code);
    await story.refuses(node, IMAGE, code, digest);
    for (const blob of [IMAGE.config, ...IMAGE.layers])
      await assert.rejects(story.get(node, story.blob(IMAGE, blob)), is('CONTENT_ABSENT'));
    assert.ok(refusals(node).length > 0);
    assert.ok(refusals(node).every(one => String(one) === String([code, digest, 'team'])));
    assert.deepEqual(node.audit.of('pull.started'), []);
    assert.ok(!node.asked.some(one => IMAGE.layers.some(layer => layer.digest === one.digest)));
  });
}

void test('share, serve, admit: the same image, signed in either form, is told, given and pulled', async () => {
  for (const [name, signature] of [
    ['bundle', signatureBy(PLATFORM, digest)],
    ['legacy', legacyBy(PLATFORM, digest)],
  ] as const) {
    const one = new Admission();
    const node = await one.holder('strict', IMAGE, SIGNED, [signature]);
    assert.deepEqual([...node.told.holdings].sort(), [...IMAGE.contents.keys()].sort(), name);
    const reader = await one.reader(SIGNED);
    await one.pullAll(reader, IMAGE);
    assert.deepEqual(
      reader.audit.of('image.admitted').map(({ rule }) => rule),
      ['team'],
    );
    await one.end();
  }
});

void test('formats: a signature in a form that the rule does not list counts for nothing (SIGNATURE_UNTRUSTED)', async () => {
  const text = policy('share: cluster, signatures: {anyOf: [platform], formats: [bundle]}');
  const node = await story.holder('strict', IMAGE, text, [legacyBy(PLATFORM, digest)]);
  await story.hides(node, IMAGE);
  assert.deepEqual(refusals(node), [['SIGNATURE_UNTRUSTED', digest, 'team']]);
});

/** A lock file that pins the tag to another digest than the image's. */
const MOVED = withPins({ [NAME]: OTHER.target.digest });

void test('share, serve: an image whose tag moved from its pin is neither told nor given (PIN_MISMATCH)', async () => {
  const node = await story.holder('strict', IMAGE, PINNED, [], MOVED);
  await story.hides(node, IMAGE);
  assert.deepEqual(refusals(node), [['PIN_MISMATCH', digest, 'team']]);
});

void test('share: a tag that moved to the digest of another pin is not stated, nor offered under it (PIN_MISMATCH)', async () => {
  const files = withPins({ [NAME]: OTHER.target.digest, 'r.test/team/app:2': digest });
  const node = await story.holder('strict', IMAGE, PINNED, [], files);
  await story.hides(node, IMAGE);
  assert.deepEqual(node.audit.of('share.offered'), []);
  assert.deepEqual(refusals(node), [['PIN_MISMATCH', digest, 'team']]);
});

void test('admit: what a tag moved to is refused by digest, and the tag is what its pin says (PIN_MISMATCH)', async () => {
  await story.holder('open', IMAGE, ALL);
  await story.holder('old', OTHER, ALL);
  const node = await story.reader(PINNED, MOVED);
  await story.refuses(node, IMAGE, 'PIN_MISMATCH', digest);
  assert.ok(!node.asked.some(one => one.digest === digest), 'nobody was asked for it');
  assert.deepEqual(refusals(node), [['PIN_MISMATCH', digest, 'team']]);
  assert.equal((await story.get(node, story.manifest(IMAGE))).answer.descriptor.digest, OTHER.target.digest);
});

void test('resolve: a tag without a pin is refused before anybody is asked, whatever all others state (PIN_MISSING)', async () => {
  for (const name of ['a', 'b', 'c']) await story.holder(name, IMAGE, ALL);
  const node = await story.reader(PINNED, MOVED);
  const two = storyImage('r.test/team/app:2', { layers: [2 * MIB], seed: NAME });
  await story.refuses(node, two, 'PIN_MISSING');
  assert.deepEqual(node.asked, []);
  assert.deepEqual(node.audit.of('tag.resolved'), []);
});

void test('resolve: a tag that statements decide is judged before it is an answer (SIGNATURE_MISSING)', async () => {
  for (const name of ['a', 'b', 'c']) await story.holder(name, IMAGE, ALL);
  const node = await story.reader(SIGNED);
  await story.refuses(node, IMAGE, 'SIGNATURE_MISSING');
  assert.deepEqual(node.audit.of('tag.resolved'), []);
  assert.deepEqual([...node.rooms.catalogue.roots()], []);
});

const DENIED = policy('action: deny, share: cluster, tags: {min: 1, keep: 7d}');

void test('pull: a denied name is refused by tag, digest and blob before any look-up (DENIED)', async () => {
  const open = await story.holder('open', IMAGE, ALL, [signatureBy(PLATFORM, digest)]);
  let looked = 0;
  const node = await story.reader(DENIED);
  Object.assign(node.rooms.peers, {
    holders: (of: typeof digest) => {
      looked += 1;
      return open.rooms.peers.holders(of);
    },
  });
  node.keep(IMAGE);
  await story.refuses(node, IMAGE, 'DENIED');
  await story.refuses(node, IMAGE, 'DENIED', digest);
  for (const path of [story.blob(IMAGE, IMAGE.layers[0]!), `team/app/referrers/${digest}`])
    await assert.rejects(story.get(node, path), is('DENIED'));
  assert.deepEqual([looked, node.asked], [0, []]);
  assert.deepEqual(
    node.audit.of('pull.refused').map(({ code }) => code),
    ['DENIED', 'DENIED', 'DENIED', 'DENIED'],
  );
});

void test('share, serve: a denied name is neither told nor given, though it is here (DENIED)', async () => {
  const node = await story.holder('strict', IMAGE, DENIED, [signatureBy(PLATFORM, digest)]);
  await story.hides(node, IMAGE);
  assert.deepEqual(refusals(node), [['DENIED', digest, 'team']]);
});

void test('share: an image of a registry that policy does not list is not told, whatever its rules say (NOT_SHARED)', async () => {
  const foreign = storyImage('x.test/team/app:1', { layers: [10] });
  const text = ALL.replace('match: r.test/**', 'match: x.test/**');
  const node = await story.holder('strict', foreign, text);
  await story.hides(node, foreign);
});

void test('share: what is allowed but shared with nobody is used here and told to nobody', async () => {
  const node = await story.holder('strict', IMAGE, policy('signatures: {anyOf: [platform]}'), [
    signatureBy(PLATFORM, digest),
  ]);
  await story.hides(node, IMAGE);
  assert.ok((await story.get(node, story.blob(IMAGE, IMAGE.layers[0]!))).whole);
});

void test('admit: an image in the store of this node that shows nothing is not even answered from there (SIGNATURE_MISSING)', async () => {
  const node = await story.holder('strict', IMAGE, SIGNED);
  await story.refuses(node, IMAGE, 'SIGNATURE_MISSING', digest);
  for (const blob of [IMAGE.config, ...IMAGE.layers])
    await assert.rejects(story.get(node, story.blob(IMAGE, blob)), is('CONTENT_ABSENT'));
});

void test('admit: what was refused is admitted as soon as a signature has come', async () => {
  const holder = await story.holder('open', IMAGE, ALL);
  const node = await story.reader(SIGNED);
  await story.refuses(node, IMAGE, 'SIGNATURE_MISSING', digest);
  await attach(holder, signatureBy(PLATFORM, digest));
  await story.refuses(node, IMAGE, 'SIGNATURE_MISSING', digest);
  await story.world.advance(10_000);
  assert.ok((await story.get(node, story.manifest(IMAGE, digest))).whole);
  assert.deepEqual(
    node.audit.events.filter(({ event }) => event.startsWith('image.')).map(({ event }) => event),
    ['image.refused', 'image.admitted'],
  );
});

/** What was built at level three or higher. */
const ATTESTED = policy(
  'share: cluster, attestations: [{predicateType: "https://r.test/built", anyOf: [release], where: {/level: {min: 3}}}]',
);
const attested = (level: number, by = RELEASE): BuiltAttachment =>
  buildAttachment(digest, bundleBy(by, digest, 'https://r.test/built', { level }));

for (const [what, attached, code] of [
  ['without an attestation', [signatureBy(RELEASE, digest)], 'ATTESTATION_MISSING'],
  ['whose attestation says too little', [attested(2)], 'ATTESTATION_UNTRUSTED'],
  ['whose attestation is by another key', [attested(3, PLATFORM)], 'ATTESTATION_UNTRUSTED'],
] as const)
  void test(`admit, share: an image ${what} is refused at the door, and not told (${code})`, async () => {
    await story.holder('open', IMAGE, ALL, attached);
    const node = await story.reader(ATTESTED);
    await story.refuses(node, IMAGE, code, digest);
    const own = await story.holder('strict', IMAGE, ATTESTED, attached);
    await story.hides(own, IMAGE);
  });

void test('admit, share: an image whose attestation says enough is admitted and told', async () => {
  await story.holder('open', IMAGE, ALL, [attested(1), attested(3)]);
  const node = await story.reader(ATTESTED);
  assert.ok((await story.get(node, story.manifest(IMAGE, digest))).whole);
  const own = await story.holder('strict', IMAGE, ATTESTED, [attested(3)]);
  assert.ok(own.told.holdings.includes(digest));
});

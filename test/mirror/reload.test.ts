/** Another policy comes into force: what stays allowed is not touched, what does not is cut, forgotten and withdrawn. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { ownerOf } from '../../src/mirror/catalogue.ts';
import { MIB, type Got, type StoryNode, storyImage, take } from './story-node.ts';
import { Admission, ALL, is, KEYS, NAME, PLATFORM, policy, recorded, signatureBy, SIGNED } from './admission.ts';

const IMAGE = storyImage(NAME, { layers: [6 * MIB] });
const { digest } = IMAGE.target;
const [LAYER] = IMAGE.layers;
const BYTES = Buffer.from(IMAGE.contents.get(LAYER!.digest)!);
const DENIED = policy('action: deny, share: cluster, tags: {min: 1, keep: 7d}');
const NEVER = policy('tags: {min: 1, keep: 7d}');

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

/** Stops what `name` gives of large contents at `position`, until `go` is called. */
function gate(name: string, position: number): () => void {
  const open = Promise.withResolvers<void>();
  story.hub.tamper(name, async (bytes, at) => {
    if (at >= position && bytes.length === MIB) await open.promise;
    return bytes;
  });
  return () => open.resolve();
}

/** Two nodes that hold the image, with what `attached` says, and one that has its manifest and begins with its layer. */
async function underWay(text: string): Promise<{ node: StoryNode; go: () => void; got: Promise<Got> }> {
  const gates: (() => void)[] = [];
  for (const name of ['a', 'b']) {
    await story.holder(name, IMAGE, ALL, [signatureBy(PLATFORM, digest)]);
    gates.push(gate(name, 4 * MIB));
  }
  const node = await story.reader(text);
  await story.get(node, story.manifest(IMAGE));
  const answer = await story.until(story.ask(node, story.blob(IMAGE, LAYER!)));
  const got = take(answer);
  await story.world.advance(200);
  return { node, go: () => gates.forEach(open => open()), got };
}

for (const [what, before, after] of [
  ['it stays allowed as it was', ALL, ALL.replace('serial: 1', 'serial: 2')],
  ['it must now be signed, and is', ALL, SIGNED],
  ['nothing is shared any more by the one who takes', ALL, NEVER],
] as const)
  void test(`a transfer goes on to its end where ${what}`, async () => {
    const { node, go, got } = await underWay(before);
    node.decree(after, KEYS);
    await story.share();
    go();
    const { bytes, whole } = await story.until(got);
    assert.ok(whole);
    assert.ok(bytes.equals(BYTES));
    assert.deepEqual(
      node.audit.of('pull.ended').map(({ outcome }) => outcome),
      ['whole', 'whole'],
    );
  });

void test('a transfer whose name is denied meanwhile is cut: less than was promised, and recorded as cut (DENIED)', async () => {
  const { node, go, got } = await underWay(ALL);
  node.decree(DENIED);
  await story.share();
  go();
  const { bytes, whole } = await story.until(got);
  assert.ok(!whole && bytes.length < BYTES.length, `${bytes.length} bytes`);
  const ended = node.audit.of('pull.ended').at(-1)!;
  assert.deepEqual([ended.digest, ended.outcome, ended.bytes], [LAYER!.digest, 'cut', bytes.length]);
  await assert.rejects(story.get(node, story.blob(IMAGE, LAYER!)), is('DENIED'));
});

void test('a transfer of what must now be signed, and is not, is cut', async () => {
  const { node, go, got } = await underWay(ALL);
  node.decree(SIGNED.replace('anyOf: [platform]', 'anyOf: [release]'));
  await story.share();
  go();
  assert.ok(!(await story.until(got)).whole);
  assert.equal(node.audit.of('pull.ended').at(-1)!.outcome, 'cut');
  assert.equal(recorded(node, 'image.refused').at(-1)!.code, 'SIGNATURE_UNTRUSTED');
});

void test('a transfer out of this node’s own store is cut by a reload, too', async () => {
  const node = await story.holder('own', IMAGE, ALL);
  const answer = await story.until(story.ask(node, story.blob(IMAGE, LAYER!)));
  const body = answer.body!;
  assert.ok((await body.upTo(0)) !== undefined);
  node.decree(DENIED);
  await story.share();
  assert.equal(await body.upTo(MIB), undefined);
  await body.close(MIB);
  assert.equal(node.audit.of('pull.ended').at(-1)!.outcome, 'cut');
});

void test('what a giver no longer shares ends on the lane, whoever reads it (CONTENT_ABSENT)', async () => {
  const giver = await story.holder('giver', IMAGE, ALL);
  const peer = story.hub.join('peer').node;
  const [stays, ends] = [await giver.giver.give(peer, LAYER!.digest, 0, 2 * MIB), story.hub.join('peer2').node];
  const gift = await giver.giver.give(ends, LAYER!.digest, 0, 2 * MIB);
  const into = new Uint8Array(MIB);
  assert.equal(await gift.read(into, 0), MIB);
  giver.decree(ALL.replace('serial: 1', 'serial: 2'));
  await story.share();
  assert.equal(await gift.read(into, MIB), MIB, 'still shared: not touched');
  giver.decree(NEVER);
  await story.share();
  for (const one of [gift, stays]) await assert.rejects(async () => one.read(into, 0), is('CONTENT_ABSENT'));
  await Promise.all([gift.done(MIB), stays.done(0)]);
});

void test('a reload while a giver opens what is asked for is not missed', async () => {
  const giver = await story.holder('giver', IMAGE, ALL);
  const peer = story.hub.join('peer').node;
  const record = giver.audit.record.bind(giver.audit);
  const held = Promise.withResolvers<void>();
  Object.assign(giver.audit, {
    record: async (event: Parameters<typeof record>[0]) => {
      if (event.event === 'serve.started') await held.promise;
      await record(event);
    },
  });
  const giving = giver.giver.give(peer, LAYER!.digest, 0, MIB);
  giver.decree(NEVER);
  await story.share();
  held.resolve();
  const gift = await giving;
  await assert.rejects(async () => gift.read(new Uint8Array(1), 0), is('CONTENT_ABSENT'));
  await gift.done(0);
});

void test('holdings and tags of what is no longer shared are withdrawn, and recorded (share.withdrawn)', async () => {
  const node = await story.holder('holder', IMAGE, ALL);
  assert.deepEqual(node.told.tags, [NAME]);
  node.decree(SIGNED);
  await story.share();
  await story.hides(node, IMAGE);
  assert.deepEqual(
    node.audit.of('share.withdrawn').map(one => [one.reference, one.digest]),
    [[NAME, digest]],
  );
});

for (const [what, attached, after, told] of [
  ['is unsigned where it must be signed', [], SIGNED, []],
  ['is signed as it must be', [signatureBy(PLATFORM, digest)], SIGNED, [NAME]],
  ['is of a registry that is mirrored no more', [], ALL.replace('registries: [r.test]', 'registries: [s.test]'), []],
] as const)
  void test(`an image that left the store ${what}: after a reload, and a restart, its tag is ${told.length ? '' : 'not '}told (tag.stated)`, async () => {
    const node = await story.holder('holder', IMAGE, ALL, attached);
    node.store.unname(IMAGE.reference);
    await story.share();
    assert.deepEqual(node.told.tags, [NAME]);
    node.decree(after, KEYS);
    await story.share();
    assert.deepEqual(node.told.tags, told);
    node.stop();
    const again = await story.node('holder', { policy: after, files: KEYS, again: node });
    await story.share();
    assert.deepEqual(again.told.tags, told);
  });

for (const [what, after] of [
  ['one that limits it to a zone', policy('share: {zones: [a]}, tags: {min: 1, keep: 7d}')],
  ['one that shares it with nobody', NEVER],
  ['one that denies it', DENIED],
] as const)
  void test(`the tag of a name under ${what} is no longer stated, though it was (tag.stated)`, async () => {
    const node = await story.holder('holder', IMAGE, ALL);
    assert.deepEqual(node.told.tags, [NAME]);
    assert.equal(node.audit.of('tag.stated').length, 1);
    node.decree(after);
    await story.share();
    assert.deepEqual(node.told.tags, []);
  });

void test('what was learnt through the mirror and is no longer allowed is forgotten, with all that it lists; the rest stays', async () => {
  const other = storyImage('r.test/free/app:1', { layers: [10] });
  await story.holder('a', IMAGE, ALL, [signatureBy(PLATFORM, digest)]);
  await story.holder('b', other, ALL);
  const node = await story.reader(ALL);
  for (const image of [IMAGE, other]) await story.get(node, story.manifest(image, image.target.digest));
  const [team, free] = [ownerOf(IMAGE.reference), ownerOf(other.reference)];
  node.decree(ALL.replace('rules:\n', 'rules:\n  - { name: free, match: r.test/free/**, action: deny }\n'));
  await story.share();
  assert.deepEqual(node.rooms.catalogue.under(free), []);
  assert.ok(node.rooms.catalogue.describe(team, LAYER!.digest));
  await assert.rejects(story.get(node, story.blob(other, other.layers[0]!)), is('DENIED'));
  node.decree(SIGNED);
  await story.share();
  assert.ok(node.rooms.catalogue.describe(team, LAYER!.digest), 'it is signed');
  node.decree(SIGNED.replace('anyOf: [platform]', 'anyOf: [release]'));
  await story.share();
  assert.deepEqual(node.rooms.catalogue.under(team), []);
  await assert.rejects(story.get(node, story.blob(IMAGE, LAYER!)), is('CONTENT_ABSENT'));
});

void test('a registry that is mirrored no more is forgotten, and its images are withdrawn (NOT_MIRRORED)', async () => {
  const node = await story.holder('holder', IMAGE, ALL);
  node.decree(
    ALL.replace('registries: [r.test]', 'registries: [x.test]').replace('match: r.test/**', 'match: x.test/**'),
  );
  await story.share();
  await assert.rejects(story.get(node, story.manifest(IMAGE)), is('NOT_MIRRORED'));
  assert.deepEqual(node.told.holdings, []);
});

void test('a manifest that is on its way while its name is denied is not remembered, nor answered (DENIED)', async () => {
  await story.holder('a', IMAGE, ALL);
  const open = Promise.withResolvers<void>();
  story.hub.tamper('a', async bytes => {
    await open.promise;
    return bytes;
  });
  const node = await story.reader(ALL);
  const asked = story.ask(node, story.manifest(IMAGE, digest));
  void asked.catch(() => undefined);
  await story.world.advance(100);
  node.decree(SIGNED);
  await story.share();
  open.resolve();
  await assert.rejects(story.until(asked), is('SIGNATURE_MISSING'));
  assert.deepEqual(node.rooms.catalogue.roots(), []);
});

void test('verdicts of the policy before count for nothing, also when it comes back (SIGNATURE_MISSING)', async () => {
  const node = await story.holder('holder', IMAGE, ALL);
  for (const [text, told] of [
    [SIGNED, false],
    [ALL, true],
    [SIGNED, false],
  ] as const) {
    node.decree(text);
    await story.share();
    assert.equal(node.told.holdings.includes(digest), told);
    if (!told) assert.equal(recorded(node, 'image.refused').at(-1)!.code, 'SIGNATURE_MISSING');
  }
});

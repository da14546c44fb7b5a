/** What a client gets, and when: whole, a part, not here; how long it waits; what is recorded first. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import { ANSWER_MS, CUT_MS } from '../../src/mirror/body.ts';
import { FETCHES_MAX } from '../../src/mirror/fetches.ts';
import { pullImage, why } from '../../src/mirror/mirror.ts';
import { digestOf } from '../../src/oci/oci.ts';
import { MIB, OPEN_POLICY, Story, type StoryImage, type StoryNode, storyImage, take } from './story-node.ts';

const NAME = 'r.test/team/app:1';
let story: Story;
beforeEach(() => {
  story = new Story();
});
afterEach(() => story.end());

const is = (code: Code) => (error: unknown) => hasCode(error, code);

/** Two nodes with `image`, and one that has its manifest only. */
async function cast(image: StoryImage, more: { spoolBytes?: number } = {}): Promise<StoryNode> {
  for (const name of ['a', 'b']) (await story.node(name)).keep(image);
  await story.share();
  const node = await story.node('client', more);
  await story.get(node, story.manifest(image));
  node.asked.length = 0;
  return node;
}

/** Nobody gives a full chunk from `position` on before `go`. */
function gate(position = 0): () => void {
  const open = Promise.withResolvers<void>();
  for (const name of ['a', 'b'])
    story.hub.tamper(name, async (bytes, at) => {
      if (at >= position && bytes.length === MIB) await open.promise;
      return bytes;
    });
  return () => open.resolve();
}

void test('an image comes whole, by tag and by digest, through the mirror of a node that had nothing of it', async () => {
  const image = storyImage(NAME, { layers: [3 * MIB, 10, 0], platforms: ['linux/amd64', 'linux/arm64'] });
  for (const name of ['a', 'b']) (await story.node(name)).keep(image);
  await story.share();
  const node = await story.node('client');
  assert.equal((await story.get(node, story.manifest(image))).answer.descriptor.digest, image.target.digest);
  for (const { manifest, layers } of image.images) {
    const { bytes } = await story.get(node, story.manifest(image, manifest.digest));
    assert.equal(digestOf(bytes), manifest.digest);
    for (const layer of layers) {
      const got = await story.get(node, story.blob(image, layer));
      assert.deepEqual([got.whole, digestOf(got.bytes)], [true, layer.digest]);
    }
  }
  const ended = node.audit.of('pull.ended');
  assert.equal(ended.length, node.audit.of('pull.started').length);
  assert.ok(ended.every(({ outcome }) => outcome === 'whole'));
});

void test('two who ask for one digest share one fetch, and each gets all of it', async () => {
  const image = storyImage(NAME);
  const node = await cast(image);
  const go = gate(MIB);
  const path = story.blob(image, image.layers[0]!);
  const both = [story.ask(node, path).then(take), story.ask(node, path).then(take)];
  await story.world.advance(100);
  go();
  for (const got of await story.until(Promise.all(both))) assert.equal(digestOf(got.bytes), image.layers[0]!.digest);
  assert.equal(node.asked.length, 1);
});

void test('no holder is not here at once', async () => {
  const image = storyImage(NAME);
  const node = await cast(image);
  for (const name of ['a', 'b']) story.hub.connect(name, false);
  const began = story.world.now();
  await assert.rejects(story.ask(node, story.blob(image, image.layers[0]!)), is('CONTENT_ABSENT'));
  assert.equal(story.world.now(), began);
  assert.equal(node.audit.of('pull.refused').at(-1)!.code, 'CONTENT_ABSENT');
});

void test('an answer is held while nothing may go out, two seconds at most', async () => {
  const image = storyImage(NAME);
  const node = await cast(image);
  gate();
  const began = story.world.now();
  await story.until(story.ask(node, story.blob(image, image.layers[0]!)), 10_000, 50);
  assert.equal(story.world.now() - began, ANSWER_MS);
});

void test('after a cut without a byte it is whole or not here for a minute, while the fetch goes on', async () => {
  const image = storyImage(NAME);
  const node = await cast(image);
  const path = story.blob(image, image.layers[0]!);
  const go = gate();
  const cut = await story.get(node, path);
  assert.deepEqual([cut.whole, cut.bytes.length], [false, 0]);
  assert.equal(node.audit.of('pull.ended').at(-1)!.outcome, 'cut');
  const began = story.world.now();
  await assert.rejects(story.get(node, path), is('CONTENT_ABSENT'));
  assert.ok(story.world.now() - began < 200, 'nobody waits twice');
  go();
  await story.world.advance(1_000);
  assert.ok((await story.get(node, path)).whole);
  await story.world.advance(CUT_MS);
});

void test('a client that goes away by itself before the first byte takes nothing from the next', async () => {
  const image = storyImage(NAME);
  const node = await cast(image);
  const path = story.blob(image, image.layers[0]!);
  const go = gate();
  const { body } = await story.until(story.ask(node, path));
  await body!.close(0);
  go();
  assert.ok((await story.get(node, path)).whole);
});

void test('a part is given of what lies whole, of nothing else', async () => {
  const image = storyImage(NAME, { layers: [3 * MIB] });
  const node = await cast(image);
  const path = story.blob(image, image.layers[0]!);
  const bytes = Buffer.from(image.contents.get(image.layers[0]!.digest)!);
  for (const range of ['bytes=1-', 'bytes=0-0', `bytes=${MIB}-${2 * MIB}`])
    await assert.rejects(story.ask(node, path, { range }), is('CONTENT_ABSENT'));
  assert.deepEqual(node.asked, []);
  const go = gate(2 * MIB);
  const onItsWay = await story.until(story.ask(node, path, { range: 'bytes=0-' }));
  assert.equal(onItsWay.partial, false);
  await assert.rejects(story.ask(node, path, { range: `bytes=${MIB}-` }), is('CONTENT_ABSENT'));
  go();
  assert.ok((await story.until(take(onItsWay))).whole);
  await story.world.settle();
  for (const [range, from, to] of [
    ['bytes=0-', 0, 3 * MIB],
    ['bytes=5-9', 5, 10],
    [`bytes=${3 * MIB - 1}-`, 3 * MIB - 1, 3 * MIB],
    [`bytes=7-${9 * MIB}`, 7, 3 * MIB],
  ] as const) {
    const part = await story.get(node, path, { range });
    assert.deepEqual([part.partial, part.answer.body!.start, part.answer.body!.end], [true, from, to]);
    assert.ok(part.bytes.equals(bytes.subarray(from, to)));
  }
  await assert.rejects(story.get(node, path, { range: `bytes=${3 * MIB}-` }), is('RANGE_INVALID'));
});

void test('a content that does not fit the spool is not here', async () => {
  const image = storyImage(NAME, { layers: [5 * MIB] });
  const node = await cast(image, { spoolBytes: 4 * MIB });
  await assert.rejects(story.ask(node, story.blob(image, image.layers[0]!)), is('SPOOL_FULL'));
});

void test('more than so many fetches at once are not here', async () => {
  const image = storyImage(NAME, { layers: Array.from({ length: FETCHES_MAX + 1 }, (_, at) => MIB + at) });
  const node = await cast(image);
  gate();
  const paths = image.layers.map(layer => story.blob(image, layer));
  const asked = paths.slice(0, FETCHES_MAX).map(path => story.ask(node, path));
  for (const one of asked) one.catch(() => undefined);
  await story.world.settle();
  await assert.rejects(story.until(story.ask(node, paths.at(-1)!)), is('SPOOL_FULL'));
});

void test('private content under a public name is absent at the door, though this node holds it', async () => {
  const secret = storyImage('r.test/private/secret:1', { layers: [100] });
  const open = storyImage('r.test/public/open:1', { layers: [101] });
  const node = await story.node('n', {
    policy: OPEN_POLICY.replace('share: [r.test/**]', 'share: [r.test/public/**]'),
  });
  node.keep(secret);
  node.keep(open);
  await story.share();
  for (const path of [
    `public/open/manifests/${secret.target.digest}`,
    `public/open/blobs/${secret.layers[0]!.digest}`,
    `public/open/blobs/${secret.config.digest}`,
    `public/none/blobs/${secret.layers[0]!.digest}`,
  ])
    await assert.rejects(story.get(node, path), is('CONTENT_ABSENT'));
  assert.ok((await story.get(node, story.blob(secret, secret.layers[0]!))).whole);
});

void test('a manifest is not given as a blob', async () => {
  const image = storyImage(NAME);
  const node = await cast(image);
  await assert.rejects(story.get(node, story.blob(image, image.target)), is('CONTENT_ABSENT'));
});

void test('where nothing can be recorded no byte goes out', async () => {
  const image = storyImage(NAME);
  const node = await cast(image);
  node.keep(image);
  await story.share();
  node.audit.broken = true;
  for (const path of [
    story.manifest(image),
    story.manifest(image, image.target.digest),
    story.blob(image, image.layers[0]!),
  ])
    await assert.rejects(story.until(story.ask(node, path)), is('AUDIT_UNAVAILABLE'));
});

void test('a registry that policy does not list is not mirrored, and no holder is looked for', async () => {
  const image = storyImage(NAME);
  const node = await cast(image);
  node.decree(OPEN_POLICY.replaceAll('r.test', 'other.test'));
  await assert.rejects(story.ask(node, story.manifest(image)), is('NOT_MIRRORED'));
  assert.equal(node.audit.of('pull.refused').at(-1)!.code, 'NOT_MIRRORED');
  assert.deepEqual(node.asked, []);
});

void test('a content of this node that rotted is not given; it comes from a peer instead', async () => {
  const image = storyImage(NAME);
  const node = await cast(image);
  node.keep(image);
  await story.share();
  const [layer] = image.layers;
  for (const harm of ['rot', 'cut'] as const) {
    await node.rooms.spool.drop(layer!.digest);
    node.store.put(image.contents.get(layer!.digest)!);
    node.store[harm](layer!.digest);
    const got = await story.get(node, story.blob(image, layer!));
    assert.equal(digestOf(got.bytes), layer!.digest, harm);
  }
  assert.ok(node.audit.of('store.corrupt').length > 0);
});

void test('what policy does not let be pulled is denied, and recorded, before any look-up', async () => {
  const image = storyImage(NAME);
  const node = await cast(image);
  node.keep(image);
  const policy = { ...node.rooms.policy(), pull: () => ({ allowed: false, rule: 'none' }) };
  Object.assign(node.rooms, { policy: () => policy });
  for (const path of [story.manifest(image), story.blob(image, image.layers[0]!)])
    await assert.rejects(story.get(node, path), is('DENIED'));
  assert.equal(node.audit.of('pull.refused').at(-1)?.code, 'DENIED');
  await assert.rejects(
    pullImage(node.rooms, image.reference, undefined, () => undefined),
    is('DENIED'),
  );
  assert.deepEqual(node.asked, []);
});

void test('an answer from the spool names the node that the copy came from, and so does the explanation of a tag', async () => {
  const image = storyImage('r.test/team/app:1', { layers: [2 * MIB] });
  (await story.node('holder')).keep(image);
  await story.share();
  const node = await story.node('client', { kind: 'containerd' });
  await story.get(node, story.manifest(image));
  await story.get(node, story.manifest(image, image.images[0]!.manifest.digest));
  for (const from of ['peer', 'spool']) {
    await story.get(node, story.blob(image, image.images[0]!.layers[0]!));
    assert.equal(node.audit.of('pull.ended').at(-1)?.source, from);
    assert.equal(node.rooms.pulls.recent().at(-1)?.from, 'holder');
  }
  const steps = await why(node.rooms, image.reference);
  assert.ok(steps.find(({ step }) => step === 'tag')?.detail.includes('holder saw'));
});

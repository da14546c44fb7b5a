/** What a node tells: only what policy shares, as soon as it is hashed, until it is gone. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import type { Digest } from '../../src/oci/oci.ts';
import { Prover, rootOf } from '../../src/proof/proof.ts';
import { MIB, OPEN_POLICY, Story, type StoryImage, type StoryNode, storyImage } from './story-node.ts';

const NAME = 'r.test/team/app:1';
const NOTHING = 'registries: [r.test]\n';
let story: Story;
beforeEach(() => {
  story = new Story();
});
afterEach(() => story.end());

const is = (code: Code) => (error: unknown) => hasCode(error, code);
const digests = (image: StoryImage): Digest[] => [...image.contents.keys()].sort();

async function holder(image: StoryImage, policy = OPEN_POLICY): Promise<StoryNode> {
  const node = await story.node('holder', { policy });
  node.keep(image);
  await story.share();
  return node;
}

/** Asks a giver as another node does. */
async function ask(
  giver: StoryNode,
  digest: Digest,
  offset = 0,
  length = 1,
): Promise<Awaited<ReturnType<StoryNode['giver']['give']>>> {
  const other = story.hub.join('other');
  return giver.giver.give(other.node, digest, offset, length);
}

void test('what policy shares is told whole, with its true roots, after it was recorded', async () => {
  const image = storyImage(NAME, { layers: [3 * MIB, 10] });
  const node = await holder(image);
  assert.deepEqual([...node.told.holdings].sort(), digests(image));
  const reader = story.hub.join('reader');
  for (const [digest, bytes] of image.contents) {
    const prover = new Prover('sha256');
    prover.update(bytes);
    assert.equal(reader.holders(digest)[0]!.root, rootOf(prover.finish()));
  }
  const [offered] = node.audit.of('share.offered');
  assert.deepEqual([offered?.reference, offered?.digest], [NAME, image.target.digest]);
});

void test('with an empty share nothing is told, stated or given, and everything is mirrored', async () => {
  const image = storyImage(NAME);
  const node = await holder(image, NOTHING);
  assert.deepEqual([node.told.holdings, node.told.tags], [[], []]);
  await assert.rejects(ask(node, image.layers[0]!.digest), is('CONTENT_ABSENT'));
  assert.ok((await story.get(node, story.blob(image, image.layers[0]!))).whole);
});

void test('what left the store is withdrawn at once, and recorded', async () => {
  const image = storyImage(NAME);
  const node = await holder(image);
  node.store.unname(image.reference);
  await story.share();
  assert.deepEqual(node.told.holdings, []);
  assert.deepEqual(
    node.audit.of('share.withdrawn').map(({ reference }) => reference),
    [NAME],
  );
  await assert.rejects(ask(node, image.layers[0]!.digest), is('CONTENT_ABSENT'));
});

void test('a long hash does not hold back a withdrawal', async () => {
  const gone = storyImage(NAME, { layers: [10] });
  const large = storyImage('r.test/team/large:1', { layers: [3 * MIB] });
  const never = Promise.withResolvers<never>();
  const node = await story.node('holder', {
    twist: ({ store, hashes }) => ({
      store,
      hashes: {
        prove: (content, signal) => (content.size > MIB ? never.promise : hashes.prove(content, signal)),
        again: (content, signal) => hashes.again(content, signal),
        known: digest => hashes.known(digest),
      },
    }),
  });
  node.keep(gone);
  await story.share();
  node.keep(large);
  await story.share();
  assert.ok(node.told.holdings.includes(gone.target.digest));
  node.store.unname(gone.reference);
  await story.share();
  assert.ok(!node.told.holdings.includes(gone.target.digest));
  assert.ok(node.told.holdings.includes(large.target.digest), 'what is hashed of the other is told');
  await assert.rejects(ask(node, gone.layers[0]!.digest), is('CONTENT_ABSENT'));
  node.store.unname(large.reference);
  await story.share();
  assert.deepEqual(node.told.holdings, []);
});

void test('what is hashed is told, and its tag stated, while something large is hashed for long', async () => {
  const small = storyImage(NAME, { layers: [10] });
  const large = storyImage('r.test/team/large:1', { layers: [3 * MIB] });
  const node = await story.node('holder', {
    twist: ({ store, hashes }) => ({
      store,
      hashes: {
        prove: (content, signal) =>
          content.size > MIB ? new Promise<never>(() => undefined) : hashes.prove(content, signal),
        again: (content, signal) => hashes.again(content, signal),
        known: digest => hashes.known(digest),
      },
    }),
  });
  await story.world.advance(10);
  node.keep(large);
  node.keep(small);
  await story.world.advance(2_000);
  for (const digest of small.contents.keys()) assert.ok(node.told.holdings.includes(digest));
  assert.ok(node.told.tags.includes(NAME));
});

void test('a hash that ends after its image is gone tells nothing', async () => {
  const large = storyImage(NAME, { layers: [3 * MIB] });
  const open = Promise.withResolvers<void>();
  const node = await story.node('holder', {
    twist: ({ store, hashes }) => ({
      store,
      hashes: {
        prove: async (content, signal) => {
          if (content.size > MIB) await open.promise;
          return hashes.prove(content, signal);
        },
        again: (content, signal) => hashes.again(content, signal),
        known: digest => hashes.known(digest),
      },
    }),
  });
  node.keep(large);
  await story.share();
  node.store.unname(large.reference);
  await story.share();
  open.resolve();
  await story.share();
  assert.deepEqual(node.told.holdings, []);
  assert.deepEqual(node.sharing.told(), { contents: 0, bytes: 0 });
  node.store.name(large.reference, large.target);
  await story.share();
  assert.equal(node.told.holdings.length, 3);
});

void test('another policy is in force at once, both ways', async () => {
  const image = storyImage(NAME);
  const node = await holder(image, NOTHING);
  node.decree(OPEN_POLICY);
  await story.share();
  assert.equal(node.told.holdings.length, 3);
  node.decree(NOTHING);
  await story.share();
  assert.deepEqual(node.told.holdings, []);
  await assert.rejects(ask(node, image.target.digest), is('CONTENT_ABSENT'));
});

void test('only the platforms that are here are told', async () => {
  const image = storyImage(NAME, { layers: [10], platforms: ['linux/amd64', 'linux/arm64'] });
  const node = await story.node('holder');
  node.keep(image);
  const [own, other] = image.images;
  for (const { digest } of [other!.manifest, ...other!.layers]) node.store.drop(digest);
  await story.share();
  assert.ok(node.told.holdings.includes(own!.layers[0]!.digest));
  for (const { digest } of [other!.manifest, ...other!.layers]) {
    assert.ok(!node.told.holdings.includes(digest));
    await assert.rejects(ask(node, digest), is('CONTENT_ABSENT'));
  }
});

void test('what rotted before it was hashed is not told, and is recorded once', async () => {
  const image = storyImage(NAME);
  const node = await story.node('holder');
  node.keep(image);
  node.store.rot(image.layers[0]!.digest);
  await story.share();
  node.sharing.changed();
  await story.share();
  assert.ok(!node.told.holdings.includes(image.layers[0]!.digest));
  assert.deepEqual(
    node.audit.of('store.corrupt').map(({ digest }) => digest),
    [image.layers[0]!.digest],
  );
});

void test('where nothing can be recorded nothing new is told and nothing is given', async () => {
  const image = storyImage(NAME);
  const node = await holder(image);
  node.audit.broken = true;
  await assert.rejects(ask(node, image.layers[0]!.digest), is('AUDIT_UNAVAILABLE'));
  const more = storyImage('r.test/team/more:1');
  node.keep(more);
  await story.share();
  assert.ok(!node.told.holdings.includes(more.target.digest));
  node.audit.broken = false;
  await story.world.advance(5_000);
  assert.ok(node.told.holdings.includes(more.target.digest));
});

void test('a store that is away is looked at again until it is back', async () => {
  const image = storyImage(NAME);
  const node = await story.node('holder');
  node.store.away(true);
  node.keep(image);
  await story.world.advance(5_000);
  assert.deepEqual(node.told.holdings, []);
  node.store.away(false);
  await story.world.advance(2_000);
  assert.equal(node.told.holdings.length, 3);
});

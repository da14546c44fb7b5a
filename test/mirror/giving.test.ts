/** What a node gives, to whom, and what a peer's doubt makes it do. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import type { Digest } from '../../src/oci/oci.ts';

import { MIB, OPEN_POLICY, Story, type StoryImage, type StoryNode, storyImage } from './story-node.ts';

const NAME = 'r.test/team/app:1';
const NOTHING = 'registries: [r.test]\n';
let story: Story;
beforeEach(() => {
  story = new Story();
});
afterEach(() => story.end());

const is = (code: Code) => (error: unknown) => hasCode(error, code);

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

void test('to a peer, what is not shared and what does not exist look the same; the refusal is recorded', async () => {
  const image = storyImage(NAME);
  const node = await holder(image, NOTHING);
  const codes: unknown[] = [];
  for (const digest of [image.layers[0]!.digest, storyImage('r.test/none/x:1').target.digest])
    for (const one of [ask(node, digest), node.giver.proof(story.hub.join('other').node, digest)])
      await one.catch((error: { code: string; message: string }) =>
        codes.push([error.code, error.message.replace(digest, '')]),
      );
  assert.equal(codes.length, 4);
  assert.ok(codes.every(code => String(code) === String(codes[0])));
  assert.deepEqual(
    node.audit.of('serve.refused').map(({ code }) => code),
    Array.from({ length: 4 }, () => 'NOT_SHARED'),
  );
});

void test('a content that a shared and an unshared image have in common is given', async () => {
  const image = storyImage(NAME, { seed: 'one' });
  const twin = storyImage('r.test/private/app:1', { seed: 'one' });
  const node = await holder(image, OPEN_POLICY.replace('share: [r.test/**]', 'share: [r.test/team/**]'));
  node.keep(twin);
  await story.share();
  await (await ask(node, twin.layers[0]!.digest)).done(0);
});

void test('a gift that runs when its content goes ends whole', async () => {
  const image = storyImage(NAME);
  const node = await holder(image);
  const { digest, size } = image.layers[0]!;
  const gift = await ask(node, digest, 0, size);
  node.store.unname(image.reference);
  node.store.drop(digest);
  await story.share();
  const bytes = Buffer.alloc(size);
  assert.equal(await gift.read(bytes, 0), size);
  assert.ok(bytes.equals(image.contents.get(digest)!));
  await gift.done(size);
  assert.equal(node.audit.of('serve.ended')[0]!.bytes, size);
  await assert.rejects(ask(node, digest), is('CONTENT_ABSENT'));
});

void test('a peer’s doubt makes a node hash again, at most once in ten minutes, and withdraw what rotted', async () => {
  const image = storyImage(NAME);
  const node = await holder(image);
  const other = story.hub.join('other').node;
  const { digest } = image.layers[0]!;
  node.giver.doubt(other, digest);
  await story.share();
  assert.ok(node.told.holdings.includes(digest));
  await story.world.advance(600_000);
  node.store.rot(digest);
  node.giver.doubt(other, digest);
  await story.share();
  assert.ok(!node.told.holdings.includes(digest));
  assert.ok(node.audit.of('store.corrupt').length > 0);
});

void test('a doubt while the store is away, or while nothing can be recorded, ends no node', async () => {
  const image = storyImage(NAME, { layers: [3 * MIB, 2 * MIB] });
  const node = await holder(image);
  const other = story.hub.join('other').node;
  node.store.away(true);
  node.giver.doubt(other, image.layers[0]!.digest);
  await story.world.settle();
  node.store.away(false);
  node.store.rot(image.layers[1]!.digest);
  node.audit.broken = true;
  node.giver.doubt(other, image.layers[1]!.digest);
  await story.world.settle();
  node.audit.broken = false;
  await story.share();
  assert.ok(!node.told.holdings.includes(image.layers[1]!.digest));
});

void test('a range beyond the content is absent', async () => {
  const image = storyImage(NAME);
  const node = await holder(image);
  const { digest, size } = image.layers[0]!;
  await assert.rejects(ask(node, digest, 0, size + 1), is('CONTENT_ABSENT'));
  await assert.rejects(ask(node, digest, size, 1), is('CONTENT_ABSENT'));
});

void test('the proof of what is no longer shared is not given, though it is known', async () => {
  const image = storyImage(NAME);
  const node = await holder(image);
  const other = story.hub.join('other').node;
  const { digest } = image.layers[0]!;
  await node.giver.proof(other, digest);
  assert.deepEqual(
    node.audit.of('serve.proof').map(({ peer, digest: of }) => [peer, of]),
    [[other.peer, digest]],
  );
  node.audit.broken = true;
  await assert.rejects(node.giver.proof(other, digest), is('AUDIT_UNAVAILABLE'));
  node.audit.broken = false;
  node.decree(NOTHING);
  await story.share();
  assert.ok(await node.rooms.hashes.known(digest));
  await assert.rejects(node.giver.proof(other, digest), is('CONTENT_ABSENT'));
});

void test('doubts that follow one another cost one hash', async () => {
  const image = storyImage(NAME);
  let hashed = 0;
  const node = await story.node('holder', {
    twist: ({ store, hashes }) => ({
      store,
      hashes: {
        prove: (content, signal) => hashes.prove(content, signal),
        again: (content, signal) => {
          hashed += 1;
          return hashes.again(content, signal);
        },
        known: digest => hashes.known(digest),
      },
    }),
  });
  node.keep(image);
  await story.share();
  for (const name of ['one', 'two', 'three']) node.giver.doubt(story.hub.join(name).node, image.layers[0]!.digest);
  node.giver.doubt(story.hub.join('one').node, storyImage('r.test/none/x:1').target.digest);
  await story.share();
  assert.equal(hashed, 1);
});

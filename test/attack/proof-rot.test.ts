/** Honest nodes whose disk rots under a true root: found by who pulls, withdrawn by who holds, and no evidence against them. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Cast, layerOf, NAME } from '../mirror/cast.ts';
import { MIB, storyImage } from '../mirror/story-node.ts';

const IMAGE = storyImage(NAME, { layers: [4 * MIB, 3 * MIB] });

let story: Cast;
beforeEach(() => {
  story = new Cast();
});
afterEach(() => story.end());

void test('bytes that rotted come from another, their holder withdraws them, and nobody has evidence', async () => {
  const { digest, bytes } = layerOf(IMAGE);
  const rotten = await story.holder('rotten', IMAGE);
  const honest = await story.holder('honest', IMAGE);
  const node = await story.client(IMAGE);
  rotten.store.rot(digest, 2 * MIB);
  const got = await story.get(node, story.blob(IMAGE, IMAGE.layers[0]!));
  assert.ok(got.whole && got.bytes.equals(bytes));
  assert.deepEqual(
    node.asked.map(({ from, offset }) => `${from} ${offset / MIB}`),
    ['rotten 0', 'honest 2'],
  );
  assert.deepEqual(
    node.audit.of('lie.found').map(({ node: name, kind, code }) => `${name} ${kind} ${code}`),
    ['rotten chunk CHUNK_MISMATCH'],
  );
  await story.share();
  assert.ok(!rotten.told.holdings.includes(digest));
  assert.ok(rotten.told.holdings.includes(IMAGE.layers[1]!.digest));
  assert.ok(rotten.audit.of('store.corrupt').every(event => event.digest === digest));
  assert.ok(rotten.audit.of('store.corrupt').length > 0);
  for (const one of [node, honest, rotten]) {
    assert.deepEqual(one.rooms.evidence.list(), []);
    assert.deepEqual(one.audit.of('evidence.kept'), []);
  }
  assert.deepEqual(
    node.rooms.peers.holders(digest).map(({ node: { name } }) => name),
    ['honest'],
  );
});

void test('a holder whose disk was mended is told of again, and its word counts as before', async () => {
  const { digest, bytes } = layerOf(IMAGE);
  const holder = await story.holder('holder', IMAGE);
  const node = await story.client(IMAGE);
  const [before] = node.rooms.peers.holders(digest);
  holder.store.rot(digest, 5);
  await story.get(node, story.blob(IMAGE, IMAGE.layers[0]!)).catch(() => undefined);
  await story.share();
  assert.deepEqual(node.rooms.peers.holders(digest), []);
  holder.store.put(bytes);
  await story.share();
  const [after] = node.rooms.peers.holders(digest);
  assert.equal(after!.root, before!.root);
  const got = await story.get(node, story.blob(IMAGE, IMAGE.layers[0]!));
  assert.ok(got.whole && got.bytes.equals(bytes));
  assert.equal(node.rooms.evidence.refuted(holder.node.peer, holder.node.issuedAt), false);
});

/**
 * Holders that give answers of the wrong length, or nothing, and parts that a client would have stitched together: by code,
 * and on record.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Cast, is, layerOf, NAME } from '../mirror/cast.ts';
import { MIB, storyImage, take } from '../mirror/story-node.ts';

const IMAGE = storyImage(NAME, { layers: [3 * MIB] });

let story: Cast;
beforeEach(() => {
  story = new Cast();
});
afterEach(() => story.end());

for (const [what, change] of [
  ['a byte less', (bytes: Uint8Array) => bytes.subarray(1)],
  ['a byte more', (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc(1)])],
  ['nothing at all', () => new Uint8Array(0)],
] as const)
  void test(`a chunk with ${what} is a lie by name; the rest comes from another, and nothing is kept of it`, async () => {
    await story.holder('liar', IMAGE);
    await story.holder('honest', IMAGE);
    const node = await story.client(IMAGE);
    story.hub.tamper('liar', (bytes, at) => (at === MIB ? change(bytes) : bytes));
    const got = await story.get(node, story.blob(IMAGE, IMAGE.layers[0]!));
    assert.ok(got.whole && got.bytes.equals(layerOf(IMAGE).bytes));
    assert.deepEqual(
      node.asked.map(({ from, offset }) => `${from} ${offset / MIB}`),
      ['liar 0', 'honest 1'],
    );
    assert.deepEqual(
      node.audit.of('lie.found').map(({ node: name, kind, code }) => `${name} ${kind} ${code}`),
      ['liar chunk CHUNK_MISMATCH'],
    );
    assert.deepEqual(node.rooms.evidence.list(), []);
  });

void test('a part of what is not whole on this disk is refused on record, though holders have each half of it', async () => {
  for (const name of ['a', 'b']) await story.holder(name, IMAGE);
  const node = await story.client(IMAGE);
  const path = story.blob(IMAGE, IMAGE.layers[0]!);
  for (const range of [`bytes=${MIB}-`, `bytes=0-${MIB}`, `bytes=${MIB}-${2 * MIB}`])
    await assert.rejects(story.get(node, path, { range }), is('CONTENT_ABSENT'));
  assert.deepEqual(
    node.audit.of('pull.refused').map(({ code }) => code),
    ['CONTENT_ABSENT', 'CONTENT_ABSENT', 'CONTENT_ABSENT'],
  );
  assert.deepEqual(node.asked, []);
  await story.get(node, path);
  const part = await story.get(node, path, { range: `bytes=${MIB}-` });
  assert.ok(part.partial && part.bytes.equals(layerOf(IMAGE).bytes.subarray(MIB)));
});

void test('four holders that bring nothing, one after the other, cost a pull of a layer time alone', async () => {
  for (const name of ['a', 'b', 'c', 'd']) await story.holder(name, IMAGE);
  await story.holder('honest', IMAGE);
  const node = await story.client(IMAGE);
  for (const name of ['a', 'b', 'c', 'd']) story.hub.tamper(name, () => new Promise(() => undefined));
  const answer = await story.until(story.ask(node, story.blob(IMAGE, IMAGE.layers[0]!)));
  const got = await story.until(take(answer));
  assert.ok(got.whole && got.bytes.equals(layerOf(IMAGE).bytes));
  assert.deepEqual(
    node.asked.map(({ from }) => from),
    ['a', 'b', 'c', 'd', 'honest'],
  );
  assert.deepEqual(node.audit.of('lie.found'), []);
});

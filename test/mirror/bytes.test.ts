/** How bytes come to a client: who vouched, who stalled or died, and what went out meanwhile. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { hasCode, MirrorError } from '../../src/errors.ts';
import { Cast, is, layerOf, NAME } from './cast.ts';
import { MIB, storyImage, take } from './story-node.ts';

let story: Cast;
beforeEach(() => {
  story = new Cast();
});
afterEach(() => story.end());

void test('with one voucher nothing goes out before the whole is proved', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await story.holder('a', image);
  const node = await story.client(image);
  const go = story.gate('a', 3 * MIB);
  const answer = await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  const [fetch] = node.rooms.fetches.list();
  assert.deepEqual([fetch!.checked, fetch!.watermark], [3 * MIB, 0]);
  const got = take(answer);
  await story.world.settle();
  assert.equal(fetch!.watermark, 0);
  go();
  const { whole, bytes } = await story.until(got);
  assert.ok(whole && bytes.equals(layerOf(image).bytes));
  assert.equal(node.audit.of('pull.ended').at(-1)!.outcome, 'whole');
});

void test('a node that is listed twice is one voucher', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await story.holder('a', image);
  const node = await story.client(image);
  const { peers } = node.rooms;
  const twice: typeof peers.holders = digest => [...peers.holders(digest), ...peers.holders(digest)];
  Object.assign(node.rooms, { peers: { ...peers, holders: twice } });
  const go = story.gate('a', 3 * MIB);
  const got = story.ask(node, story.blob(image, image.layers[0]!)).then(take);
  await story.world.advance(3_000);
  assert.deepEqual([node.rooms.fetches.list()[0]!.checked, node.rooms.fetches.list()[0]!.watermark], [3 * MIB, 0]);
  go();
  assert.ok((await story.until(got)).bytes.equals(layerOf(image).bytes));
  assert.equal(node.audit.of('pull.ended').at(-1)!.outcome, 'whole');
});

void test('with two vouchers bytes go out as they are checked', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await story.holder('a', image);
  await story.holder('b', image);
  const node = await story.client(image);
  story.gate('a', 3 * MIB);
  story.gate('b', 3 * MIB);
  const { body } = await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  await story.world.settle();
  assert.equal(await body!.upTo(0), 3 * MIB);
  assert.equal(await body!.read(new Uint8Array(MIB), 3 * MIB), 0);
  await body!.close(3 * MIB);
});

void test('two nodes of which one may not attest are one voucher', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await story.holder('a', image);
  const mute = await story.node('b', { roles: ['fetch', 'serve'] });
  mute.keep(image);
  await story.share();
  const node = await story.client(image);
  story.gate('a', 3 * MIB);
  story.gate('b', 3 * MIB);
  await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  assert.equal(node.rooms.fetches.list()[0]!.watermark, 0);
  // Its headers are out, and no byte.
  assert.equal(node.audit.of('pull.started').at(-1)!.digest, layerOf(image).digest);
});

void test('this node’s own earlier hash is enough alone', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await story.holder('a', image);
  const node = await story.client(image);
  const { digest, bytes } = layerOf(image);
  node.store.put(bytes);
  const content = await node.rooms.store.open(digest);
  await node.rooms.hashes.prove(content!, node.rooms.life);
  node.store.drop(digest);
  const go = story.gate('a', 3 * MIB);
  const answer = await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  await story.world.settle();
  assert.equal(node.rooms.fetches.list()[0]!.watermark, 3 * MIB);
  go();
  assert.ok((await story.until(take(answer))).bytes.equals(bytes));
});

void test('who dies is replaced by another from the last proved MiB', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await story.holder('dying', image, 'die');
  await story.holder('b', image);
  const node = await story.client(image);
  const got = await story.get(node, story.blob(image, image.layers[0]!));
  assert.ok(got.whole && got.bytes.equals(layerOf(image).bytes));
  assert.deepEqual(
    node.asked.map(({ from, offset }) => `${from} ${offset / MIB}`),
    ['dying 0', 'b 3'],
  );
});

void test('who stalls costs time alone: the answer waits for the next holder', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await story.holder('stalling', image);
  await story.holder('b', image);
  const node = await story.client(image);
  story.stall('stalling', 3 * MIB);
  const got = await story.get(node, story.blob(image, image.layers[0]!));
  assert.ok(got.whole && got.bytes.equals(layerOf(image).bytes));
  assert.deepEqual(
    node.asked.map(({ from, offset }) => `${from} ${offset / MIB}`),
    ['stalling 0', 'b 3'],
  );
});

void test('who never begins costs time alone, also where nothing may go out before the whole', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  const mute = await story.node('mute', { roles: ['fetch', 'serve'] });
  mute.keep(image);
  await story.holder('b', image);
  const node = await story.client(image);
  story.stall('mute', 0);
  const got = await story.get(node, story.blob(image, image.layers[0]!));
  assert.ok(got.whole && got.bytes.equals(layerOf(image).bytes));
});

void test('who trickles is left before the client is: a lane may last, a chunk must come', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await story.holder('trickling', image);
  await story.holder('b', image);
  const node = await story.client(image);
  // The lane is alive for half a minute; no chunk comes.
  story.hub.tamper('trickling', async (bytes, at) => {
    if (at >= 2 * MIB && bytes.length === MIB) await story.world.sleep(30_000);
    return bytes;
  });
  const began = story.world.now();
  const got = await story.get(node, story.blob(image, image.layers[0]!));
  assert.ok(got.whole && got.bytes.equals(layerOf(image).bytes));
  assert.ok(story.world.now() - began < 15_000);
});

void test('two who bring nothing, one after the other, still cost time alone', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  for (const name of ['first', 'second', 'third']) await story.holder(name, image);
  const node = await story.client(image);
  for (const name of ['first', 'second']) story.stall(name, 2 * MIB);
  const got = await story.get(node, story.blob(image, image.layers[0]!));
  assert.ok(got.whole && got.bytes.equals(layerOf(image).bytes));
  assert.deepEqual(
    node.asked.map(({ from, offset }) => `${from} ${offset / MIB}`),
    ['first 0', 'second 2', 'third 2'],
  );
});

void test('where all who hold it stall, the answer ends within fifteen seconds', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  const names = ['a', 'b', 'c', 'd', 'e'];
  for (const name of names) await story.holder(name, image);
  const node = await story.client(image);
  for (const name of names) story.stall(name, 2 * MIB);
  const began = story.world.now();
  const got = await story.get(node, story.blob(image, image.layers[0]!));
  assert.deepEqual([got.whole, got.bytes.length], [false, 2 * MIB]);
  assert.ok(story.world.now() - began < 15_000, String(story.world.now() - began));
});

void test('with no holder left in mid-stream the answer ends after the proved bytes, and the rest is not here', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await story.holder('a', image, 'die');
  await story.holder('b', image, 'die');
  const node = await story.client(image);
  const path = story.blob(image, image.layers[0]!);
  const got = await story.get(node, path);
  assert.deepEqual([got.whole, got.bytes.length], [false, 3 * MIB]);
  assert.ok(got.bytes.equals(layerOf(image).bytes.subarray(0, 3 * MIB)));
  await assert.rejects(story.get(node, path, { range: `bytes=${3 * MIB}-` }), is('CONTENT_ABSENT'));
  assert.deepEqual(node.audit.of('pull.ended').at(-1)!.outcome, 'cut');
});

void test('bytes of another size than the proved manifest says are not asked for', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  const a = await story.holder('a', image);
  const node = await story.client(image);
  const { digest } = layerOf(image);
  const [held] = node.rooms.peers.holders(digest);
  await a.rooms.peers.hold([{ digest, size: 5 * MIB, root: held!.root }]);
  await assert.rejects(story.get(node, story.blob(image, image.layers[0]!)), is('CONTENT_ABSENT'));
  assert.deepEqual(node.asked, []);
});

void test('a disk that fails ends the answer, not the node', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await story.holder('a', image);
  await story.holder('b', image);
  const node = await story.client(image);
  const go = ['a', 'b'].map(name => story.gate(name, 2 * MIB));
  const answer = await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  node.disk.failWrites(true);
  go.forEach(open => open());
  const got = await story.until(take(answer));
  assert.deepEqual([got.whole, got.bytes.length], [false, 2 * MIB]);
  node.disk.failWrites(false);
  assert.equal(node.audit.of('lie.found').length, 0);
  const again = await story.get(node, story.blob(image, image.layers[0]!));
  assert.ok(again.bytes.equals(layerOf(image).bytes));
});

void test('a disk that fills up is not the peer’s fault: nobody is asked in vain or ranked down', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await story.holder('a', image);
  await story.holder('b', image);
  const node = await story.client(image);
  const go = story.gate('a', MIB);
  const path = story.blob(image, image.layers[0]!);
  const answer = await story.until(story.ask(node, path));
  const [fetch] = node.rooms.fetches.list();
  node.disk.resize(2 * MIB);
  go();
  assert.equal((await story.until(take(answer))).whole, false);
  assert.ok(hasCode(fetch!.error, 'SPOOL_FULL'));
  node.disk.resize(Number.POSITIVE_INFINITY);
  assert.ok((await story.get(node, path)).whole);
  assert.deepEqual(
    node.asked.map(({ from }) => from),
    ['a', 'a'],
  );
});

void test('a disk from which not even the part can be removed does not end the node', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await story.holder('a', image, 'die');
  const node = await story.client(image);
  const remove = node.disk.remove.bind(node.disk);
  node.disk.remove = () => Promise.reject(new MirrorError('FILE_UNREADABLE', 'the disk is broken'));
  await assert.rejects(story.get(node, story.blob(image, image.layers[0]!)), MirrorError);
  node.disk.remove = remove;
  assert.deepEqual(node.rooms.fetches.list(), []);
});

void test('holders that refuse are "not here" to a client, never "denied": that word is policy’s alone', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await story.holder('a', image);
  const node = await story.client(image);
  for (const code of ['LANE_REFUSED', 'ROLE_MISSING', 'PEER_REFUSED'] as const) {
    story.hub.tamper('a', () => Promise.reject(new MirrorError(code, 'a opens no lane')));
    await assert.rejects(story.until(story.ask(node, story.blob(image, image.layers[0]!))), is('CONTENT_ABSENT'));
  }
  assert.deepEqual(
    node.audit.of('pull.refused').map(({ code }) => code),
    ['CONTENT_ABSENT', 'CONTENT_ABSENT', 'CONTENT_ABSENT'],
  );
});

/** How bytes come to a client: who vouched, who lied, who stalled, and what went out meanwhile. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Code, hasCode, MirrorError } from '../../src/errors.ts';
import type { Digest } from '../../src/oci/oci.ts';
import { Prover } from '../../src/proof/proof.ts';
import { hostile, type Lie } from '../support/hostile.ts';
import { MIB, OPEN_POLICY, Story, type StoryImage, type StoryNode, storyImage, take } from './story-node.ts';

const NAME = 'r.test/team/app:1';
let story: Story;
beforeEach(() => {
  story = new Story();
});
afterEach(() => story.end());

/** A node that holds `image`, told; it may tell a lie. */
async function holder(name: string, image: StoryImage, lie?: Lie): Promise<StoryNode> {
  const node = await story.node(
    name,
    lie ? { twist: rooms => hostile(rooms as Parameters<typeof hostile>[0], lie) } : {},
  );
  node.keep(image);
  await story.share();
  return node;
}

/** A node without the image; it has the manifest already, so that only the layer is asked for. */
async function client(image: StoryImage, policy = OPEN_POLICY): Promise<StoryNode> {
  const node = await story.node('client', { policy });
  await story.get(node, story.manifest(image));
  node.asked.length = 0;
  return node;
}

/** Stops what `name` gives of large contents at `position`, until `go` is called. */
function gate(name: string, position: number): () => void {
  const open = Promise.withResolvers<void>();
  story.hub.tamper(name, async (bytes, at) => {
    if (at >= position && bytes.length === MIB) await open.promise;
    return bytes;
  });
  return () => open.resolve();
}

/** From `position` on, `name` gives nothing; its lane notices five seconds after the last byte, half a chunk later. */
function stall(name: string, position: number): void {
  story.hub.tamper(name, async (bytes, at) => {
    if (at < position || bytes.length < MIB) return bytes;
    await story.world.sleep(5_500);
    throw new MirrorError('LANE_STALLED', `${name} sends nothing`);
  });
}

const is = (code: Code) => (error: unknown) => hasCode(error, code);
const layerOf = (image: StoryImage): { digest: Digest; bytes: Buffer } => {
  const { digest } = image.layers[0]!;
  return { digest, bytes: Buffer.from(image.contents.get(digest)!) };
};

void test('with one voucher nothing goes out before the whole is proved', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await holder('a', image);
  const node = await client(image);
  const go = gate('a', 3 * MIB);
  const answer = await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  const [fetch] = node.rooms.fetches.list();
  assert.deepEqual([fetch!.checked, fetch!.watermark], [3 * MIB, 0]);
  const got = take(answer);
  await story.world.settle();
  assert.equal(fetch!.watermark, 0);
  go();
  const { whole, bytes } = await story.until(got);
  assert.ok(whole && bytes.equals(layerOf(image).bytes));
});

void test('with two vouchers bytes go out as they are checked', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await holder('a', image);
  await holder('b', image);
  const node = await client(image);
  gate('a', 3 * MIB);
  gate('b', 3 * MIB);
  const { body } = await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  await story.world.settle();
  assert.equal(await body!.upTo(0), 3 * MIB);
  assert.equal(await body!.read(new Uint8Array(MIB), 3 * MIB), 0);
  await body!.close(3 * MIB);
});

void test('two nodes of which one may not attest are one voucher', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await holder('a', image);
  const mute = await story.node('b', { roles: ['fetch', 'serve'] });
  mute.keep(image);
  await story.share();
  const node = await client(image);
  gate('a', 3 * MIB);
  gate('b', 3 * MIB);
  await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  assert.equal(node.rooms.fetches.list()[0]!.watermark, 0);
});

void test('this node’s own earlier hash is enough alone', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await holder('a', image);
  const node = await client(image);
  const { digest, bytes } = layerOf(image);
  node.store.put(bytes);
  const content = await node.rooms.store.open(digest);
  await node.rooms.hashes.prove(content!, node.rooms.life);
  node.store.drop(digest);
  const go = gate('a', 3 * MIB);
  const answer = await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  await story.world.settle();
  assert.equal(node.rooms.fetches.list()[0]!.watermark, 3 * MIB);
  go();
  assert.ok((await story.until(take(answer))).bytes.equals(bytes));
});

void test('roots that differ stop the stream until the whole is proved; then the false signer is refuted, and the next layer streams', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB, 4 * MIB] });
  await holder('a', image);
  await holder('b', image);
  await holder('liar', image, 'proof');
  const node = await client(image);
  const first = image.layers[0]!.digest;
  assert.equal(node.rooms.peers.holders(first).length, 3);
  const go = ['a', 'b'].map(name => gate(name, 3 * MIB));
  const answer = await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  assert.equal(node.rooms.fetches.get(first)!.watermark, 0);
  go.forEach(open => open());
  assert.ok((await story.until(take(answer))).bytes.equals(layerOf(image).bytes));
  await story.share();
  const liars = node.audit.of('lie.found').map(({ node: name, kind }) => `${name} ${kind}`);
  assert.deepEqual(liars, ['liar proof']);
  assert.equal(node.rooms.evidence.list()[0]!.digest, first);
  assert.ok(node.rooms.evidence.list()[0]!.own);
  ['a', 'b'].map(name => gate(name, 3 * MIB));
  await story.until(story.ask(node, story.blob(image, image.layers[1]!)));
  await story.world.settle();
  assert.equal(node.rooms.fetches.get(image.layers[1]!.digest)!.watermark, 3 * MIB);
});

void test('a lie about a chunk is left at the last proved MiB, and another goes on from there', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await holder('liar', image, 'chunk');
  await holder('honest', image);
  const node = await client(image);
  const { digest, bytes } = layerOf(image);
  const got = await story.get(node, story.blob(image, image.layers[0]!));
  assert.ok(got.whole && got.bytes.equals(bytes));
  assert.deepEqual(
    node.asked.map(({ from, offset }) => `${from} ${offset / MIB}`),
    ['liar 0', 'honest 3'],
  );
  const [lie, ...more] = node.audit.of('lie.found');
  assert.deepEqual(
    [lie!.node, lie!.kind, lie!.code, lie!.digest, more.length],
    ['liar', 'chunk', 'CHUNK_MISMATCH', digest, 0],
  );
  assert.deepEqual(node.rooms.evidence.list(), []);
});

void test('who lied about a chunk is asked last from then on', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB, 4 * MIB] });
  await holder('liar', image, 'chunk');
  await holder('honest', image);
  const node = await client(image);
  await story.get(node, story.blob(image, image.layers[0]!));
  node.asked.length = 0;
  await story.get(node, story.blob(image, image.layers[1]!));
  assert.deepEqual(
    node.asked.map(({ from }) => from),
    ['honest'],
  );
});

void test('a false proof of the only holder ends as not here, with no byte, and the liar is named by evidence', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await holder('liar', image, 'proof');
  const node = await client(image);
  const { digest } = layerOf(image);
  await assert.rejects(story.get(node, story.blob(image, image.layers[0]!)), error => {
    assert.ok(error instanceof MirrorError);
    return error.kind === 'hostile' || error.kind === 'absent';
  });
  assert.equal(node.audit.of('pull.started').filter(event => event.digest === digest).length, 0);
  const [evidence] = node.rooms.evidence.list();
  assert.equal(evidence!.peer, node.rooms.peers.status()[0]!.node.peer);
  assert.ok(evidence!.statement.length > 0);
  assert.deepEqual(
    node.audit.of('lie.found').map(({ node: name, kind }) => `${name} ${kind}`),
    ['liar proof'],
  );
  assert.deepEqual(node.rooms.spool.list().includes(digest), false);
});

void test('a proof that is not the signed one is a lie by name, and nothing is taken under it', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  const a = await holder('a', image);
  const node = await client(image);
  const { digest, bytes } = layerOf(image);
  const other = new Prover('sha256');
  other.update(Buffer.from(bytes).fill(0, 0, 1));
  const list = Buffer.from(other.finish().list);
  bytes.copy(list, list.length, 0, 0);
  Buffer.from(digest.slice(7), 'hex').copy(list, list.length - 32);
  const { node: self } = a;
  story.hub.connect('a', true);
  a.giver.proof = async () => ({ digest, size: bytes.length, list });
  await assert.rejects(story.get(node, story.blob(image, image.layers[0]!)), is('PROOF_INVALID'));
  assert.deepEqual(node.asked, []);
  assert.deepEqual(
    node.audit.of('lie.found').map(({ peer, kind }) => [peer, kind]),
    [[self.peer, 'proof']],
  );
});

void test('who dies is replaced by another from the last proved MiB', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await holder('dying', image, 'die');
  await holder('b', image);
  const node = await client(image);
  const got = await story.get(node, story.blob(image, image.layers[0]!));
  assert.ok(got.whole && got.bytes.equals(layerOf(image).bytes));
  assert.deepEqual(
    node.asked.map(({ from, offset }) => `${from} ${offset / MIB}`),
    ['dying 0', 'b 3'],
  );
});

void test('who stalls costs time alone: the answer waits for the next holder', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await holder('stalling', image);
  await holder('b', image);
  const node = await client(image);
  stall('stalling', 3 * MIB);
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
  await holder('b', image);
  const node = await client(image);
  stall('mute', 0);
  const got = await story.get(node, story.blob(image, image.layers[0]!));
  assert.ok(got.whole && got.bytes.equals(layerOf(image).bytes));
});

void test('who trickles is left before the client is: a lane may last, a chunk must come', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await holder('trickling', image);
  await holder('b', image);
  const node = await client(image);
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

void test('where all who hold it stall, the answer ends within fifteen seconds', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  const names = ['a', 'b', 'c', 'd', 'e'];
  for (const name of names) await holder(name, image);
  const node = await client(image);
  for (const name of names) stall(name, 2 * MIB);
  const began = story.world.now();
  const got = await story.get(node, story.blob(image, image.layers[0]!));
  assert.deepEqual([got.whole, got.bytes.length], [false, 2 * MIB]);
  assert.ok(story.world.now() - began < 15_000, String(story.world.now() - began));
});

void test('with no holder left in mid-stream the answer ends after the proved bytes, and the rest is not here', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await holder('a', image, 'die');
  await holder('b', image, 'die');
  const node = await client(image);
  const path = story.blob(image, image.layers[0]!);
  const got = await story.get(node, path);
  assert.deepEqual([got.whole, got.bytes.length], [false, 3 * MIB]);
  assert.ok(got.bytes.equals(layerOf(image).bytes.subarray(0, 3 * MIB)));
  await assert.rejects(story.get(node, path, { range: `bytes=${3 * MIB}-` }), is('CONTENT_ABSENT'));
  assert.deepEqual(node.audit.of('pull.ended').at(-1)!.outcome, 'cut');
});

void test('bytes of another size than the proved manifest says are not asked for', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  const a = await holder('a', image);
  const node = await client(image);
  const { digest } = layerOf(image);
  const [held] = node.rooms.peers.holders(digest);
  await a.rooms.peers.hold([{ digest, size: 5 * MIB, root: held!.root }]);
  await assert.rejects(story.get(node, story.blob(image, image.layers[0]!)), is('CONTENT_ABSENT'));
  assert.deepEqual(node.asked, []);
});

void test('a disk that fails ends the answer, not the node', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await holder('a', image);
  await holder('b', image);
  const node = await client(image);
  const go = ['a', 'b'].map(name => gate(name, 2 * MIB));
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
  await holder('a', image);
  await holder('b', image);
  const node = await client(image);
  const go = gate('a', MIB);
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
  await holder('a', image, 'die');
  const node = await client(image);
  const remove = node.disk.remove.bind(node.disk);
  node.disk.remove = () => Promise.reject(new MirrorError('FILE_UNREADABLE', 'the disk is broken'));
  await assert.rejects(story.get(node, story.blob(image, image.layers[0]!)), MirrorError);
  node.disk.remove = remove;
  assert.deepEqual(node.rooms.fetches.list(), []);
});

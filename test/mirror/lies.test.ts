/** Peers that lie about chunks and proofs: what went out, who is named, and whom that costs. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { MirrorError } from '../../src/errors.ts';
import { Prover } from '../../src/proof/proof.ts';
import { Cast, is, layerOf, NAME } from './cast.ts';
import { MIB, OPEN_POLICY, storyImage, take } from './story-node.ts';

let story: Cast;
beforeEach(() => {
  story = new Cast();
});
afterEach(() => story.end());

void test('roots that differ stop the stream until the whole is proved; then the false signer is refuted, and the next layer streams', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB, 4 * MIB] });
  await story.holder('a', image);
  await story.holder('b', image);
  await story.holder('liar', image, 'proof');
  const node = await story.client(image);
  const first = image.layers[0]!.digest;
  assert.equal(node.rooms.peers.holders(first).length, 3);
  const go = ['a', 'b'].map(name => story.gate(name, 3 * MIB));
  const answer = await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  assert.equal(node.rooms.fetches.get(first)!.watermark, 0);
  go.forEach(open => open());
  assert.ok((await story.until(take(answer))).bytes.equals(layerOf(image).bytes));
  await story.share();
  const liars = node.audit.of('lie.found').map(({ node: name, kind }) => `${name} ${kind}`);
  assert.deepEqual(liars, ['liar proof']);
  assert.equal(node.rooms.evidence.list()[0]!.digest, first);
  assert.ok(node.rooms.evidence.list()[0]!.own);
  ['a', 'b'].map(name => story.gate(name, 3 * MIB));
  await story.until(story.ask(node, story.blob(image, image.layers[1]!)));
  await story.world.settle();
  assert.equal(node.rooms.fetches.get(image.layers[1]!.digest)!.watermark, 3 * MIB);
});

void test('a lie about a chunk is left at the last proved MiB, and another goes on from there', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  await story.holder('liar', image, 'chunk');
  await story.holder('honest', image);
  const node = await story.client(image);
  const { digest, bytes } = layerOf(image);
  const got = await story.get(node, story.blob(image, image.layers[0]!));
  assert.ok(got.whole && got.bytes.equals(bytes));
  assert.deepEqual(
    node.asked.map(({ from, offset }) => `${from} ${offset / MIB}`),
    ['liar 0', 'honest 3'],
  );
  const [lie, ...more] = node.audit.of('lie.found');
  assert.deepEqual(
    [lie?.node, lie?.kind, lie?.code, lie?.digest, more.length],
    ['liar', 'chunk', 'CHUNK_MISMATCH', digest, 0],
  );
  assert.deepEqual(node.rooms.evidence.list(), []);
});

void test('who lied about a chunk is asked last from then on', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB, 4 * MIB] });
  await story.holder('liar', image, 'chunk');
  await story.holder('honest', image);
  const node = await story.client(image);
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
  await story.holder('liar', image, 'proof');
  const node = await story.client(image);
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
  const a = await story.holder('a', image);
  const node = await story.client(image);
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

void test('after a false proof the next holder starts again from nothing, under its own proof', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  await story.holder('liar', image, 'proof');
  await story.holder('a', image);
  const node = await story.client(image);
  const got = await story.get(node, story.blob(image, image.layers[0]!));
  assert.ok(got.whole && got.bytes.equals(layerOf(image).bytes));
  assert.deepEqual(
    node.asked.map(({ from, offset }) => `${from} ${offset / MIB}`),
    ['liar 0', 'a 0'],
  );
});

void test('a proof that contradicts itself refutes all who signed it: none of them is asked again', async () => {
  const image = storyImage(NAME, { layers: [4 * MIB] });
  for (const name of ['first', 'second']) await story.holder(name, image, 'proof');
  const node = await story.client(image, OPEN_POLICY.replace('vouchers: 2', 'vouchers: 3'));
  await assert.rejects(story.get(node, story.blob(image, image.layers[0]!)), is('PROOF_REFUTED'));
  assert.deepEqual(
    node.asked.map(({ from }) => from),
    ['first'],
  );
  assert.deepEqual(
    node.audit.of('lie.found').map(({ node: name }) => name),
    ['first', 'second'],
  );
});

void test('once bytes went out no other root goes on, whoever holds it', async () => {
  const image = storyImage(NAME, { layers: [6 * MIB] });
  for (const name of ['a', 'b']) await story.holder(name, image, 'die');
  const node = await story.client(image);
  const go = story.gate('a', 2 * MIB);
  const answer = await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  await story.world.settle();
  assert.equal(await answer.body!.upTo(0), 2 * MIB);
  await story.holder('liar', image, 'proof');
  go();
  const got = await story.until(take(answer));
  assert.equal(got.whole, false);
  assert.ok(got.bytes.equals(layerOf(image).bytes.subarray(0, got.bytes.length)));
  assert.equal(node.audit.of('pull.ended').at(-1)!.outcome, 'cut');
  assert.deepEqual(
    node.asked.map(({ from }) => from),
    ['a', 'b'],
  );
});

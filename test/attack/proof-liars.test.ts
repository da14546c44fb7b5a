/**
 * Nodes that sign false proofs: one for everything it has, two beside one honest holder, proofs of impossible sizes and
 * lengths, and such as are false in part. What went out, who is named, and what it costs the next pull.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type Digest, lengthOf, OCI_LAYER } from '../../src/oci/oci.ts';
import type { Giver } from '../../src/peers/peers.ts';
import { type Proof, Prover, rootOf } from '../../src/proof/proof.ts';
import { Cast, is, layerOf, NAME } from '../mirror/cast.ts';
import { MIB, OPEN_POLICY, type StoryImage, storyImage, type StoryNode, take } from '../mirror/story-node.ts';

const WIDTH = lengthOf('sha256');
const TEN_TB = 10 * 2 ** 40;

let story: Cast;
beforeEach(() => {
  story = new Cast();
});
afterEach(() => story.end());

const proofOf = (bytes: Uint8Array): Proof => {
  const prover = new Prover('sha256');
  prover.update(bytes);
  return prover.finish();
};
/** `proof` with the entries changed that `which` says: 0, 2, … are digests of chunks, 1, 3, … of prefixes. */
const altered = (proof: Proof, which: (entry: number) => boolean): Proof => {
  const list = Buffer.from(proof.list);
  for (let entry = 0; entry * WIDTH < list.length; entry++) if (which(entry)) list[entry * WIDTH]! ^= 1;
  return { ...proof, list };
};
const named = (node: StoryNode): string[] =>
  node.audit.of('lie.found').map(({ node: name, kind, code }) => `${name} ${kind} ${code}`);
const refuted = (node: StoryNode): Digest[] => node.rooms.evidence.list().map(({ digest }) => digest);

/** A node that signs `proof` for `digest`, and gives `bytes`. */
async function signer(name: string, digest: Digest, proof: Proof, bytes: Uint8Array): Promise<void> {
  const peers = story.hub.join(name);
  const giver: Giver = {
    give: async () => ({
      read: async (into, position) => {
        const part = bytes.subarray(position, position + into.length);
        into.set(part);
        return part.length;
      },
      done: async () => undefined,
    }),
    proof: async () => proof,
    referrers: async () => [],
    doubt: () => undefined,
  };
  peers.serve(giver);
  await peers.hold([{ digest, size: proof.size, root: rootOf(proof) }]);
}

/** A client of that name that has the manifest. */
async function client(name: string, image: StoryImage, policy = OPEN_POLICY): Promise<StoryNode> {
  const node = await story.node(name, { policy });
  await story.get(node, story.manifest(image));
  node.asked.length = 0;
  return node;
}

void describe('one holder of five that signs false roots for everything', () => {
  const image = storyImage(NAME, { layers: [3 * MIB, 3 * MIB, 4 * MIB] });

  void it('makes each node take one layer whole first, is refuted by it, and holds up no later one', async () => {
    for (const name of ['a', 'b', 'c', 'd']) await story.holder(name, image);
    await story.holder('liar', image, 'proof');
    const nodes = [await client('one', image), await client('two', image)];
    for (const node of nodes) {
      const [first, ...later] = image.layers;
      const gates = ['a', 'b', 'c', 'd'].map(name => story.gate(name, 2 * MIB));
      const answer = await story.until(story.ask(node, story.blob(image, first!)));
      const fetch = node.rooms.fetches.get(first!.digest)!;
      assert.deepEqual([fetch.checked, fetch.watermark], [2 * MIB, 0]);
      gates.forEach(open => open());
      assert.ok((await story.until(take(answer))).bytes.equals(layerOf(image).bytes));
      await story.world.settle();
      assert.deepEqual(named(node), ['liar proof PROOF_REFUTED']);
      assert.deepEqual(refuted(node), [first!.digest]);
      assert.equal(node.audit.of('evidence.kept').length, 1);
      for (const layer of later) {
        const closed = ['a', 'b', 'c', 'd'].map(name => story.gate(name, 2 * MIB));
        const streamed = await story.until(story.ask(node, story.blob(image, layer)));
        await story.world.settle();
        assert.equal(node.rooms.fetches.get(layer.digest)!.watermark, 2 * MIB);
        closed.forEach(open => open());
        assert.ok((await story.until(take(streamed))).whole);
      }
    }
  });

  void it('does no more where it is asked first', async () => {
    await story.holder('liar', image, 'proof');
    for (const name of ['a', 'b', 'c', 'd']) await story.holder(name, image);
    const node = await client('one', image);
    for (const layer of image.layers) {
      const got = await story.get(node, story.blob(image, layer));
      assert.ok(got.whole && got.bytes.equals(image.contents.get(layer.digest)!));
    }
    assert.deepEqual(named(node), ['liar proof PROOF_REFUTED']);
    assert.ok(node.asked.slice(1).every(({ from }) => from !== 'liar'));
  });
});

void describe('two liars beside one honest holder', () => {
  const image = storyImage(NAME, { layers: [3 * MIB] });
  const { digest, bytes } = layerOf(image);
  const right = proofOf(bytes);
  const CASES = [
    ['who agree', altered(right, at => at === 1), altered(right, at => at === 1)],
    ['who differ', altered(right, at => at === 1), altered(right, at => at === 3)],
  ] as const;

  for (const vouchers of [2, 3])
    for (const [which, one, two] of CASES)
      void it(`${which} do not keep the content from a node that asks for ${vouchers} vouchers; both are named`, async () => {
        await signer('liar', digest, one, bytes);
        await signer('other', digest, two, bytes);
        await story.holder('honest', image);
        const node = await client('client', image, OPEN_POLICY.replace('vouchers: 2', `vouchers: ${vouchers}`));
        const got = await story.get(node, story.blob(image, image.layers[0]!));
        assert.ok(got.whole && got.bytes.equals(bytes));
        assert.deepEqual(named(node).sort(), ['liar proof PROOF_REFUTED', 'other proof PROOF_REFUTED']);
        assert.deepEqual(refuted(node), [digest, digest]);
        assert.equal(node.audit.of('evidence.kept').length, 2);
      });
});

void describe('a proof', () => {
  const image = storyImage(NAME, { layers: [3 * MIB] });
  const { digest, bytes } = layerOf(image);
  const right = proofOf(bytes);

  void it('of 10 TB is not even asked for where a proved manifest says the size', async () => {
    await signer('liar', digest, { ...right, size: TEN_TB }, bytes);
    await story.holder('honest', image);
    const node = await client('client', image);
    assert.ok((await story.get(node, story.blob(image, image.layers[0]!))).whole);
    assert.deepEqual(
      node.asked.map(({ from }) => from),
      ['honest'],
    );
    await story.world.settle();
    assert.deepEqual(named(node), ['liar proof PROOF_REFUTED']);
  });

  void it('of a layer that a manifest calls 10 TB large finds no room, and nothing is asked for', async () => {
    const { manifest } = image.images[0]!;
    const text = Buffer.from(image.contents.get(manifest.digest)!).toString();
    const huge = Buffer.from(text.replace(`"size":${3 * MIB}`, `"size":${TEN_TB}`));
    const node = await story.node('client');
    const target = node.store.put(huge, manifest.mediaType);
    node.store.name(image.reference, target);
    await story.share();
    await signer('liar', digest, { ...right, size: TEN_TB }, bytes);
    const path = `team/app/blobs/${digest}`;
    await assert.rejects(story.get(node, path), is('SPOOL_FULL'));
    assert.deepEqual([node.asked, node.audit.of('pull.refused').at(-1)!.code], [[], 'SPOOL_FULL']);
  });

  for (const [what, length] of [
    ['too short', -2 * WIDTH],
    ['too long', 2 * WIDTH],
    ['cut within a digest', -1],
    ['empty', -Infinity],
  ] as const)
    void it(`whose list is ${what} is a lie by name, and the next holder gives all`, async () => {
      // It ends in the right digest, whatever its length.
      const list = Buffer.alloc(Math.max(0, right.list.length + length));
      list.set(right.list.subarray(Math.max(0, -length)), Math.max(0, length));
      await signer('liar', digest, { ...right, list }, bytes);
      await story.holder('honest', image);
      const node = await client('client', image);
      const got = await story.get(node, story.blob(image, image.layers[0]!));
      assert.ok(got.whole && got.bytes.equals(bytes));
      await story.world.settle();
      assert.deepEqual(named(node), ['liar proof PROOF_INVALID', 'liar proof PROOF_REFUTED']);
      assert.deepEqual(refuted(node), [digest]);
    });

  void it('with the right last digest and false ones before lets nothing out, though enough nodes sign it', async () => {
    const evil = Buffer.alloc(bytes.length, 'evil');
    const { list } = proofOf(evil);
    const lie = { ...right, list: Buffer.concat([list.subarray(0, -WIDTH), right.list.subarray(-WIDTH)]) };
    for (const name of ['liar', 'other']) await signer(name, digest, lie, evil);
    await story.holder('honest', image);
    const node = await client('client', image);
    const got = await story.get(node, story.blob(image, image.layers[0]!));
    assert.ok(got.whole && got.bytes.equals(bytes));
    assert.deepEqual(named(node), ['liar proof PROOF_REFUTED', 'other proof PROOF_REFUTED']);
  });

  void it('with one false prefix is refuted at that MiB, by bytes that are its own', async () => {
    await signer(
      'liar',
      digest,
      altered(right, at => at === 1),
      bytes,
    );
    const node = await story.node('client');
    node.rooms.catalogue.learn('r.test/team/app' as Parameters<typeof node.rooms.catalogue.learn>[0], image.target, [
      { mediaType: OCI_LAYER, digest, size: bytes.length },
    ]);
    await assert.rejects(story.get(node, story.blob(image, image.layers[0]!)), is('PROOF_REFUTED'));
    assert.deepEqual(named(node), ['liar proof PROOF_REFUTED']);
    assert.equal(node.rooms.evidence.list()[0]!.own, undefined);
  });

  void it('with false digests of chunks and true prefixes hands on right bytes alone; who signed it is named by a hash', async () => {
    const lie = altered(right, at => at % 2 === 0);
    for (const name of ['liar', 'other']) await signer(name, digest, lie, bytes);
    await story.holder('holder', storyImage('r.test/team/bare:1', { layers: [5] }));
    const node = await story.node('client');
    node.rooms.catalogue.learn('r.test/team/app' as Parameters<typeof node.rooms.catalogue.learn>[0], image.target, [
      { mediaType: OCI_LAYER, digest, size: bytes.length },
    ]);
    const got = await story.get(node, story.blob(image, image.layers[0]!));
    assert.ok(got.whole && got.bytes.equals(bytes));
    assert.deepEqual(named(node), []);
    node.keep(image);
    await story.share();
    assert.deepEqual(named(node), ['liar proof PROOF_REFUTED', 'other proof PROOF_REFUTED']);
    assert.ok(node.rooms.evidence.list().every(({ own }) => own === rootOf(right)));
  });
});

/**
 * A layer of two gibibytes and a byte, under a false root of one holder of five: once a small layer has refuted the liar,
 * the large one streams, and comes whole. The layer is zeros, so that nobody stores it; its proof, and every chunk that is
 * handed on, are hashed as any other's.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Descriptor, type Digest, digestOf, OCI_LAYER, OCI_MANIFEST } from '../../src/oci/oci.ts';
import { type Proof, Prover } from '../../src/proof/proof.ts';
import { openSpool } from '../../src/store/spool.ts';
import type { Content, Store } from '../../src/store/store.ts';
import { Cast, layerOf, NAME } from '../mirror/cast.ts';
import {
  MIB,
  type StoryImage,
  storyImage,
  type StoryNode,
  type StoryNodeSettings,
  take,
} from '../mirror/story-node.ts';
import { hostile } from '../support/hostile.ts';
import { zeroDisk } from '../support/zero-disk.ts';

const LARGE_BYTES = 2 ** 31 + 1;
const SMALL = storyImage(NAME, { layers: [3 * MIB] });
const ZEROS = Buffer.alloc(MIB);
const HONEST = ['a', 'b', 'c', 'd'];

/** The proof of so many zeros, hashed. */
function proveZeros(size: number): Proof {
  const prover = new Prover('sha256');
  for (let left = size; left > 0; left -= MIB) prover.update(ZEROS.subarray(0, Math.min(left, MIB)));
  return prover.finish();
}

/** The small image with the large layer added, whose bytes are nowhere. */
function withLayer({ digest, size }: Proof): StoryImage {
  const large: Descriptor = { mediaType: OCI_LAYER, digest, size };
  const layers = [...SMALL.layers, large];
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: SMALL.config, layers }),
  );
  const manifest = { mediaType: OCI_MANIFEST, digest: digestOf(bytes), size: bytes.length };
  const contents = new Map(SMALL.contents);
  contents.delete(SMALL.target.digest);
  contents.set(manifest.digest, bytes);
  return { ...SMALL, target: manifest, layers, contents, images: [{ platform: '', manifest, layers }] };
}

/** Rooms in which `large` is in the store, and was hashed to `proof`; everything else as in `rooms`. */
function having(large: Digest, proof: Proof): NonNullable<StoryNodeSettings['twist']> {
  const content: Content = {
    digest: large,
    size: LARGE_BYTES,
    stamp: 'zeros',
    read: async (into, position) => {
      const part = into.subarray(0, LARGE_BYTES - position);
      part.fill(0);
      return part.length;
    },
    close: async () => undefined,
  };
  return ({ store, hashes }) => {
    const holding: Store = {
      kind: store.kind,
      images: () => store.images(),
      open: async digest => (digest === large ? content : store.open(digest)),
      watch: (changed, signal) => store.watch(changed, signal),
    };
    return {
      store: holding,
      hashes: {
        prove: async (asked, signal) => (asked.digest === large ? proof : hashes.prove(asked, signal)),
        again: async (asked, signal) => (asked.digest === large ? proof : hashes.again(asked, signal)),
        known: async digest => (digest === large ? proof : hashes.known(digest)),
      },
    };
  };
}

/** Takes a body of zeros without keeping it: how many bytes came, and that each was 0. */
async function drain({ body }: Awaited<ReturnType<Cast['ask']>>): Promise<number> {
  const into = Buffer.alloc(MIB);
  let at = 0;
  for (let limit = await body!.upTo(at); limit !== undefined && at < body!.end; limit = await body!.upTo(at)) {
    const read = await body!.read(into.subarray(0, Math.min(MIB, limit - at)), at);
    assert.equal(ZEROS.compare(into, 0, read, 0, read), 0);
    at += read;
  }
  await body!.close(at);
  return at;
}

/** Turns until `work` is done, without moving the clock. */
async function turning<T>(story: Cast, work: Promise<T>): Promise<T> {
  let open = true;
  const close = (): void => void (open = false);
  work.then(close, close);
  while (open) await story.world.settle();
  return work;
}

async function largeSpool(node: StoryNode, story: Cast): Promise<void> {
  Object.assign(node.rooms, { spool: await openSpool(zeroDisk(), '/spool', 2 * LARGE_BYTES, story.world) });
}

void test('after one small layer has refuted the liar, a layer of 2 GiB and a byte streams on each node', async () => {
  const story = new Cast();
  try {
    const proof = proveZeros(LARGE_BYTES);
    const image = withLayer(proof);
    const [small, large] = image.layers;
    const falsified = Buffer.from(proof.list);
    falsified[40]! ^= 1;
    for (const name of HONEST)
      (await story.node(name, { kind: 'containerd', twist: having(proof.digest, proof) })).keep(image);
    const lie = having(proof.digest, { ...proof, list: falsified });
    const twist: NonNullable<StoryNodeSettings['twist']> = rooms =>
      lie(hostile(rooms as Parameters<typeof hostile>[0], 'proof'));
    (await story.node('liar', { kind: 'containerd', twist })).keep(image);
    await story.share();
    const clients = [await story.node('one', { kind: 'containerd' }), await story.node('two', { kind: 'containerd' })];
    for (const node of clients) {
      await largeSpool(node, story);
      await story.get(node, story.manifest(image));
      const gates = HONEST.map(name => story.gate(name, 2 * MIB));
      const first = await story.until(story.ask(node, story.blob(image, small!)));
      assert.equal(node.rooms.fetches.get(small!.digest)!.watermark, 0);
      gates.forEach(open => open());
      assert.ok((await story.until(take(first))).bytes.equals(layerOf(SMALL).bytes));
      await story.world.settle();
      assert.deepEqual(
        node.audit.of('lie.found').map(({ node: name, kind, code }) => `${name} ${kind} ${code}`),
        ['liar proof PROOF_REFUTED'],
      );
      assert.equal(node.rooms.peers.holders(proof.digest).length, 5);
      const closed = HONEST.map(name => story.gate(name, 3 * MIB));
      const answer = await story.until(story.ask(node, story.blob(image, large!)));
      await story.world.settle();
      assert.equal(node.rooms.fetches.get(proof.digest)!.watermark, 3 * MIB);
      closed.forEach(open => open());
      // One of them takes all of it; the other has shown what it had to.
      if (node === clients[0]) assert.equal(await turning(story, drain(answer)), LARGE_BYTES);
      else await answer.body!.close(0);
      node.stop();
    }
  } finally {
    await story.end();
  }
});

/**
 * Holders that hide an honest one behind false sizes of a manifest, or bring nothing: the manifest comes in time all the
 * same, and who signed what is false is named, refuted, and asked last.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Code, hasCode, MirrorError } from '../../src/errors.ts';
import type { Digest } from '../../src/oci/oci.ts';
import type { Giver } from '../../src/peers/peers.ts';
import { proofOfOneChunk, rootOf } from '../../src/proof/proof.ts';
import { Story, type StoryNode, storyImage } from '../mirror/story-node.ts';

const IMAGE = storyImage('r.test/team/app:1', { layers: [10] });
const OTHER = storyImage('r.test/team/other:1', { layers: [11] });
const NAMES = 'abcdefghijk'.split('');
/** A client's manifest is waited for so long. */
const MANIFEST_MS = 12_000;

let story: Story;
beforeEach(() => {
  story = new Story();
});
afterEach(() => story.end());

const is = (code: Code) => (error: unknown) => hasCode(error, code);
const never = new Promise<never>(() => undefined);

/** A node that says it has `digest` in `size` bytes, and gives what `bytes` says for each read. */
async function liar(name: string, digest: Digest, size: number, bytes: () => Promise<Uint8Array>): Promise<void> {
  const peers = story.hub.join(name);
  const giver: Giver = {
    give: async () => ({
      read: async into => {
        into.set((await bytes()).subarray(0, into.length));
        return into.length;
      },
      done: async () => undefined,
    }),
    proof: () => never,
    referrers: async () => [],
    doubt: () => undefined,
  };
  peers.serve(giver);
  await peers.hold([{ digest, size, root: rootOf(proofOfOneChunk(digest, size)!) }]);
}

async function honest(...images: (typeof IMAGE)[]): Promise<StoryNode> {
  const node = await story.node('honest');
  for (const image of images) node.keep(image);
  await story.share();
  return node;
}

const named = (node: StoryNode): string[] =>
  node.audit.of('lie.found').map(({ node: name, kind, code }) => `${name} ${kind} ${code}`);

void test('eleven nodes that say eleven false sizes and then bring nothing hide no honest holder: each is refuted', async () => {
  const { digest, size } = IMAGE.target;
  for (const [at, name] of NAMES.entries()) await liar(name, digest, size + 1 + at, () => never);
  await honest(IMAGE);
  const node = await story.node('client');
  const got = await story.until(
    story.ask(node, story.manifest(IMAGE, digest)).then(answer => answer.descriptor),
    MANIFEST_MS,
  );
  assert.equal(got.size, size);
  assert.deepEqual(
    named(node).sort(),
    NAMES.map(name => `${name} proof PROOF_REFUTED`),
  );
  assert.deepEqual(
    node.audit.of('evidence.kept').map(({ digest: of }) => of),
    NAMES.map(() => digest),
  );
  assert.ok(node.rooms.evidence.list().every(({ own }) => own === rootOf(proofOfOneChunk(digest, size)!)));
});

void test('who was refuted by a size is asked after the honest one, also after a restart', async () => {
  const first = IMAGE.target;
  const second = OTHER.target;
  await liar('a', first.digest, first.size + 1, () => never);
  await honest(IMAGE, OTHER);
  const before = await story.node('client');
  await story.get(before, story.manifest(IMAGE, first.digest));
  before.stop();
  await liar('a', second.digest, second.size + 1, () => never);
  const node = await story.node('client', { again: before });
  await story.get(node, story.manifest(OTHER, second.digest));
  assert.deepEqual(
    node.asked.map(({ from }) => from),
    ['honest'],
  );
});

void test('eleven nodes that say the right size and bring nothing cost time, and no pull', async () => {
  const { digest, size } = IMAGE.target;
  for (const name of NAMES) await liar(name, digest, size, () => never);
  await honest(IMAGE);
  const node = await story.node('client');
  await story.until(story.ask(node, story.manifest(IMAGE, digest)), MANIFEST_MS);
  assert.equal(node.asked.length, NAMES.length + 1);
  assert.deepEqual(named(node), []);
  assert.deepEqual(node.rooms.evidence.list(), []);
});

void test('bytes that have another digest are named, and another holder gives the manifest', async () => {
  const { digest, size } = IMAGE.target;
  for (const name of ['a', 'b']) await liar(name, digest, size, async () => Buffer.alloc(size, name));
  await honest(IMAGE);
  const node = await story.node('client');
  const got = await story.get(node, story.manifest(IMAGE, digest));
  assert.deepEqual(got.bytes, Buffer.from(IMAGE.contents.get(digest)!));
  assert.deepEqual(named(node), ['a chunk CHUNK_MISMATCH', 'b chunk CHUNK_MISMATCH']);
  assert.deepEqual(node.rooms.evidence.list(), []);
});

void test('where all lie, the answer is not here, and the refusal says why', async () => {
  const { digest, size } = IMAGE.target;
  for (const [at, name] of NAMES.entries()) await liar(name, digest, size + at, async () => Buffer.alloc(size + at));
  const node = await story.node('client');
  await assert.rejects(story.get(node, story.manifest(IMAGE, digest)), is('CHUNK_MISMATCH'));
  assert.equal(named(node).length, NAMES.length);
  assert.deepEqual(
    node.audit.of('pull.refused').map(({ code }) => code),
    ['CHUNK_MISMATCH'],
  );
  assert.deepEqual(node.audit.of('pull.started'), []);
});

void test('all who ask for a manifest at once share one run, and nobody else waits for those who bring nothing', async () => {
  const { digest, size } = IMAGE.target;
  await liar('a', digest, size, () => never);
  await honest(IMAGE);
  const node = await story.node('client');
  const asks = [1, 2, 3].map(() => story.ask(node, story.manifest(IMAGE, digest)));
  await story.until(Promise.all(asks), 1_000);
  assert.deepEqual(
    node.asked.map(({ from }) => from),
    ['a', 'honest'],
  );
});

void test('a holder that refuses a lane is "not here" to a client, never "denied": that word is policy’s alone', async () => {
  const { digest, size } = IMAGE.target;
  await liar('a', digest, size, () => Promise.reject(new MirrorError('LANE_REFUSED', 'no lane for you')));
  const node = await story.node('client');
  await assert.rejects(story.get(node, story.manifest(IMAGE, digest)), is('CONTENT_ABSENT'));
  assert.deepEqual(
    node.audit.of('pull.refused').map(({ code }) => code),
    ['CONTENT_ABSENT'],
  );
});

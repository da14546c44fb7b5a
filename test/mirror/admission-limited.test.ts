/** What is shared with some: who is not among them sees absence everywhere, and no byte of it. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { Node } from '../../src/oci/oci.ts';
import { MIB, type StoryNode, storyImage } from './story-node.ts';
import { Admission, attach, is, KEYS, NAME, PLATFORM, policy, signatureBy } from './admission.ts';

const IMAGE = storyImage(NAME, { layers: [2 * MIB] });
const { digest } = IMAGE.target;
const GOOD = signatureBy(PLATFORM, digest);
const limited = (share: string): string => policy(`share: ${share}, tags: {min: 1, keep: 7d}`);

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

const holder = (share: string): Promise<StoryNode> => story.holder('holder', IMAGE, limited(share), [GOOD]);

/** A peer sees nothing at all: not that it is there, not its bytes, proofs, what is attached, nor its tag. */
async function seesNothing(node: StoryNode, peer: ReturnType<typeof story.hub.join>): Promise<void> {
  for (const one of [...IMAGE.contents.keys(), GOOD.digest, ...GOOD.contents.keys()]) {
    assert.deepEqual(peer.holders(one), []);
    const before = node.audit.of('serve.refused').length;
    await assert.rejects(node.giver.give(peer.node, one, 0, 1), is('CONTENT_ABSENT'));
    await assert.rejects(node.giver.proof(peer.node, one), is('CONTENT_ABSENT'));
    assert.deepEqual(
      node.audit
        .of('serve.refused')
        .slice(before)
        .map(({ code }) => code),
      ['NOT_SHARED', 'NOT_SHARED'],
    );
  }
  assert.deepEqual(await node.giver.referrers(peer.node, digest), []);
  assert.deepEqual(peer.statedTags(), []);
}

/** A peer sees all of it, but no tag: those go to everybody, or to nobody. */
async function seesAll(node: StoryNode, peer: ReturnType<typeof story.hub.join>): Promise<void> {
  for (const one of IMAGE.contents.keys()) {
    assert.equal(peer.holders(one)[0]?.node.name, node.name);
    await (await node.giver.give(peer.node, one, 0, 1)).done(0);
    assert.ok(await node.giver.proof(peer.node, one));
  }
  assert.deepEqual(
    (await node.giver.referrers(peer.node, digest)).map(one => one.digest),
    [GOOD.digest],
  );
  for (const one of [GOOD.digest, ...GOOD.contents.keys()]) await (await node.giver.give(peer.node, one, 0, 1)).done(0);
  assert.deepEqual(peer.statedTags(), []);
}

void test('an image that is shared with a zone is absent for every node of another, and of none (NOT_SHARED)', async () => {
  const node = await holder('{zones: [a, b]}');
  for (const zone of ['a', 'b']) await seesAll(node, story.hub.join(`in-${zone}`, undefined, zone));
  for (const [name, zone] of [
    ['elsewhere', 'c'],
    ['longer', 'ab'],
    ['nowhere', undefined],
  ] as const)
    await seesNothing(node, story.hub.join(name, undefined, zone));
});

void test('an image that is shared with a role is absent for every node without it (NOT_SHARED)', async () => {
  const node = await holder('{roles: [attest]}');
  await seesAll(node, story.hub.join('with', ['fetch', 'attest']));
  await seesNothing(node, story.hub.join('without', ['fetch', 'serve']));
});

void test('zone and role must both fit (NOT_SHARED)', async () => {
  const node = await holder('{zones: [a], roles: [attest]}');
  await seesAll(node, story.hub.join('both', ['fetch', 'attest'], 'a'));
  await seesNothing(node, story.hub.join('zone', ['fetch'], 'a'));
  await seesNothing(node, story.hub.join('role', ['fetch', 'attest'], 'b'));
});

void test('a pull by a node of another zone finds nobody, by whatever policy it has (CONTENT_ABSENT)', async () => {
  await holder('{zones: [a]}');
  const node = await story.reader();
  await story.refuses(node, IMAGE, 'TAG_UNDECIDED');
  await story.refuses(node, IMAGE, 'CONTENT_ABSENT', digest);
  assert.deepEqual(node.asked, []);
});

void test('what is larger than maxBytes is neither told nor given; the rest is (NOT_SHARED)', async () => {
  const node = await holder('{maxBytes: 1MiB}');
  const peer = story.hub.join('peer');
  const large = IMAGE.layers[0]!.digest;
  assert.deepEqual([...node.told.holdings].sort(), [...IMAGE.contents.keys()].filter(one => one !== large).sort());
  await assert.rejects(node.giver.give(peer.node, large, 0, 1), is('CONTENT_ABSENT'));
  await assert.rejects(node.giver.proof(peer.node, large), is('CONTENT_ABSENT'));
  assert.deepEqual(
    node.audit.of('serve.refused').map(({ code }) => code),
    ['NOT_SHARED', 'NOT_SHARED'],
  );
  await (await node.giver.give(peer.node, digest, 0, 1)).done(0);
});

void test('a content that one image limits and another does not is for all; that of the limited one alone is not', async () => {
  const free = storyImage('r.test/free/app:1', { layers: [2 * MIB, 5], seed: NAME });
  const text = limited('{zones: [a]}').replace(
    'rules:\n',
    'rules:\n  - { name: free, match: r.test/free/**, share: cluster }\n',
  );
  const node = await story.node('holder', { policy: text, files: KEYS });
  await attach(node, GOOD);
  node.keep(IMAGE);
  node.keep(free);
  await story.share();
  const peer = story.hub.join('elsewhere', undefined, 'c');
  const common = IMAGE.layers[0]!.digest;
  assert.ok(free.contents.has(common));
  assert.equal(peer.holders(common).length, 1);
  assert.deepEqual(peer.holders(digest), []);
  await assert.rejects(node.giver.give(peer.node, digest, 0, 1), is('CONTENT_ABSENT'));
});

void test('a node that moves to another zone is given nothing from then on, also of what is open (CONTENT_ABSENT)', async () => {
  const node = await holder('{zones: [a]}');
  const { node: peer } = story.hub.join('moves', undefined, 'a');
  await (await node.giver.give(peer, digest, 0, 1)).done(0);
  const moved: Node = { ...peer, zone: 'b' };
  await assert.rejects(node.giver.give(moved, digest, 0, 1), is('CONTENT_ABSENT'));
});

void test('a limit that a reload brings takes the image from those who are not in it, transfers too (CONTENT_ABSENT)', async () => {
  const node = await holder('cluster');
  const [inside, outside] = [story.hub.join('inside', undefined, 'a'), story.hub.join('outside', undefined, 'b')];
  const gifts = await Promise.all([inside, outside].map(({ node: of }) => node.giver.give(of, digest, 0, 1)));
  node.decree(limited('{zones: [a]}'));
  await story.share();
  assert.equal(await gifts[0]!.read(new Uint8Array(1), 0), 1);
  await assert.rejects(async () => gifts[1]!.read(new Uint8Array(1), 0), is('CONTENT_ABSENT'));
  await Promise.all(gifts.map(gift => gift.done(0)));
  await seesAll(node, inside);
  await seesNothing(node, outside);
});

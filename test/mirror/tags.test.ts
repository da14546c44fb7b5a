/** How a tag becomes a digest, and what a node says of a tag itself. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import { why } from '../../src/mirror/mirror.ts';
import { parseReference, parseTagReference } from '../../src/oci/oci.ts';
import { CLOCK_SKEW_MS } from '../../src/world.ts';
import { MIB, OPEN_POLICY, Story, type StoryImage, type StoryNode, storyImage } from './story-node.ts';

const NAME = 'r.test/team/app:1';
const SMALL = { layers: [1000] };
const TWO = OPEN_POLICY.replace('min: 1', 'min: 2');
const PINS = 'registries: [r.test]\nshare: [r.test/**]\n';
let story: Story;
beforeEach(() => {
  story = new Story();
});
afterEach(() => story.end());

const is = (code: Code) => (error: unknown) => hasCode(error, code);

async function holder(name: string, image: StoryImage, more?: { fetched?: boolean }): Promise<StoryNode> {
  const node = await story.node(name);
  await story.world.advance(10);
  node.keep(image, more);
  await story.share();
  return node;
}

void test('one node’s word makes a tag where policy says so, and the answer is recorded first', async () => {
  const image = storyImage(NAME, SMALL);
  await holder('a', image);
  const node = await story.node('client');
  const got = await story.get(node, story.manifest(image));
  assert.equal(got.answer.descriptor.digest, image.target.digest);
  assert.deepEqual(
    node.audit.events.map(({ event }) => event).filter(event => event === 'tag.resolved' || event === 'pull.started'),
    ['tag.resolved', 'pull.started'],
  );
  assert.deepEqual(
    node.audit.of('tag.resolved').map(({ reference, by }) => [reference, by]),
    [[NAME, 'statements']],
  );
});

void test('where two are needed, one does not decide and two do', async () => {
  const image = storyImage(NAME, SMALL);
  await holder('a', image);
  const node = await story.node('client', { policy: TWO });
  await assert.rejects(story.get(node, story.manifest(image)), is('TAG_UNDECIDED'));
  assert.equal(node.audit.of('pull.refused').at(-1)!.code, 'TAG_UNDECIDED');
  await holder('b', image);
  assert.equal((await story.get(node, story.manifest(image))).answer.descriptor.digest, image.target.digest);
});

void test('an invented digest of a newer statement neither answers nor blocks', async () => {
  const image = storyImage(NAME, SMALL);
  await holder('a', image);
  const liar = await story.node('liar');
  // It has stated already that it has no tags.
  await story.share();
  const now = story.world.now();
  const other = storyImage(NAME, { ...SMALL, seed: 'nobody has it' });
  const reference = parseTagReference(NAME);
  await liar.rooms.peers.stateTags([{ reference, digest: other.target.digest, observedAt: now, renewedAt: now }]);
  const node = await story.node('client');
  assert.equal(node.rooms.peers.tagStatements(reference).length, 2);
  const got = await story.get(node, story.manifest(image)).catch((error: unknown) => error);
  assert.ok(!is('TAG_UNDECIDED')(got), 'it blocks');
  assert.equal(node.audit.of('tag.resolved').at(-1)!.digest, image.target.digest);
});

void test('one node that states a tag twice is one signer of it', async () => {
  const image = storyImage(NAME, SMALL);
  await holder('a', image);
  const node = await story.node('client', { policy: TWO });
  const { peers } = node.rooms;
  const twice: typeof peers.tagStatements = of => [...peers.tagStatements(of), ...peers.tagStatements(of)];
  Object.assign(node.rooms, { peers: { ...peers, tagStatements: twice } });
  await assert.rejects(story.get(node, story.manifest(image)), is('TAG_UNDECIDED'));
  assert.equal(node.audit.of('pull.refused').at(-1)!.code, 'TAG_UNDECIDED');
});

void test('a statement that was not renewed for as long as policy keeps it does not count', async () => {
  const image = storyImage(NAME, SMALL);
  const a = await holder('a', image);
  const hours = (count: number): number => count * 3_600_000;
  const now = story.world.now();
  const say = (renewedAt: number): Promise<void> =>
    a.rooms.peers.stateTags([
      { reference: parseTagReference(NAME), digest: image.target.digest, observedAt: now - hours(9), renewedAt },
    ]);
  const node = await story.node('client', { policy: OPEN_POLICY.replace('min: 1', 'min: 1, keep: 2h') });
  await say(now - hours(3));
  await assert.rejects(story.get(node, story.manifest(image)), is('TAG_UNDECIDED'));
  assert.equal(node.audit.of('pull.refused').at(-1)!.code, 'TAG_UNDECIDED');
  await say(now - hours(1));
  assert.equal((await story.get(node, story.manifest(image))).answer.descriptor.digest, image.target.digest);
});

void test('a statement that is dated ahead of this clock does not decide a tag', async () => {
  const image = storyImage(NAME, SMALL);
  const a = await holder('a', image);
  const later = story.world.now() + CLOCK_SKEW_MS + 60_000;
  await a.rooms.peers.stateTags([
    { reference: parseTagReference(NAME), digest: image.target.digest, observedAt: later, renewedAt: later },
  ]);
  const node = await story.node('client');
  await assert.rejects(story.get(node, story.manifest(image)), is('TAG_UNDECIDED'));
  assert.equal(node.audit.of('pull.refused').at(-1)!.code, 'TAG_UNDECIDED');
});

void test('a pin decides alone, against whatever is stated', async () => {
  const image = storyImage(NAME, SMALL);
  const newer = storyImage(NAME, { ...SMALL, seed: 'newer' });
  await holder('a', image);
  await holder('b', newer);
  const policy = `${OPEN_POLICY}pins:\n  ${NAME}: ${image.target.digest}\n`;
  const node = await story.node('client', { policy });
  assert.equal((await story.get(node, story.manifest(image))).answer.descriptor.digest, image.target.digest);
  assert.equal(node.audit.of('tag.resolved')[0]!.by, 'pin');
});

void test('a tag without a pin is nobody’s where policy leaves tags to pins; by digest it is there', async () => {
  const image = storyImage(NAME, SMALL);
  await holder('a', image);
  const node = await story.node('client', { policy: PINS });
  await assert.rejects(story.get(node, story.manifest(image)), is('TAG_UNPINNED'));
  const got = await story.get(node, story.manifest(image, image.target.digest));
  assert.equal(got.bytes.length, image.target.size);
});

void test('HEAD of a tag answers only with the proved manifest in hand', async () => {
  const image = storyImage(NAME, SMALL);
  const a = await holder('a', image);
  const node = await story.node('client');
  const { digest } = image.target;
  a.store.drop(digest);
  await assert.rejects(story.until(story.ask(node, story.manifest(image), { method: 'HEAD' })), is('TAG_UNDECIDED'));
  a.store.put(image.contents.get(digest)!, image.target.mediaType);
  await story.share();
  const answer = await story.until(story.ask(node, story.manifest(image), { method: 'HEAD' }));
  assert.deepEqual([answer.descriptor, answer.body], [image.target, undefined]);
});

void test('a tag statement outlives its signer: the tag from the dead, the bytes from the living', async () => {
  const image = storyImage(NAME, SMALL);
  const a = await holder('a', image);
  const b = await story.node('b');
  b.keep(image, { fetched: true });
  await b.rooms.origins.mirrored(parseTagReference(NAME), image.target.digest);
  await story.share();
  a.stop();
  const node = await story.node('client');
  const got = await story.get(node, story.manifest(image));
  assert.equal(got.answer.descriptor.digest, image.target.digest);
  assert.equal(node.rooms.pulls.recent().at(-1)!.from, 'b');
});

void test('what came through the mirror is never stated, also after a restart; what was pulled around it is', async () => {
  const image = storyImage(NAME, SMALL);
  await holder('a', image);
  const node = await story.node('client', { kind: 'containerd' });
  await story.get(node, story.manifest(image));
  await story.world.advance(10);
  node.keep(image, { fetched: true });
  const around = storyImage('r.test/team/around:1', SMALL);
  node.keep(around, { fetched: true });
  await story.share();
  assert.deepEqual(node.told.tags, ['r.test/team/around:1']);
  assert.deepEqual(
    node.audit.of('tag.stated').map(({ reference, origin }) => [reference, origin]),
    [['r.test/team/around:1', 'observed']],
  );
  node.stop();
  const again = await story.node('client', { kind: 'containerd', again: node });
  again.keep(image, { fetched: true, createdAt: story.world.now() });
  await story.share();
  assert.deepEqual(again.told.tags, ['r.test/team/around:1']);
});

void test('what was there before the node is unknown, and stated only once a person says so', async () => {
  const image = storyImage(NAME, SMALL);
  const node = await story.node('old', { kind: 'containerd' });
  node.keep(image, { fetched: true, createdAt: story.world.now() - 1 });
  await story.share();
  assert.deepEqual([node.told.tags, node.audit.of('tag.stated')], [[], []]);
  await node.rooms.origins.adopt(parseTagReference(NAME), image.target.digest);
  node.sharing.changed();
  await story.share();
  assert.deepEqual(node.told.tags, [NAME]);
});

void test('tags are told when they change, not whenever the store does', async () => {
  const a = await story.node('a');
  const { peers } = a.rooms;
  let told = 0;
  const stateTags = peers.stateTags.bind(peers);
  peers.stateTags = tags => {
    told += 1;
    return stateTags(tags);
  };
  await story.share();
  const before = told;
  a.keep(storyImage('r.test/team/app:1', { layers: [5] }));
  await story.share();
  assert.equal(told, before + 1);
  for (const other of ['x', 'y', 'z']) {
    a.store.put(Buffer.from(other));
    a.sharing.changed();
    await story.share();
  }
  assert.equal(told, before + 1);
  a.rooms.stated.forget(parseTagReference('r.test/team/app:1'));
  a.sharing.changed();
  await story.share();
  assert.equal(told, before + 2, 'stated anew, as it is there');
});

void test('a statement is renewed every hour while the image is there, and when it was observed never moves', async () => {
  const image = storyImage(NAME, SMALL);
  const a = await holder('a', image);
  const [before] = a.rooms.stated.list();
  await story.world.advance(3_600_000 + 1_000);
  const [after] = a.rooms.stated.list();
  assert.equal(after!.observedAt, before!.observedAt);
  assert.ok(after!.renewedAt >= before!.renewedAt + 3_600_000);
  assert.equal(a.audit.of('tag.stated').length, 1, 'a renewal says nothing new');
  a.store.unname(image.reference);
  await story.share();
  const left = a.rooms.stated.list()[0]!.renewedAt;
  await story.world.advance(2 * 3_600_000);
  assert.equal(a.rooms.stated.list()[0]!.renewedAt, left);
});

void test('a name that policy no longer shares is no longer stated, also after a restart', async () => {
  const image = storyImage(NAME, SMALL);
  const a = await holder('a', image);
  assert.deepEqual(a.told.tags, [NAME]);
  a.decree(PINS.replace('r.test/**', 'r.test/other/**'));
  await story.share();
  assert.deepEqual(a.told.tags, []);
  a.stop();
  const again = await story.node('a', { again: a, policy: PINS.replace('r.test/**', 'r.test/other/**') });
  await story.share();
  assert.deepEqual(again.told.tags, []);
});

void test('why tells the steps up to what ends the pull', async () => {
  const image = storyImage(NAME, { layers: [2 * MIB] });
  const node = await story.node('client', { policy: `${PINS}pins:\n  ${NAME}: ${image.target.digest}\n` });
  const steps = async (name: string) =>
    (await why(node.rooms, parseReference(name))).map(({ step, ok }) => `${step} ${ok}`);
  assert.deepEqual(await steps('other.test/a:1'), ['registry false', 'outcome false']);
  assert.deepEqual(await steps('r.test/team/app:2'), ['registry true', 'policy true', 'tag false', 'outcome false']);
  const pinned = ['registry true', 'policy true', 'tag true', 'admit true', 'store false', 'spool false'];
  assert.deepEqual(await steps(NAME), [...pinned, 'holders false', 'outcome false']);
  await holder('a', image);
  assert.deepEqual(await steps(NAME), [...pinned, 'holders true', 'vouchers false', 'outcome true']);
  await holder('b', image);
  assert.deepEqual(await steps(NAME), [...pinned, 'holders true', 'vouchers true', 'outcome true']);
  await story.get(node, story.manifest(image));
  assert.deepEqual(await steps(NAME), [...pinned.slice(0, 5), 'spool true', 'outcome true']);
});

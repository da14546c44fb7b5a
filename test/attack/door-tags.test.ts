/** Tags that others would move: away from a pin, back to what they were, apart from each other, to what nobody can give. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import { Story, type StoryImage, type StoryNode, storyImage } from '../mirror/story-node.ts';

const NAME = 'r.test/team/app:1';
const OLD = storyImage(NAME, { layers: [10], seed: 'old' });
const NEW = storyImage(NAME, { layers: [10], seed: 'new' });
const LISTED = 'registries: [r.test]\nshare: [r.test/**]\n';
const PINNED = `${LISTED}pins: { ${NAME}: '${OLD.target.digest}' }\n`;
const TWO = `${LISTED}tags: [{match: r.test/**, min: 2}]\n`;

let story: Story;
beforeEach(() => {
  story = new Story();
});
afterEach(() => story.end());

const is = (code: Code) => (error: unknown) => hasCode(error, code);

async function holder(name: string, image: StoryImage): Promise<StoryNode> {
  const node = await story.node(name);
  node.keep(image);
  await story.share();
  return node;
}

/** The refusals of a node, and that it answered nothing. */
function refusals(node: StoryNode): string[] {
  assert.deepEqual(node.audit.of('pull.started'), []);
  assert.deepEqual(node.audit.of('tag.resolved'), []);
  return node.audit.of('pull.refused').map(({ code, reference }) => `${code} ${reference}`);
}

void test('a pinned tag is what the pin says, and recorded as such, whatever all others state', async () => {
  await holder('first', OLD);
  for (const name of ['a', 'b', 'c']) await holder(name, NEW);
  const node = await story.node('client', { policy: PINNED });
  const got = await story.get(node, story.manifest(OLD));
  assert.equal(got.answer.descriptor.digest, OLD.target.digest);
  assert.deepEqual(
    node.audit.of('tag.resolved').map(({ digest, by }) => [digest, by]),
    [[OLD.target.digest, 'pin']],
  );
});

void test('a pinned digest that nobody has is not here: nothing else is taken for the tag', async () => {
  for (const name of ['a', 'b']) await holder(name, NEW);
  const node = await story.node('client', { policy: PINNED });
  await assert.rejects(story.get(node, story.manifest(OLD)), is('CONTENT_ABSENT'));
  assert.deepEqual([refusals(node), node.asked], [[`CONTENT_ABSENT ${NAME}`], []]);
});

void test('a tag without a pin is refused where pins decide, and recorded', async () => {
  await holder('a', NEW);
  const node = await story.node('client', { policy: LISTED });
  await assert.rejects(story.get(node, story.manifest(NEW)), is('TAG_UNPINNED'));
  assert.deepEqual([refusals(node), node.asked], [[`TAG_UNPINNED ${NAME}`], []]);
});

void test('a tag on which the nodes are split is nobody’s, and recorded', async () => {
  await holder('a', OLD);
  await story.world.advance(10);
  await holder('b', NEW);
  const node = await story.node('client', { policy: TWO });
  await assert.rejects(story.get(node, story.manifest(NEW)), is('TAG_UNDECIDED'));
  assert.deepEqual(refusals(node), [`TAG_UNDECIDED ${NAME}`]);
});

void test('who held the old image and states it over and over does not bring it back', async () => {
  const frozen = [await holder('a', OLD), await holder('b', OLD)];
  await story.world.advance(10);
  for (const name of ['c', 'd']) await holder(name, NEW);
  const { reference, target } = OLD;
  const [observedAt, renewedAt] = [story.world.now() - 60_000, story.world.now()];
  for (const { rooms } of frozen)
    await rooms.peers.stateTags([
      { reference: { ...reference, tag: reference.tag! }, digest: target.digest, observedAt, renewedAt },
    ]);
  const node = await story.node('client', { policy: TWO });
  const got = await story.get(node, story.manifest(NEW));
  assert.equal(got.answer.descriptor.digest, NEW.target.digest);
  assert.deepEqual(
    node.audit.of('tag.resolved').map(({ digest, by }) => [digest, by]),
    [[NEW.target.digest, 'statements']],
  );
});

void test('HEAD of a tag whose manifest comes with other bytes promises nothing, and the liar is named', async () => {
  const { size } = NEW.target;
  for (const name of ['a', 'b']) {
    await holder(name, NEW);
    story.hub.tamper(name, bytes => (bytes.length === size ? new Uint8Array(bytes).fill(32, 5, 6) : bytes));
  }
  const node = await story.node('client', { policy: TWO });
  await assert.rejects(story.until(story.ask(node, story.manifest(NEW), { method: 'HEAD' })), is('TAG_UNDECIDED'));
  assert.deepEqual(refusals(node), [`TAG_UNDECIDED ${NAME}`]);
  assert.deepEqual(
    node.audit.of('lie.found').map(({ node: name, code }) => `${name} ${code}`),
    ['a CHUNK_MISMATCH', 'b CHUNK_MISMATCH'],
  );
});

/** Pins that others would move, and required pins that others would do without. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Admission, ALL, NAME, PINNED, withPins } from '../mirror/admission.ts';
import { storyImage } from '../mirror/story-node.ts';

const OLD = storyImage(NAME, { layers: [10], seed: 'old' });
const NEW = storyImage(NAME, { layers: [10], seed: 'new' });
const PINS = withPins({ [NAME]: OLD.target.digest });

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

void test('a pinned tag stays what its pin says, though all others state and hold another digest', async () => {
  await story.holder('old', OLD, ALL);
  for (const name of ['a', 'b', 'c']) await story.holder(name, NEW, ALL);
  const node = await story.reader(PINNED, PINS);
  assert.equal((await story.get(node, story.manifest(OLD))).answer.descriptor.digest, OLD.target.digest);
  await story.refuses(node, NEW, 'PIN_MISMATCH', NEW.target.digest);
  assert.ok(!node.asked.some(one => one.digest === NEW.target.digest));
});

void test('a pinned digest that nobody has is not here, and no other is taken (CONTENT_ABSENT)', async () => {
  for (const name of ['a', 'b']) await story.holder(name, NEW, ALL);
  const node = await story.reader(PINNED, PINS);
  await story.refuses(node, OLD, 'CONTENT_ABSENT');
  assert.deepEqual(node.asked, []);
});

void test('an unpinned tag where pins are required is refused, though it is in this node’s own store (PIN_MISSING)', async () => {
  const two = storyImage('r.test/team/app:2', { layers: [10] });
  const node = await story.holder('own', two, PINNED, [], PINS);
  await story.refuses(node, two, 'PIN_MISSING');
  await story.refuses(node, two, 'PIN_MISMATCH', two.target.digest);
  await story.hides(node, two);
});

void test('a pin is for its repository alone: the same digest under another name is refused (PIN_MISMATCH)', async () => {
  const other = storyImage('r.test/other/app:1', { layers: [10], seed: 'old' });
  assert.equal(other.target.digest, OLD.target.digest);
  await story.holder('a', other, ALL);
  const node = await story.reader(PINNED, PINS);
  await story.refuses(node, other, 'PIN_MISMATCH', other.target.digest);
});

void test('moves that are reported let a moved image through, and say so (PIN_MISMATCH)', async () => {
  const reported = PINNED.replace('require: true', 'require: true, moves: reported');
  const node = await story.holder('own', NEW, reported, [], PINS);
  assert.ok(node.told.holdings.includes(NEW.target.digest));
  assert.deepEqual(
    node.audit.events.flatMap(event => (event.event === 'image.passed' ? [event.code] : [])),
    ['PIN_MISMATCH'],
  );
});

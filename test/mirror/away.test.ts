/** A store that is away: told of once, and what peers hold goes on being given. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Story, storyImage } from './story-node.ts';

let story: Story;
beforeEach(() => {
  story = new Story();
});
afterEach(() => story.end());

void test('a store that is away is told of once, and again after it was back', async () => {
  const node = await story.node('a');
  const told = (): number => node.log.filter(line => line.includes('the store is away')).length;
  for (const times of [1, 2]) {
    node.store.away(true);
    node.sharing.changed();
    await story.world.advance(20_000);
    assert.equal(told(), times);
    node.store.away(false);
    await story.world.advance(5_000);
  }
});

void test('a node whose store is away passes on what others hold', async () => {
  const image = storyImage('r.test/team/app:1', { layers: [5] });
  for (const name of ['a', 'b']) (await story.node(name)).keep(image);
  await story.share();
  const node = await story.node('client', { kind: 'containerd' });
  node.store.away(true);
  for (const path of [story.manifest(image), story.manifest(image, image.target.digest)])
    assert.ok((await story.get(node, path)).whole);
  assert.ok((await story.get(node, story.blob(image, image.layers[0]!))).whole);
});

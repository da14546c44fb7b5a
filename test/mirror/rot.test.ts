/** What lay on a disk before this run is proved before it is given: a disk may rot while nobody looks. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { MIB, Story, storyImage } from './story-node.ts';

let story: Story;
beforeEach(() => {
  story = new Story();
});
afterEach(() => story.end());

void test('a content that rotted in the spool between two runs is not given, but fetched again', async () => {
  const image = storyImage('r.test/team/app:1', { layers: [3 * MIB] });
  const [layer] = image.images[0]!.layers;
  (await story.node('holder')).keep(image);
  await story.share();
  const before = await story.node('client', { kind: 'containerd' });
  await story.get(before, story.manifest(image));
  await story.get(before, story.manifest(image, image.images[0]!.manifest.digest));
  await story.get(before, story.blob(image, layer!));
  await story.world.settle();
  before.stop();

  const [hex] = layer!.digest.split(':').slice(1);
  const name = (await before.disk.list('/spool')).find(one => one.includes(hex!));
  const rotten = Buffer.from(image.contents.get(layer!.digest)!);
  rotten[MIB + 5]! ^= 1;
  const file = await before.disk.create(`/spool/${name}`);
  await file.write(rotten, 0);
  await file.close();

  const after = await story.node('client', { kind: 'containerd', again: before });
  assert.ok(after.rooms.spool.list().includes(layer!.digest), 'it is found again');
  await story.get(after, story.manifest(image));
  await story.get(after, story.manifest(image, image.images[0]!.manifest.digest));
  const { bytes, whole } = await story.get(after, story.blob(image, layer!));
  assert.ok(whole && bytes.equals(image.contents.get(layer!.digest)!));
  assert.equal(after.audit.of('store.corrupt').length, 1);
  assert.equal(after.audit.of('pull.ended').at(-1)?.source, 'peer');
});

void test('a content of an earlier run is hashed once, however often a part of it is asked for', async () => {
  const image = storyImage('r.test/team/app:1', { layers: [3 * MIB] });
  const [layer] = image.images[0]!.layers;
  (await story.node('holder')).keep(image);
  await story.share();
  const before = await story.node('client', { kind: 'containerd' });
  await story.get(before, story.manifest(image));
  await story.get(before, story.blob(image, layer!));
  await story.world.settle();
  before.stop();

  let hashed = 0;
  const after = await story.node('client', {
    kind: 'containerd',
    again: before,
    twist: ({ store, hashes }) => ({
      store,
      hashes: {
        again: (content, signal) => hashes.again(content, signal),
        known: digest => hashes.known(digest),
        prove: (content, signal) => {
          hashed += 1;
          return hashes.prove(content, signal);
        },
      },
    }),
  });
  await story.get(after, story.manifest(image));
  for (let at = 0; at < 3; at++) {
    const { partial } = await story.get(after, story.blob(image, layer!), { range: `bytes=${at * MIB}-` });
    assert.ok(partial);
    await story.world.advance(1_000);
  }
  assert.equal(hashed, 1);
});

void test('a manifest that rotted in the store comes from others, and hides nothing that is whole', async () => {
  const image = storyImage('r.test/team/app:1', { layers: [5] });
  for (const name of ['holder', 'other']) (await story.node(name)).keep(image);
  await story.share();
  const node = await story.node('client', { kind: 'containerd' });
  node.keep(image, { fetched: true });
  await story.share();
  node.store.rot(image.target.digest);
  const { bytes, whole } = await story.get(node, story.manifest(image, image.target.digest));
  assert.ok(whole && bytes.equals(image.contents.get(image.target.digest)!));
  assert.ok(node.audit.of('store.corrupt').length > 0);
});

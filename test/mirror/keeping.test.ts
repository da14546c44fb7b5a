/** What becomes of what was fetched: into the layout, out of the spool, ahead of time, and `pinnace pull`. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import { pullImage } from '../../src/mirror/mirror.ts';
import { type Digest, digestOf, OCI_INDEX, OCI_MANIFEST, parseReference } from '../../src/oci/oci.ts';
import { MIB, OPEN_POLICY, Story, type StoryImage, type StoryNode, storyImage } from './story-node.ts';

const NAME = 'r.test/team/app:1';
let story: Story;
beforeEach(() => {
  story = new Story();
});
afterEach(() => story.end());

const is = (code: Code) => (error: unknown) => hasCode(error, code);

async function holders(...images: StoryImage[]): Promise<void> {
  for (const name of ['a', 'b']) {
    const node = await story.node(name);
    for (const image of images) node.keep(image);
  }
  await story.share();
}

/** Pulls as containerd does: the tag, the manifest of the platform, the config, the layers. */
async function pullAll(node: StoryNode, image: StoryImage, at = 0): Promise<void> {
  const { manifest, layers } = image.images[at]!;
  await story.get(node, story.manifest(image));
  const { bytes } = await story.get(node, story.manifest(image, manifest.digest));
  const { config } = JSON.parse(bytes.toString()) as { config: { digest: Digest } };
  await story.get(node, `${image.reference.repository}/blobs/${config.digest}`);
  for (const layer of layers) await story.get(node, story.blob(image, layer));
  await story.share();
}

const names = async (node: StoryNode): Promise<string[]> =>
  (await node.rooms.store.images()).map(
    ({ reference, target }) => `${reference.repository}:${reference.tag} ${target.digest}`,
  );

void test('an image that is complete moves from the spool into the layout, and is offered', async () => {
  const image = storyImage(NAME, { layers: [3 * MIB, 5] });
  await holders(image);
  const node = await story.node('client');
  await pullAll(node, image);
  assert.deepEqual(await names(node), [`team/app:1 ${image.target.digest}`]);
  assert.deepEqual(node.rooms.spool.list(), []);
  assert.deepEqual([...node.told.holdings].sort(), [...image.contents.keys()].sort());
  assert.deepEqual(node.told.tags, [], 'it is not stated');
  assert.deepEqual([...node.rooms.pulls.roots().keys()], []);
});

void test('of an index the pulled platform is enough, and the others may follow', async () => {
  const image = storyImage(NAME, { layers: [5], platforms: ['linux/amd64', 'linux/arm64'] });
  await holders(image);
  const node = await story.node('client');
  await pullAll(node, image, 0);
  assert.deepEqual(await names(node), [`team/app:1 ${image.target.digest}`]);
  assert.ok(!node.told.holdings.includes(image.images[1]!.manifest.digest));
  await pullAll(node, image, 1);
  assert.ok(node.told.holdings.includes(image.images[1]!.layers[0]!.digest));
});

void test('a second name of an image that is here already is kept too', async () => {
  const image = storyImage(NAME, { layers: [5] });
  const twin = storyImage('r.test/team/app:2', { layers: [5], seed: NAME });
  assert.equal(twin.target.digest, image.target.digest);
  await holders(image, twin);
  const node = await story.node('client');
  for (const one of [image, twin]) await pullAll(node, one);
  assert.deepEqual(await names(node), [`team/app:1 ${image.target.digest}`, `team/app:2 ${image.target.digest}`]);
});

void test('an image that lacks a layer stays in the spool and gets no name', async () => {
  const image = storyImage(NAME, { layers: [5, 6] });
  await holders(image);
  const node = await story.node('client');
  await story.get(node, story.manifest(image));
  await story.get(node, story.blob(image, image.layers[0]!));
  await story.share();
  assert.deepEqual(await names(node), []);
  assert.equal(node.rooms.spool.list().length, 2);
});

void test('a body that is being sent when its content moves into the layout ends whole', async () => {
  const image = storyImage(NAME, { layers: [3 * MIB] });
  await holders(image);
  const node = await story.node('client');
  await story.get(node, story.manifest(image));
  await story.get(node, story.blob(image, image.config));
  const { body } = await story.until(story.ask(node, story.blob(image, image.layers[0]!)));
  await story.share();
  assert.deepEqual(await names(node), [`team/app:1 ${image.target.digest}`]);
  const bytes = Buffer.alloc(3 * MIB);
  assert.equal(await body!.upTo(0), bytes.length);
  assert.equal(await body!.read(bytes, 0), bytes.length);
  await body!.close(bytes.length);
  assert.equal(digestOf(bytes), image.layers[0]!.digest);
});

void test('with containerd the copy in the spool goes once containerd has the content', async () => {
  const image = storyImage(NAME, { layers: [3 * MIB] });
  await holders(image);
  const node = await story.node('client', { kind: 'containerd' });
  await pullAll(node, image);
  assert.equal(node.rooms.spool.list().length, 3);
  node.keep(image, { fetched: true });
  await story.share();
  assert.deepEqual(node.rooms.spool.list(), []);
});

void test('who asks for the config gets the layers read ahead, two at a time', async () => {
  const image = storyImage(NAME, { layers: [2 * MIB, 2 * MIB + 1, 2 * MIB + 2, 2 * MIB + 3] });
  await holders(image);
  const node = await story.node('client');
  await story.get(node, story.manifest(image));
  const open = Promise.withResolvers<void>();
  for (const name of ['a', 'b'])
    story.hub.tamper(name, async (bytes, at) => {
      if (at === 0 && bytes.length === MIB) await open.promise;
      return bytes;
    });
  await story.get(node, story.blob(image, image.config));
  await story.world.settle();
  assert.deepEqual(
    node.rooms.fetches.list().map(({ digest }) => digest),
    image.layers.slice(0, 2).map(({ digest }) => digest),
  );
  open.resolve();
  await story.share();
  assert.deepEqual(await names(node), [`team/app:1 ${image.target.digest}`]);
});

void test('reading ahead takes at most half of what is free in the spool', async () => {
  const image = storyImage(NAME, { layers: [3 * MIB, 3 * MIB + 1, 3 * MIB + 2] });
  await holders(image);
  const node = await story.node('client', { spoolBytes: 10 * MIB });
  await story.get(node, story.manifest(image));
  await story.get(node, story.blob(image, image.config));
  await story.share();
  const spooled = node.rooms.spool.list();
  assert.deepEqual(
    image.layers.map(({ digest }) => spooled.includes(digest)),
    [true, false, false],
  );
});

void test('a config that a client asks for by another name reads nothing ahead', async () => {
  const image = storyImage(NAME, { layers: [2 * MIB] });
  await holders(image);
  const node = await story.node('client');
  await assert.rejects(story.get(node, `team/other/blobs/${image.config.digest}`), is('CONTENT_ABSENT'));
  assert.deepEqual(node.asked, []);
});

void test('pinnace pull takes one platform, or all, into the layout', async () => {
  const image = storyImage(NAME, { layers: [2 * MIB, 5], platforms: ['linux/amd64', 'linux/arm64'] });
  await holders(image);
  const one = await story.node('one');
  const arm = { os: 'linux', architecture: 'arm64' };
  const steps: string[] = [];
  const pulled = await story.until(pullImage(one.rooms, image.reference, arm, ({ from }) => steps.push(from)));
  await story.share();
  assert.equal(pulled.digest, image.target.digest);
  assert.ok(steps.includes('a') || steps.includes('b'));
  assert.deepEqual(await names(one), [`team/app:1 ${image.target.digest}`]);
  assert.ok(!one.told.holdings.includes(image.images[0]!.manifest.digest));
  const all = await story.node('all');
  const { contents } = await story.until(pullImage(all.rooms, image.reference, undefined, () => undefined));
  await story.share();
  assert.equal(contents, image.contents.size);
  assert.deepEqual([...all.told.holdings].sort(), [...image.contents.keys()].sort());
});

void test('pinnace pull is recorded, and stands among the last pulls', async () => {
  const image = storyImage(NAME, { layers: [2 * MIB] });
  await holders(image);
  const node = await story.node('client');
  const { bytes } = await story.until(pullImage(node.rooms, image.reference, undefined, () => undefined));
  const [started] = node.audit.of('pull.started');
  const [ended] = node.audit.of('pull.ended');
  assert.deepEqual([started?.reference, started?.digest], [NAME, image.target.digest]);
  assert.deepEqual([ended?.id, ended?.outcome, ended?.bytes], [started?.id, 'whole', bytes]);
  const [entry] = node.rooms.pulls.recent();
  assert.equal(entry?.outcome, 'whole');
  assert.ok(entry?.from === 'a' || entry?.from === 'b');
  await assert.rejects(pullImage(node.rooms, parseReference('r.test/team/app:2'), undefined, () => undefined));
  assert.deepEqual(
    node.audit.of('pull.refused').map(({ code }) => code),
    ['TAG_UNDECIDED'],
  );
});

void test('an image that names the same contents over and over is walked once', async () => {
  const image = storyImage(NAME, { layers: [5] });
  const contents = new Map(image.contents);
  const put = (mediaType: string, value: object) => {
    const bytes = new Uint8Array(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...value })));
    contents.set(digestOf(bytes), bytes);
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const often = <T>(item: T): T[] => Array.from({ length: 30 }, () => item);
  const manifest = put(OCI_MANIFEST, { config: image.config, layers: often(image.layers[0]) });
  const inner = put(OCI_INDEX, { manifests: often(manifest) });
  const target = put(OCI_INDEX, { manifests: often(inner) });
  const hostile = {
    ...image,
    target,
    contents,
    images: [manifest, inner].map(one => ({ ...image.images[0]!, manifest: one })),
  };
  await holders(hostile);
  const node = await story.node('client');
  const { spool } = node.rooms;
  const open = spool.open.bind(spool);
  let opened = 0;
  spool.open = digest => {
    opened += 1;
    return open(digest);
  };
  const pulled = await story.until(pullImage(node.rooms, image.reference, undefined, () => undefined));
  await story.share();
  assert.equal(pulled.contents, 5);
  assert.deepEqual(await names(node), [`team/app:1 ${target.digest}`]);
  assert.ok(opened < 100, `${opened} looks into the spool`);
});

void test('pinnace pull obeys policy, and refuses a platform that is not there and a store that is not its own', async () => {
  const image = storyImage(NAME, { layers: [5], platforms: ['linux/amd64'] });
  await holders(image);
  const node = await story.node('client');
  const pulling = (of: StoryNode, name: string, architecture = 'amd64') =>
    story.until(pullImage(of.rooms, parseReference(name), { os: 'linux', architecture }, () => undefined));
  await assert.rejects(pulling(node, NAME, 'riscv64'), is('CONTENT_ABSENT'));
  await assert.rejects(pulling(node, 'other.test/a:1'), is('NOT_MIRRORED'));
  await assert.rejects(pulling(node, 'r.test/team/app:2'), is('TAG_UNDECIDED'));
  const guest = await story.node('guest', { kind: 'containerd' });
  await assert.rejects(pulling(guest, NAME), is('STORE_UNAVAILABLE'));
  const pinned = await story.node('pinned', { policy: OPEN_POLICY.replace(/tags:.*\n/, '') });
  await assert.rejects(pulling(pinned, NAME), is('TAG_UNPINNED'));
});

void test('a layout that cannot be written keeps the image in the spool, and says so', async () => {
  const image = storyImage(NAME, { layers: [5] });
  await holders(image);
  const node = await story.node('client');
  const { keeping } = node.store;
  keeping!.adopt = () => Promise.reject(new Error('read-only'));
  await pullAll(node, image);
  assert.deepEqual(await names(node), []);
  assert.ok(node.log.some(line => line.includes('read-only')));
});

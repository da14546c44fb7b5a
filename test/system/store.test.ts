/** The containerd store on real containerds, Debian's own and a 2.x. */
import assert from 'node:assert/strict';
import { readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '../../src/errors.ts';
import { type Digest, digestOf, formatReference, hexOf } from '../../src/oci/oci.ts';
import { createContainerdStore } from '../../src/store/containerd.ts';
import type { Content, Store } from '../../src/store/store.ts';
import { realWorld } from '../../src/world.ts';
import { type BuiltImage, HOST_ARCHITECTURE } from '../support/images.ts';
import type { Containerd } from '../support/system/containerd.ts';
import type { Lab } from '../support/system/lab.ts';
import type { ContainerdVersion } from '../support/system/packages.ts';
import { until } from '../support/system/processes.ts';
import { systemTest } from '../support/system/suite.ts';

const world = realWorld;
/** Within so many ms a change of containerd is known. */
const SECONDS_MS = 8_000;
const MIB = 2 ** 20;

const storeOf = ({ socket }: { socket: string }): Store =>
  createContainerdStore({ socket, namespaces: ['k8s.io'], world });

async function bytesOf(content: Content): Promise<Buffer> {
  const bytes = Buffer.alloc(content.size);
  assert.equal(await content.read(bytes, 0), content.size);
  return bytes;
}

async function names(store: Store): Promise<string[]> {
  return (await store.images()).map(({ reference }) => formatReference(reference)).sort();
}

/** Everything of an image that the store opens, each checked against its digest. */
async function held(store: Store, image: BuiltImage): Promise<Digest[]> {
  const found: Digest[] = [];
  for (const { digest, size } of image.contents) {
    const content = await store.open(digest);
    if (!content) continue;
    assert.equal(content.size, size);
    assert.equal(digestOf(await bytesOf(content)), digest);
    await content.close();
    found.push(digest);
  }
  return found;
}

/** Follows a store; answers how often it was told of changes so far, and how to end it. */
function follow(lab: Lab, store: Store): { readonly changes: () => number } {
  let count = 0;
  const life = new AbortController();
  const watching = store.watch(() => void (count += 1), life.signal);
  lab.atEnd(async () => {
    life.abort();
    await watching;
  });
  return { changes: () => count };
}

async function imported(lab: Lab, containerd: Containerd, reference: string): Promise<BuiltImage> {
  const image = await lab.image({
    reference,
    layers: [{ randomBytes: MIB, seed: reference }, { files: { 'a/b': 'text' } }],
    gzip: true,
  });
  await containerd.load(await lab.archive(image));
  return image;
}

function suite(version: ContainerdVersion): void {
  const on = `containerd ${version}:`;

  systemTest(`${on} an imported image is listed as such, and all of it opens`, async lab => {
    const containerd = await lab.containerd('a', version);
    const store = storeOf(containerd);
    assert.deepEqual(await store.images(), []);
    const began = Date.now() - 1000;
    const image = await imported(lab, containerd, 'reg.test/team/app:1');
    const [only, ...more] = await store.images();
    assert.deepEqual(more, []);
    assert.ok(only);
    assert.equal(formatReference(only.reference), image.reference);
    assert.deepEqual(
      [only.target.digest, only.target.size, only.target.mediaType],
      [image.digest, image.target.size, image.target.mediaType],
    );
    assert.equal(only.fetched, false);
    assert.ok(only.createdAt >= began && only.createdAt <= Date.now() + 1000);
    assert.equal((await held(store, image)).length, image.contents.length);
  });

  systemTest(`${on} a pulled image is listed as fetched, of an index only the own platform opens`, async lab => {
    const containerd = await lab.containerd('a', version);
    const registry = await lab.registry('r');
    const image = await lab.image({
      reference: 'reg.test/team/multi:1',
      layers: [{ randomBytes: MIB, seed: 1 }],
      platforms: ['linux/amd64', 'linux/arm64'],
    });
    await registry.push(image);
    await containerd.hosts('reg.test', { upstream: registry.endpoint });
    await containerd.cri.pull(image.reference);
    const store = storeOf(containerd);
    const byTag = (await store.images()).find(({ reference }) => reference.tag);
    assert.equal(byTag?.fetched, true);
    assert.deepEqual(await names(store), [image.reference, `reg.test/team/multi@${image.digest}`].sort());
    const own = image.manifests.find(({ platform }) => platform === `linux/${HOST_ARCHITECTURE}`);
    assert.ok(own);
    const wanted = [image.digest, ...[own.manifest, own.config, ...own.layers].map(({ digest }) => digest)];
    assert.deepEqual((await held(store, image)).sort(), wanted.sort());
  });

  systemTest(`${on} a removed image is gone within seconds, its open content stays readable`, async lab => {
    const containerd = await lab.containerd('a', version);
    const image = await imported(lab, containerd, 'reg.test/team/app:1');
    const store = storeOf(containerd);
    const layer = image.manifests[0]?.layers[0];
    assert.ok(layer);
    const content = await store.open(layer.digest);
    assert.ok(content);
    const { changes } = follow(lab, store);
    await until('the store is followed', SECONDS_MS, async () => changes() >= 2);
    const before = changes();
    await until('the kubelet knows the image', SECONDS_MS, async () => (await containerd.cri.images()).length > 0);
    await containerd.cri.remove(image.reference);
    await until('the removal is told', SECONDS_MS, async () => changes() > before);
    assert.deepEqual(await names(store), []);
    const path = join(containerd.content, 'blobs', 'sha256', hexOf(layer.digest));
    const gone = async (): Promise<boolean> =>
      (await store.open(layer.digest)) === undefined &&
      (await readFile(path).then(
        () => false,
        () => true,
      ));
    await until('the garbage is collected', SECONDS_MS, gone);
    assert.equal(digestOf(await bytesOf(content)), layer.digest);
    await content.close();
  });

  systemTest(`${on} a new image is told within seconds`, async lab => {
    const containerd = await lab.containerd('a', version);
    const store = storeOf(containerd);
    const { changes } = follow(lab, store);
    await until('the store is followed', SECONDS_MS, async () => changes() >= 2);
    const before = changes();
    const image = await imported(lab, containerd, 'reg.test/team/app:2');
    await until('the import is told', SECONDS_MS, async () => changes() > before);
    assert.deepEqual(await names(store), [image.reference]);
  });

  systemTest(`${on} a crash and restart is survived, with what changed meanwhile`, async lab => {
    const containerd = await lab.containerd('a', version);
    const image = await imported(lab, containerd, 'reg.test/team/app:1');
    const store = storeOf(containerd);
    const { changes } = follow(lab, store);
    await until('the store is followed', SECONDS_MS, async () => changes() >= 2);
    await containerd.stop('SIGKILL');
    await assert.rejects(store.images(), error => hasCode(error, 'STORE_UNAVAILABLE'));
    await assert.rejects(store.open(image.digest), error => hasCode(error, 'STORE_UNAVAILABLE'));
    const before = changes();
    await containerd.start();
    await until('the store is followed again', SECONDS_MS, async () => changes() > before);
    assert.deepEqual(await names(store), [image.reference]);
    await until('both looks are done', SECONDS_MS, async () => changes() >= before + 2);
    const settled = changes();
    await imported(lab, containerd, 'reg.test/team/app:2');
    await until('events come again', SECONDS_MS, async () => changes() > settled);
  });

  systemTest(`${on} a socket that is missing at first is waited for`, async lab => {
    const containerd = await lab.containerd('a', version);
    await containerd.stop();
    const store = storeOf(containerd);
    const { changes } = follow(lab, store);
    await assert.rejects(store.images(), error => hasCode(error, 'STORE_UNAVAILABLE'));
    assert.equal(changes(), 0);
    await containerd.start();
    await until('the store is followed', SECONDS_MS, async () => changes() > 0);
    assert.deepEqual(await names(store), []);
  });

  systemTest(`${on} a blob that was cut on disk is refused as corrupt`, async lab => {
    const containerd = await lab.containerd('a', version);
    const image = await imported(lab, containerd, 'reg.test/team/app:1');
    const layer = image.manifests[0]?.layers[0];
    assert.ok(layer);
    await truncate(join(containerd.content, 'blobs', 'sha256', hexOf(layer.digest)), 100);
    await assert.rejects(storeOf(containerd).open(layer.digest), error => hasCode(error, 'STORE_CORRUPT'));
  });
}

for (const version of ['1.6', '2.x'] as const) suite(version);

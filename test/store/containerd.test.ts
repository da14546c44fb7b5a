/** The containerd store against a server that says what each test wants; real containerds are in the system suite. */
import assert from 'node:assert/strict';
import { appendFile, rm, truncate } from 'node:fs/promises';
import { after, before, beforeEach, describe, it } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { digestOf, formatReference } from '../../src/oci/oci.ts';
import { createContainerdStore } from '../../src/store/containerd.ts';
import { blobPath } from '../../src/store/containerd-blob.ts';
import type { Store } from '../../src/store/store.ts';
import { realWorld } from '../../src/world.ts';
import { FakeContainerd } from './containerd-fake.ts';

const BYTES = Buffer.from('what a blob may hold');
const OTHER = digestOf(Buffer.from('never put anywhere'));
const world = realWorld;

/** Counts calls, and lets a test wait until there were so many. */
function counter(): { readonly changed: () => void; readonly reached: (count: number) => Promise<void> } {
  let count = 0;
  let woken: (() => void) | undefined;
  return {
    changed: () => {
      count += 1;
      woken?.();
    },
    reached: async wanted => {
      while (count < wanted) {
        await new Promise<void>(resolve => {
          woken = resolve;
        });
      }
    },
  };
}

void describe('the containerd store', () => {
  let fake: FakeContainerd;
  let store: Store;
  before(async () => {
    fake = await FakeContainerd.make();
    await fake.listen();
    store = createContainerdStore({ socket: fake.socket, namespaces: ['k8s.io', 'other'], world });
  });
  beforeEach(() => {
    fake.blobs.clear();
    fake.images.clear();
  });
  after(() => fake.remove());

  void it('reads a blob from its file, at any position', async () => {
    const digest = await fake.put(BYTES);
    const content = await store.open(digest);
    assert.ok(content);
    assert.equal(content.size, BYTES.length);
    const into = Buffer.alloc(64);
    assert.equal(await content.read(into, 5), BYTES.length - 5);
    assert.deepEqual(into.subarray(0, BYTES.length - 5), BYTES.subarray(5));
    assert.equal(await content.read(into, BYTES.length), 0);
    await content.close();
  });

  void it('keeps a blob readable that is removed while it is open', async () => {
    const digest = await fake.put(BYTES);
    const content = await store.open(digest);
    await rm(blobPath(fake.root, digest));
    const into = Buffer.alloc(BYTES.length);
    assert.equal(await content?.read(into, 0), BYTES.length);
    assert.deepEqual(into, BYTES);
    await content?.close();
  });

  void it('finds content of every configured namespace and of no other', async () => {
    const digest = await fake.put(BYTES, {}, 'other');
    const content = await store.open(digest);
    assert.ok(content);
    await content.close();
    fake.blobs.clear();
    await fake.put(BYTES, {}, 'hidden');
    assert.equal(await store.open(digest), undefined);
  });

  void it('answers undefined for what is not recorded, and for what is recorded without a file', async () => {
    assert.equal(await store.open(OTHER), undefined);
    fake.blobs.set(`k8s.io ${OTHER}`, { size: 3, labels: {} });
    assert.equal(await store.open(OTHER), undefined);
  });

  void it('refuses a blob whose file has another size than recorded', async () => {
    const digest = await fake.put(BYTES, {}, 'k8s.io', BYTES.length + 1);
    await assert.rejects(store.open(digest), error => hasCode(error, 'STORE_CORRUPT'));
  });

  void it('says that a file is corrupt which is cut while it is read', async () => {
    const digest = await fake.put(BYTES);
    const content = await store.open(digest);
    await truncate(blobPath(fake.root, digest), 3);
    await assert.rejects(
      async () => content?.read(Buffer.alloc(BYTES.length), 0),
      error => hasCode(error, 'STORE_CORRUPT'),
    );
    await content?.close();
  });

  void it('gives another stamp once a file was written to', async () => {
    const digest = await fake.put(BYTES);
    const first = await store.open(digest);
    await first?.close();
    const again = await store.open(digest);
    await again?.close();
    assert.equal(first?.stamp, again?.stamp);
    await appendFile(blobPath(fake.root, digest), 'x');
    fake.blobs.set(`k8s.io ${digest}`, { size: BYTES.length + 1, labels: {} });
    const touched = await store.open(digest);
    await touched?.close();
    assert.notEqual(first?.stamp, touched?.stamp);
  });

  void it('finds the content store again where containerd moved it', async () => {
    const digest = await fake.put(BYTES);
    await (await store.open(digest))?.close();
    const before = fake.root;
    fake.root = `${before}-moved`;
    const moved = await fake.put(Buffer.from('only in the new folder'));
    const content = await store.open(moved);
    assert.ok(content);
    await content.close();
    fake.root = before;
    await (await store.open(digest))?.close();
  });

  void it('lists full references alone, with their origin and time', async () => {
    const local = await fake.put(BYTES);
    const fetched = await fake.put(Buffer.from('from afar'), { 'containerd.io/distribution.source.reg.test': 'a/b' });
    fake.name('reg.test/a/b:1', local, BYTES.length);
    fake.name(`reg.test/a/b@${fetched}`, fetched, 9);
    fake.name(`${fetched}`, fetched, 9);
    fake.name('import-2026', fetched, 9);
    fake.name('reg.test/a/b', fetched, 9);
    fake.name(`reg.test/a/b@${OTHER}`, fetched, 9);
    fake.name('REG.test/A:1', fetched, 9);
    const images = await store.images();
    assert.deepEqual(
      images.map(({ reference, fetched: far }) => [formatReference(reference), far]),
      [
        ['reg.test/a/b:1', false],
        [`reg.test/a/b@${fetched}`, true],
      ],
    );
    assert.equal(images[0]?.createdAt, 1_700_000_000_005);
    assert.equal(images[0]?.target.digest, local);
    assert.equal(images[0]?.target.size, BYTES.length);
  });

  void it('leaves out names whose target is malformed or not there', async () => {
    fake.name('reg.test/a/b:1', 'sha256:../../etc/passwd', 3);
    fake.name('reg.test/a/b:2', OTHER, '-1');
    fake.name('reg.test/a/b:3', OTHER, 3);
    assert.deepEqual(await store.images(), []);
  });

  void it('takes the first namespace at its word where two have one name', async () => {
    const first = await fake.put(BYTES);
    const second = await fake.put(Buffer.from('another'), {}, 'other');
    fake.name('reg.test/a/b:1', second, 7, 'other');
    fake.name('reg.test/a/b:1', first, BYTES.length);
    assert.deepEqual(
      (await store.images()).map(({ target }) => target.digest),
      [first],
    );
  });

  void it('calls on every change until it is told to stop', async () => {
    const { changed, reached } = counter();
    const life = new AbortController();
    const watching = store.watch(changed, life.signal);
    await reached(2);
    fake.tell();
    await reached(3);
    assert.deepEqual(fake.subscribed.at(-1), [
      'namespace==k8s.io,topic~="^/(images|content)/"',
      'namespace==other,topic~="^/(images|content)/"',
    ]);
    life.abort();
    await watching;
  });
});

void describe('a containerd that comes and goes', () => {
  void it('is waited for, followed, and found again after a restart', async () => {
    const fake = await FakeContainerd.make();
    const codes: unknown[] = [];
    const log = {
      info: () => codes.push('up'),
      warn: (fields: object) => codes.push((fields as { code: string }).code),
    };
    const store = createContainerdStore({ socket: fake.socket, namespaces: ['k8s.io'], world, log });
    const life = new AbortController();
    try {
      await assert.rejects(store.images(), error => hasCode(error, 'STORE_UNAVAILABLE'));
      await assert.rejects(store.open(OTHER), error => hasCode(error, 'STORE_UNAVAILABLE'));
      const { changed, reached } = counter();
      const watching = store.watch(changed, life.signal);
      await fake.listen();
      await reached(1);
      await fake.stop();
      const digest = await fake.put(BYTES);
      await fake.listen();
      await reached(3);
      const content = await store.open(digest);
      assert.ok(content);
      await content.close();
      life.abort();
      await watching;
      assert.ok(codes.includes('STORE_UNAVAILABLE'));
      assert.equal(codes.at(-1), 'up');
    } finally {
      life.abort();
      await fake.remove();
    }
  });

  void it('is refused in configuration where socket or namespaces cannot be', () => {
    const make = (socket: string, namespaces: string[]) => () => createContainerdStore({ socket, namespaces, world });
    for (const wrong of [
      make('run/x.sock', ['a']),
      make('/x', []),
      make('/x', ['a b']),
      make('/x', ['k8s.io,topic==x']),
    ])
      assert.throws(wrong, error => hasCode(error, 'CONFIG_INVALID'));
  });
});

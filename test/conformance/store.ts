/** What every store must do: containerd's, the layout, and the fake in memory pass the same suite. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { type Digest, digestOf, formatReference, parseDigest, parseReference } from '../../src/oci/oci.ts';
import type { Content, Image, Store } from '../../src/store/store.ts';
import { type BuiltImage, blobPath, buildImage } from '../support/images.ts';

/** An empty store, and the ways of those who use it. */
export interface StoreUnderTest {
  readonly store: Store;
  /** Puts an image in, by its own name, as a person would. */
  readonly put: (image: BuiltImage) => Promise<void>;
  /** Takes a name away, as a person would; contents may stay. */
  readonly remove: (reference: string) => Promise<void>;
  /** Takes the last byte from the file of a content, behind the store's back. */
  readonly cut: (digest: Digest) => Promise<void>;
  /** A file that `keeping.adopt` may take; only where the store has `keeping`. */
  readonly file?: (bytes: Uint8Array) => Promise<string>;
}

const APP = 'registry.example/team/app:1';
const MULTI = 'registry.example:5443/multi:latest';
const ABSENT = parseDigest(`sha256:${'ab'.repeat(32)}`);

async function eventually(check: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 10_000;
  while (!check()) {
    assert.ok(performance.now() < end, `never came true: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

async function readAll(content: Content): Promise<Buffer> {
  const bytes = Buffer.alloc(content.size + 1);
  return bytes.subarray(0, await content.read(bytes, 0));
}

const byName = (images: readonly Image[], name: string): Image | undefined =>
  images.find(({ reference }) => formatReference(reference) === name);

/** `make` gives an empty store that is gone with the test. */
export function storeConformance(name: string, make: (t: TestContext) => Promise<StoreUnderTest>): void {
  void describe(`a store: ${name}`, () => {
    let dir: string;
    let app: BuiltImage;
    let multi: BuiltImage;

    before(async () => {
      dir = await mkdtemp(join(tmpdir(), 'pinnace-store-'));
      app = await buildImage(join(dir, 'app'), {
        reference: APP,
        layers: [
          { randomBytes: 3_000_000, seed: 1 },
          { randomBytes: 10, seed: 2 },
        ],
      });
      const platforms = ['linux/amd64', 'linux/arm64'];
      multi = await buildImage(join(dir, 'multi'), {
        reference: MULTI,
        layers: [{ randomBytes: 1000 }],
        platforms,
        dockerSchema2: true,
      });
    });
    after(() => rm(dir, { recursive: true }));

    void it('is empty at first', async t => {
      const { store } = await make(t);
      assert.deepEqual(await store.images(), []);
      assert.equal(await store.open(ABSENT), undefined);
    });

    void it('has the images that were put there, by name', async t => {
      const { store, put } = await make(t);
      await put(app);
      await put(multi);
      const images = await store.images();
      assert.equal(images.length, 2);
      for (const built of [app, multi]) {
        const image = byName(images, built.reference);
        assert.ok(image);
        const { mediaType, digest, size } = built.target;
        assert.deepEqual({ ...image.target }, { mediaType, digest, size });
        assert.ok(Number.isFinite(image.createdAt));
        assert.equal(image.fetched, false);
      }
    });

    void it('opens every content of an image, with the bytes that its digest names', async t => {
      const { store, put } = await make(t);
      await put(app);
      await put(multi);
      for (const { digest, size } of [...app.contents, ...multi.contents]) {
        const content = await store.open(digest);
        assert.ok(content, digest);
        assert.equal(content.digest, digest);
        assert.equal(content.size, size);
        assert.equal(digestOf(await readAll(content)), digest);
        await content.close();
      }
    });

    void it('reads from any place, and fewer bytes at the end alone', async t => {
      const { store, put } = await make(t);
      await put(app);
      const { digest, size } = app.manifests[0]!.layers[0]!;
      const bytes = await readFile(blobPath(app.dir, digest));
      const content = await store.open(digest);
      assert.ok(content);
      const part = Buffer.alloc(1_500_000);
      const reads = [0, 1, 1_048_576, size - 5, size].map(
        async at => [at, await content.read(part.subarray(), at)] as const,
      );
      for (const [at, count] of await Promise.all(reads)) assert.equal(count, Math.min(part.length, size - at));
      assert.equal(await content.read(part, 777), part.length);
      assert.ok(part.equals(bytes.subarray(777, 777 + part.length)));
      await content.close();
    });

    void it('gives an untouched content the same stamp each time', async t => {
      const { store, put } = await make(t);
      await put(app);
      const [one, two] = [await store.open(app.digest), await store.open(app.digest)];
      assert.ok(one && two);
      assert.equal(one.stamp, two.stamp);
      await Promise.all([one.close(), two.close()]);
    });

    void it('finds a content whose file was cut short', async t => {
      const { store, put, cut } = await make(t);
      await put(app);
      await cut(app.digest);
      await assert.rejects(store.open(app.digest), error => hasCode(error, 'STORE_CORRUPT'));
    });

    void it('forgets a name that was taken away, and what is open stays readable', async t => {
      const { store, put, remove } = await make(t);
      await put(app);
      const content = await store.open(app.digest);
      assert.ok(content);
      await remove(APP);
      assert.deepEqual(await store.images(), []);
      assert.equal(digestOf(await readAll(content)), app.digest);
      await content.close();
    });

    void it('tells of every change until its signal aborts', async t => {
      const { store, put, remove } = await make(t);
      const stop = new AbortController();
      let changes = 0;
      let seen: string[] = [];
      const watching = store.watch(() => {
        changes += 1;
        void store.images().then(images => {
          seen = images.map(({ reference }) => formatReference(reference));
        });
      }, stop.signal);
      await put(app);
      await eventually(() => seen.includes(APP), 'a new image is told');
      await put(multi);
      await eventually(() => seen.includes(MULTI), 'a second image is told');
      await remove(APP);
      await eventually(() => !seen.includes(APP), 'a removal is told');
      stop.abort();
      await watching;
      const after = changes;
      await remove(MULTI);
      assert.equal(changes, after);
    });

    void it('keeps what is adopted, and names it once it is complete (where Pinnace may write)', async t => {
      const { store, file } = await make(t);
      const { keeping } = store;
      if (!keeping || !file) return t.diagnostic('this store is only read');
      const reference = parseReference(APP);
      const blob = async (digest: Digest): Promise<string> => file(await readFile(blobPath(app.dir, digest)));
      const [last, ...others] = app.contents;
      assert.ok(last);
      for (const { digest } of others) await keeping.adopt(digest, await blob(digest));
      await assert.rejects(keeping.name(reference, app.target), error => hasCode(error, 'CONTENT_ABSENT'));
      await keeping.adopt(last.digest, await blob(last.digest));
      await keeping.adopt(last.digest, await blob(last.digest));
      await keeping.name(reference, app.target);
      const image = byName(await store.images(), APP);
      assert.equal(image?.target.digest, app.digest);
      assert.equal(image?.fetched, true);
      for (const { digest } of app.contents) {
        const content = await store.open(digest);
        assert.ok(content);
        assert.equal(digestOf(await readAll(content)), digest);
        await content.close();
      }
      await keeping.remove(reference);
      await keeping.remove(reference);
      assert.deepEqual(await store.images(), []);
    });
  });
}

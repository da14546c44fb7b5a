/** What every spool must do, on whatever disk. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { type Digest, digestOf } from '../../src/oci/oci.ts';
import type { Content, Spool } from '../../src/store/store.ts';

/** Bytes that every spool under test may hold. */
export const SPOOL_BYTES = 1000;

/** Makes an empty spool of SPOOL_BYTES; it goes with the test. */
export type MakeSpool = (t: TestContext) => Promise<Spool>;

/** `length` bytes that differ by `seed`. */
export const bytesFor = (seed: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (at * 31 + seed * 17) % 256);

/** Puts whole bytes into a spool; their digest. */
export async function fill(spool: Spool, bytes: Uint8Array): Promise<Digest> {
  const spooled = await spool.begin(digestOf(bytes), bytes.length);
  await spooled.append(bytes);
  await spooled.commit();
  return spooled.digest;
}

/** All bytes of a content, which is then closed. */
export async function readAll(content: Content): Promise<Uint8Array> {
  const bytes = new Uint8Array(content.size + 1);
  try {
    return bytes.subarray(0, await content.read(bytes, 0));
  } finally {
    await content.close();
  }
}

/** Resolves when the spool has `bytes` free: files are closed a little after their last reader let go. */
export async function freed(spool: Spool, bytes: number): Promise<void> {
  const end = performance.now() + 5000;
  while (spool.free !== bytes) {
    assert.ok(performance.now() < end, `the spool has ${spool.free} bytes free, never ${bytes}`);
    await new Promise(resolve => setTimeout(resolve, 1));
  }
}

export function spoolConformance(name: string, make: MakeSpool): void {
  void describe(`a spool: ${name}`, () => {
    void it('gives back whole content, and nothing of what is absent', async t => {
      const spool = await make(t);
      const bytes = bytesFor(1, 100);
      const digest = await fill(spool, bytes);
      const content = await spool.open(digest);
      assert.ok(content);
      assert.equal(content.size, 100);
      const part = new Uint8Array(10);
      assert.equal(await content.read(part, 95), 5);
      assert.deepEqual(part.subarray(0, 5), bytes.subarray(95));
      assert.deepEqual(await readAll(content), bytes);
      assert.deepEqual(spool.list(), [digest]);
      assert.equal(await spool.open(digestOf(bytesFor(2, 1))), undefined);
    });

    void it('has empty contents too', async t => {
      const spool = await make(t);
      const digest = await fill(spool, new Uint8Array(0));
      const content = await spool.open(digest);
      assert.ok(content);
      assert.equal((await readAll(content)).length, 0);
    });

    void it('takes several appends at a time and knows how far they reach without a gap', async t => {
      const spool = await make(t);
      const bytes = bytesFor(3, 300);
      const spooled = await spool.begin(digestOf(bytes), bytes.length);
      await Promise.all([0, 100, 200].map(at => spooled.append(bytes.subarray(at, at + 100))));
      assert.equal(spooled.written, 300);
      const seen = new Uint8Array(400);
      assert.equal(await spooled.read(seen, 0), 300);
      assert.deepEqual(seen.subarray(0, 300), bytes);
      assert.equal(await spooled.read(seen, 300), 0);
    });

    void it('is not to be seen before it is whole', async t => {
      const spool = await make(t);
      const bytes = bytesFor(4, 100);
      const spooled = await spool.begin(digestOf(bytes), bytes.length);
      await spooled.append(bytes.subarray(0, 60));
      assert.equal(await spool.open(spooled.digest), undefined);
      assert.deepEqual(spool.list(), []);
      await assert.rejects(spooled.commit());
    });

    void it('starts again from nothing', async t => {
      const spool = await make(t);
      const bytes = bytesFor(5, 100);
      const spooled = await spool.begin(digestOf(bytes), bytes.length);
      await spooled.append(bytesFor(6, 80));
      await spooled.restart();
      assert.equal(spooled.written, 0);
      await spooled.append(bytes);
      await spooled.commit();
      const content = await spool.open(spooled.digest);
      assert.ok(content);
      assert.deepEqual(await readAll(content), bytes);
    });

    void it('refuses what is written beyond the size', async t => {
      const spool = await make(t);
      const spooled = await spool.begin(digestOf(bytesFor(5, 10)), 10);
      await assert.rejects(spooled.append(new Uint8Array(11)));
    });

    void it('promises no room twice, and frees it when a content is given up', async t => {
      const spool = await make(t);
      const [a, b] = [digestOf(bytesFor(1, 1)), digestOf(bytesFor(2, 1))];
      const begun = await Promise.allSettled([spool.begin(a, 600), spool.begin(b, 600)]);
      const [first] = begun.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []));
      const [refused] = begun.flatMap(result => (result.status === 'rejected' ? [result.reason as unknown] : []));
      assert.ok(first);
      assert.ok(hasCode(refused, 'SPOOL_FULL'));
      assert.equal(spool.free, 400);
      await first.abandon();
      assert.equal(spool.free, SPOOL_BYTES);
      await (await spool.begin(b, 600)).abandon();
    });

    void it('refuses what is larger than all of it', async t => {
      const spool = await make(t);
      await assert.rejects(spool.begin(digestOf(bytesFor(1, 1)), SPOOL_BYTES + 1), error =>
        hasCode(error, 'SPOOL_FULL'),
      );
      assert.equal(spool.free, SPOOL_BYTES);
    });

    void it('evicts what was used least recently, and no more than it must', async t => {
      const spool = await make(t);
      const [a, b, c] = [
        await fill(spool, bytesFor(1, 300)),
        await fill(spool, bytesFor(2, 300)),
        await fill(spool, bytesFor(3, 300)),
      ];
      await (await spool.open(a))?.close();
      await freed(spool, SPOOL_BYTES);
      await fill(spool, bytesFor(4, 300));
      assert.equal(await spool.open(b), undefined);
      assert.deepEqual(new Set(spool.list()), new Set([c, a, digestOf(bytesFor(4, 300))]));
    });

    void it('never evicts what is open', async t => {
      const spool = await make(t);
      const bytes = bytesFor(1, 600);
      const content = await spool.open(await fill(spool, bytes));
      assert.ok(content);
      await freed(spool, 400);
      await assert.rejects(spool.begin(digestOf(bytesFor(2, 500)), 500), error => hasCode(error, 'SPOOL_FULL'));
      assert.deepEqual(await readAll(content), bytes);
      await freed(spool, SPOOL_BYTES);
      await (await spool.begin(digestOf(bytesFor(2, 500)), 500)).abandon();
      assert.deepEqual(spool.list(), []);
    });

    void it('passes over what is open, and evicts what was used later', async t => {
      const spool = await make(t);
      const [open, other] = [await fill(spool, bytesFor(1, 400)), await fill(spool, bytesFor(2, 400))];
      await freed(spool, SPOOL_BYTES);
      const content = await spool.open(open);
      await (await spool.open(other))?.close();
      await (await spool.begin(digestOf(bytesFor(3, 400)), 400)).abandon();
      assert.deepEqual(spool.list(), [open]);
      await content?.close();
    });

    void it('lets who holds a content read on after it was given up, and counts it until then', async t => {
      const spool = await make(t);
      const spooled = await spool.begin(digestOf(bytesFor(1, 500)), 500);
      await spooled.append(bytesFor(1, 200));
      const release = spooled.hold();
      await spooled.abandon();
      const seen = new Uint8Array(200);
      assert.equal(await spooled.read(seen, 0), 200);
      assert.deepEqual(seen, bytesFor(1, 200));
      assert.equal(spool.free, SPOOL_BYTES - 500);
      release();
      release();
      await freed(spool, SPOOL_BYTES);
    });

    void it('lets who holds a content read on after it was finished, evicted or dropped', async t => {
      const spool = await make(t);
      const bytes = bytesFor(1, 500);
      const spooled = await spool.begin(digestOf(bytes), 500);
      await spooled.append(bytes);
      const release = spooled.hold();
      await spooled.commit();
      await freed(spool, SPOOL_BYTES - 500);
      await spool.drop(spooled.digest);
      assert.deepEqual(spool.list(), []);
      const seen = new Uint8Array(500);
      assert.equal(await spooled.read(seen, 0), 500);
      assert.deepEqual(seen, bytes);
      release();
      await freed(spool, SPOOL_BYTES);
    });

    void it('lets who takes hold of a finished content late read it', async t => {
      const spool = await make(t);
      const bytes = bytesFor(1, 500);
      const spooled = await spool.begin(digestOf(bytes), 500);
      await spooled.append(bytes);
      await spooled.commit();
      await freed(spool, SPOOL_BYTES);
      const release = spooled.hold();
      const seen = new Uint8Array(500);
      assert.equal(await spooled.read(seen, 0), 500);
      assert.equal(spool.free, SPOOL_BYTES - 500);
      release();
      await freed(spool, SPOOL_BYTES);
      await spool.drop(spooled.digest);
      await assert.rejects(spooled.read(seen, 0), error => hasCode(error, 'CONTENT_ABSENT'));
    });

    void it('hands a content over: it is not of the spool any more, and its reader reads on', async t => {
      const spool = await make(t);
      const bytes = bytesFor(1, 500);
      const digest = await fill(spool, bytes);
      const content = await spool.open(digest);
      assert.ok(content);
      const path = await spool.take(digest);
      assert.ok(path);
      assert.equal(await spool.open(digest), undefined);
      assert.equal(await spool.take(digest), undefined);
      assert.deepEqual(await readAll(content), bytes);
      assert.equal(await fill(spool, bytes), digest);
      assert.notEqual(await spool.take(digest), path);
    });

    void it('replaces a content that comes a second time', async t => {
      const spool = await make(t);
      const bytes = bytesFor(1, 400);
      const digest = await fill(spool, bytes);
      const before = await spool.open(digest);
      assert.ok(before);
      await fill(spool, bytes);
      assert.deepEqual(await readAll(before), bytes);
      await freed(spool, SPOOL_BYTES);
      assert.deepEqual(spool.list(), [digest]);
      await spool.drop(digest);
      await spool.drop(digest);
      assert.equal(spool.free, SPOOL_BYTES);
    });
  });
}

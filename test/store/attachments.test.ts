/** Attachments on a disk beyond the suite: power cuts, full and rotten disks, foreign files, two processes, floods. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode, MirrorError } from '../../src/errors.ts';
import { type Digest, digestOf, hexOf, parseDigest } from '../../src/oci/oci.ts';
import { type OpenAttachments, openAttachments } from '../../src/store/attachments.ts';
import type { OpenFile } from '../../src/store/disk.ts';
import { ATTACHMENT_GRACE_MS, ATTACHMENT_MAX_BYTES, type Attachment, type Attachments } from '../../src/store/store.ts';
import { realWorld, type World } from '../../src/world.ts';
import { type BuiltAttachment, buildAttachment } from '../support/memory-attachments.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const DIR = '/attachments';
const INDEX = `${DIR}/index.json`;
const SUBJECT = parseDigest(`sha256:${'ab'.repeat(32)}`);
const OTHER = parseDigest(`sha256:${'cd'.repeat(32)}`);
const START = Date.parse('2026-11-25T00:00:00Z');
const pathOf = (digest: Digest): string => `${DIR}/blobs/sha256/${hexOf(digest)}`;
const keep = (into: Attachments, { artifact, contents }: BuiltAttachment): Promise<Attachment> =>
  into.keep(artifact, contents);

/** A disk whose power goes after so many changes. */
class MortalDisk extends MemoryDisk {
  left = Number.POSITIVE_INFINITY;

  #change(): void {
    if (this.left <= 0) throw new MirrorError('FILE_UNREADABLE', 'the power is gone');
    this.left -= 1;
  }
  override async create(path: string): Promise<OpenFile> {
    this.#change();
    const file = await super.create(path);
    const write = (bytes: Uint8Array, at: number): Promise<void> => {
      this.#change();
      return file.write(bytes, at);
    };
    return { ...file, write };
  }
  override async rename(from: string, to: string): Promise<void> {
    this.#change();
    await super.rename(from, to);
  }
  override async remove(path: string): Promise<void> {
    this.#change();
    await super.remove(path);
  }
  override async syncFolder(folder: string): Promise<void> {
    this.#change();
    await super.syncFolder(folder);
  }
}

void describe('attachments on a disk', () => {
  const clock = { now: START };
  const world: World = { ...realWorld, now: () => clock.now };
  const open = (disk: MemoryDisk): Promise<OpenAttachments> => openAttachments(disk, DIR, world);
  const one = buildAttachment(SUBJECT, 'one');
  const two = buildAttachment(SUBJECT, 'two', { bond: 'sig' });

  /** What is listed is there, to the last byte; and nothing else is. */
  async function whole(disk: MemoryDisk, attachments: Attachments): Promise<readonly Digest[]> {
    const all = attachments.subjects().flatMap(subject => attachments.of(subject));
    const digests = new Set(all.flatMap(({ manifest, contents }) => [manifest, ...contents].map(each => each.digest)));
    for (const digest of digests) {
      const content = await attachments.open(digest);
      assert.ok(content, digest);
      const bytes = Buffer.alloc(content.size);
      await content.read(bytes, 0);
      await content.close();
      assert.equal(digestOf(bytes), digest);
    }
    assert.deepEqual([...(await disk.list(`${DIR}/blobs/sha256`))].sort(), [...digests].map(hexOf).sort());
    return all.map(({ manifest }) => manifest.digest);
  }

  void it('are the same after a restart, in the same order', async () => {
    const disk = new MemoryDisk();
    const before = await open(disk);
    for (const each of [two, one, buildAttachment(OTHER, 'three')]) await keep(before, each);
    const after = await open(disk);
    assert.deepEqual(after.of(SUBJECT), before.of(SUBJECT));
    assert.deepEqual(after.subjects(), [SUBJECT, OTHER]);
    await whole(disk, after);
  });

  void it('are an OCI layout that says what each is about', async () => {
    const disk = new MemoryDisk();
    await keep(await open(disk), one);
    const index = JSON.parse(Buffer.from(disk.peek(INDEX)!).toString()) as { manifests: Record<string, unknown>[] };
    assert.deepEqual(index.manifests[0]!.annotations, {
      'dev.pinnace.subject': SUBJECT,
      'dev.pinnace.bond': 'subject',
      'dev.pinnace.kept': new Date(clock.now).toISOString(),
    });
    assert.equal(index.manifests[0]!.digest, one.digest);
    assert.ok(disk.peek(`${DIR}/oci-layout`));
  });

  void it('stay whole wherever the power goes, and what was kept stays kept', async () => {
    for (const luck of [
      () => 0,
      (most: number) => most,
      (most: number) => Math.floor(most / 2),
      (most: number) => Math.min(1, most),
    ])
      for (let changes = 0, cut = true; cut; changes++) {
        const disk = new MortalDisk();
        const before = await open(disk);
        await keep(before, one);
        disk.left = changes;
        cut = await keep(before, two).then(
          () => false,
          () => true,
        );
        disk.left = Number.POSITIVE_INFINITY;
        disk.crash(luck);
        disk.end('process-1');
        disk.self = 'process-2';
        const after = await open(disk);
        const kept = await whole(disk, after);
        assert.equal(kept[0], one.digest, `after ${changes} changes`);
        if (!cut) assert.equal(kept[1], two.digest);
        await keep(after, two);
        assert.deepEqual(await whole(disk, after), [one.digest, two.digest]);
      }
  });

  void it('stay whole wherever the power goes while some are dropped', async () => {
    for (const luck of [() => 0, (most: number) => most])
      for (let changes = 0, cut = true; cut; changes++) {
        clock.now = START;
        const disk = new MortalDisk();
        const before = await open(disk);
        await keep(before, one);
        await keep(before, buildAttachment(OTHER, 'gone'));
        clock.now += ATTACHMENT_GRACE_MS + 1;
        disk.left = changes;
        cut = await before
          .retain(subject => subject === SUBJECT)
          .then(
            () => false,
            () => true,
          );
        disk.left = Number.POSITIVE_INFINITY;
        disk.crash(luck);
        disk.end('process-1');
        disk.self = 'process-2';
        const after = await open(disk);
        assert.equal((await whole(disk, after))[0], one.digest);
        await after.retain(subject => subject === SUBJECT);
        assert.deepEqual(await whole(disk, after), [one.digest]);
      }
    clock.now = START;
  });

  void it('leave nothing of what the disk has no room for', async () => {
    const disk = new MemoryDisk();
    const attachments = await open(disk);
    await keep(attachments, one);
    disk.resize(2 ** 40);
    const used = 2 ** 40 - (await disk.free());
    for (let room = 0; room < 3000; room += 150) {
      disk.resize(used + room);
      const refused = await keep(attachments, buildAttachment(OTHER, Buffer.alloc(2000, 1))).then(
        () => undefined,
        (error: unknown) => error,
      );
      assert.ok(hasCode(refused, 'FILE_UNREADABLE'), String(refused));
      assert.deepEqual(await whole(disk, attachments), [one.digest]);
      assert.deepEqual(await disk.list(`${DIR}/.pinnace/staging`), []);
    }
    disk.resize(2 ** 40);
    await keep(attachments, two);
    assert.deepEqual(await whole(disk, await open(disk)), [one.digest, two.digest]);
  });

  void it('that rotted are not listed after a restart, and are whole once they are kept again', async () => {
    for (const [rotten, size] of [
      [one.digest, 0],
      [digestOf(Buffer.from('one')), 1],
    ] as const) {
      const disk = new MemoryDisk();
      const before = await open(disk);
      await keep(before, one);
      await keep(before, two);
      // What rots may still be good JSON.
      const bytes = disk.peek(pathOf(rotten))!;
      bytes[Math.max(0, Buffer.from(bytes).indexOf('dev.example.of'))]! ^= 1;
      disk.poke(pathOf(rotten), bytes.subarray(size));
      await keep(before, one);
      assert.deepEqual(await whole(disk, before), [one.digest, two.digest]);
      disk.poke(pathOf(rotten), bytes.subarray(size));
      const after = await open(disk);
      assert.deepEqual(await whole(disk, after), [two.digest]);
      await keep(after, one);
      assert.deepEqual(await whole(disk, after), [two.digest, one.digest]);
    }
  });

  void it('whose file was cut are told as corrupt to who opens them', async () => {
    const disk = new MemoryDisk();
    const attachments = await open(disk);
    await keep(attachments, one);
    disk.poke(pathOf(one.digest), new Uint8Array(3));
    await assert.rejects(attachments.open(one.digest), error => hasCode(error, 'STORE_CORRUPT'));
  });

  void it('refuse an index that is damaged or another program’s, and say what to do', async () => {
    const disk = new MemoryDisk();
    const running = await open(disk);
    await keep(running, one);
    const good = disk.peek(INDEX)!;
    const text = Buffer.from(good).toString();
    const foreign = { schemaVersion: 2, manifests: [{ mediaType: 'x', digest: one.digest, size: 3 }] };
    for (const bad of [
      '',
      text.slice(0, -10),
      '[]',
      '{"schemaVersion":2}',
      JSON.stringify(foreign),
      text.replace(SUBJECT, 'sha256:00'),
      text.replace('"subject"', '"other"'),
      text.replace(/"size":\d+/, '"size":-1'),
      text.replace(/"size":\d+/, `"size":${ATTACHMENT_MAX_BYTES + 1}`),
      text.replace('image.manifest', 'image.index'),
      text.replace('2026', 'then'),
    ]) {
      disk.poke(INDEX, Buffer.from(bad));
      const told = (error: unknown): boolean =>
        hasCode(error, 'STATE_INVALID') && error.message.includes(INDEX) && error.message.includes('remove');
      await assert.rejects(open(disk), told, bad);
      await assert.rejects(running.refresh(), told);
      await assert.rejects(keep(running, two), told);
      assert.equal(running.of(SUBJECT).length, 1, 'what was known stays');
      assert.equal(Buffer.from(disk.peek(INDEX)!).toString(), bad, 'nothing is written over it');
    }
    disk.poke(INDEX, good);
    disk.poke(`${DIR}/oci-layout`, Buffer.from('{"imageLayoutVersion":"2.0.0"}'));
    await assert.rejects(open(disk), error => hasCode(error, 'STATE_NEWER'));
  });

  void it('of two processes lose nothing, and each learns what the other kept and dropped', async () => {
    clock.now = START;
    const disk = new MemoryDisk();
    const [here, there] = [await open(disk), await open(disk)];
    const built = Array.from({ length: 20 }, (_, at) => buildAttachment(at % 2 ? SUBJECT : OTHER, `payload ${at}`));
    await Promise.all(built.map((each, at) => keep(at % 3 ? here : there, each)));
    await Promise.all([here.refresh(), there.refresh()]);
    for (const each of [here, there]) assert.equal((await whole(disk, each)).length, 20);
    const stop = new AbortController();
    let told = Promise.withResolvers<void>();
    const watching = here.watch(() => told.resolve(), stop.signal);
    await told.promise;
    told = Promise.withResolvers();
    await keep(there, one);
    while (!here.owners(one.digest).length) {
      await told.promise;
      told = Promise.withResolvers();
    }
    clock.now += ATTACHMENT_GRACE_MS + 1;
    await here.retain(subject => subject === SUBJECT);
    await there.refresh();
    assert.deepEqual(there.subjects(), [SUBJECT]);
    await keep(there, buildAttachment(OTHER, 'payload 0'));
    await here.refresh();
    assert.equal((await whole(disk, here)).length, 12);
    stop.abort();
    await watching;
    clock.now = START;
  });

  void it('are taken by ten thousand on one subject, with few writings of the index, and hinder no other', async () => {
    let indexes = 0;
    class CountingDisk extends MemoryDisk {
      override async rename(from: string, to: string): Promise<void> {
        if (to === INDEX) indexes += 1;
        await super.rename(from, to);
      }
    }
    const disk = new CountingDisk();
    const attachments = await open(disk);
    const flood = Array.from({ length: 10_000 }, (_, at) => buildAttachment(SUBJECT, `junk ${at}`));
    await Promise.all(flood.map(each => keep(attachments, each)));
    assert.ok(indexes <= 50, `${indexes} writings`);
    assert.equal(attachments.of(SUBJECT).length, 10_000);
    await keep(attachments, buildAttachment(OTHER, 'honest'));
    await keep(attachments, one);
    assert.equal(attachments.of(OTHER).length, 1);
    assert.equal(attachments.of(SUBJECT).at(-1)!.manifest.digest, one.digest);
    const after = await open(disk);
    assert.equal(after.of(SUBJECT).length, 10_001);
  });

  void it('of one batch fail alone', async () => {
    const disk = new MemoryDisk();
    const attachments = await open(disk);
    const wrong = buildAttachment(OTHER, 'wrong');
    const results = await Promise.allSettled([
      keep(attachments, one),
      attachments.keep({ ...wrong.artifact, subject: SUBJECT }, wrong.contents),
      keep(attachments, two),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(await whole(disk, attachments), [one.digest, two.digest]);
  });
});

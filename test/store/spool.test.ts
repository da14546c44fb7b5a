/** What the spool does beyond the suite: restarts, power cuts, a full disk, writes that end in any order. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode, MirrorError } from '../../src/errors.ts';
import { digestOf } from '../../src/oci/oci.ts';
import type { OpenFile } from '../../src/store/disk.ts';
import { openSpool } from '../../src/store/spool.ts';
import { realWorld } from '../../src/world.ts';
import { bytesFor, fill, freed, readAll } from '../conformance/spool.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const DIR = '/spool';

/** A memory disk whose writes end when, and as, the test says. */
class SlowDisk extends MemoryDisk {
  readonly writes: ((error?: Error) => void)[] = [];

  override async create(path: string): Promise<OpenFile> {
    const file = await super.create(path);
    return {
      ...file,
      write: (bytes, position) =>
        new Promise((resolve, reject) => {
          this.writes.push(error => (error ? reject(error) : resolve(file.write(bytes, position))));
        }),
    };
  }
}

void describe('the spool', () => {
  void it('keeps whole contents over a restart, least recently used first, and removes partial ones', async () => {
    let now = 1000;
    const disk = new MemoryDisk({ now: () => now });
    const world = { ...realWorld, now: () => now };
    const before = await openSpool(disk, DIR, 1000, world);
    const a = await fill(before, bytesFor(1, 100));
    now += 1000;
    const b = await fill(before, bytesFor(2, 100));
    now += 1000;
    await (await before.open(a))?.close();
    const partial = await before.begin(digestOf(bytesFor(3, 1)), 100);
    await partial.append(bytesFor(3, 50));
    await before.settled();
    const after = await openSpool(disk, DIR, 1000, world);
    assert.deepEqual(after.list(), [b, a]);
    assert.equal((await disk.list(DIR)).length, 2);
    const content = await after.open(a);
    assert.ok(content);
    assert.deepEqual(await readAll(content), bytesFor(1, 100));
    assert.equal(after.free, 1000);
  });

  void it('evicts at start what a smaller limit leaves no room for', async () => {
    const disk = new MemoryDisk();
    const before = await openSpool(disk, DIR, 1000, realWorld);
    for (const seed of [1, 2, 3]) await fill(before, bytesFor(seed, 300));
    await before.settled();
    const after = await openSpool(disk, DIR, 500, realWorld);
    assert.equal(after.list().length, 1);
    assert.equal((await disk.list(DIR)).length, 1);
  });

  void it('does not trust, after a power cut, what was not synced', async () => {
    const disk = new MemoryDisk();
    const before = await openSpool(disk, DIR, 1000, realWorld);
    const synced = await fill(before, bytesFor(1, 100));
    await before.settled();
    await fill(before, bytesFor(2, 100));
    disk.crash();
    const after = await openSpool(disk, DIR, 1000, realWorld);
    assert.deepEqual(after.list(), [synced]);
  });

  void it('saves a content while another is on its way', async () => {
    const disk = new MemoryDisk();
    const spool = await openSpool(disk, DIR, 1000, realWorld);
    const underWay = await spool.begin(digestOf(bytesFor(9, 1)), 100);
    const digest = await fill(spool, bytesFor(1, 100));
    await spool.settled();
    assert.deepEqual((await openSpool(disk, DIR, 1000, realWorld)).list(), [digest]);
    await underWay.abandon();
  });

  void it('removes a whole file that was cut short, at start and when opened', async () => {
    const disk = new MemoryDisk();
    const hex = digestOf(bytesFor(1, 100)).slice('sha256:'.length);
    const path = `${DIR}/sha256-${hex}-100-1`;
    await disk.mkdir(DIR);
    disk.poke(path, bytesFor(1, 60));
    const spool = await openSpool(disk, DIR, 1000, realWorld);
    assert.deepEqual(spool.list(), []);
    assert.equal(disk.peek(path), undefined);
    const digest = await fill(spool, bytesFor(1, 100));
    await freed(spool, 1000);
    const [name] = await disk.list(DIR);
    disk.poke(`${DIR}/${name}`, bytesFor(1, 60));
    assert.equal(await spool.open(digest), undefined);
    assert.deepEqual(await disk.list(DIR), []);
    assert.equal(spool.free, 1000);
  });

  void it('leaves alone what it did not put there', async () => {
    const disk = new MemoryDisk();
    await disk.mkdir(DIR);
    disk.poke(`${DIR}/notes.txt`, bytesFor(1, 5));
    await openSpool(disk, DIR, 1000, realWorld);
    assert.ok(disk.peek(`${DIR}/notes.txt`));
  });

  void it('counts as written only what has no gap, in whatever order writes end', async () => {
    const disk = new SlowDisk();
    const spool = await openSpool(disk, DIR, 1000, realWorld);
    const bytes = bytesFor(1, 300);
    const spooled = await spool.begin(digestOf(bytes), 300);
    const appends = [0, 100, 200].map(at => spooled.append(bytes.subarray(at, at + 100)));
    disk.writes[2]?.();
    await appends[2];
    assert.equal(spooled.written, 0);
    disk.writes[0]?.();
    await appends[0];
    assert.equal(spooled.written, 100);
    disk.writes[1]?.();
    await appends[1];
    assert.equal(spooled.written, 300);
  });

  void it('does not commit over a write that failed', async () => {
    const disk = new SlowDisk();
    const spool = await openSpool(disk, DIR, 1000, realWorld);
    const spooled = await spool.begin(digestOf(bytesFor(1, 200)), 200);
    const appends = [bytesFor(1, 100), bytesFor(2, 100)].map(bytes => spooled.append(bytes));
    const failed = assert.rejects(appends[0] as Promise<void>, error => hasCode(error, 'SPOOL_FULL'));
    disk.writes[0]?.(new MirrorError('FILE_UNREADABLE', 'no space', { cause: { code: 'ENOSPC' } }));
    disk.writes[1]?.();
    await failed;
    await appends[1];
    assert.equal(spooled.written, 0);
    await assert.rejects(spooled.commit());
    await spooled.abandon();
    assert.equal(spool.free, 1000);
  });

  void it('says SPOOL_FULL where the disk has less room than the limit, and evicts for it first', async () => {
    const disk = new MemoryDisk({ capacity: 500 });
    const spool = await openSpool(disk, DIR, 10_000, realWorld);
    await fill(spool, bytesFor(1, 300));
    await freed(spool, 10_000);
    const second = await fill(spool, bytesFor(2, 400));
    assert.deepEqual(spool.list(), [second]);
    const content = await spool.open(second);
    await assert.rejects(spool.begin(digestOf(bytesFor(3, 1)), 200), error => hasCode(error, 'SPOOL_FULL'));
    await content?.close();
  });

  void it('evicts nothing for what the disk can never have', async () => {
    const disk = new MemoryDisk({ capacity: 500 });
    const spool = await openSpool(disk, DIR, 10_000, realWorld);
    const first = await fill(spool, bytesFor(1, 300));
    await freed(spool, 10_000);
    await assert.rejects(spool.begin(digestOf(bytesFor(2, 1)), 600), error => hasCode(error, 'SPOOL_FULL'));
    assert.deepEqual(spool.list(), [first]);
  });

  void it('says SPOOL_FULL where the disk is filled by others on the way', async () => {
    const disk = new MemoryDisk({ capacity: 500 });
    const spool = await openSpool(disk, DIR, 10_000, realWorld);
    const spooled = await spool.begin(digestOf(bytesFor(1, 400)), 400);
    await spooled.append(bytesFor(1, 100));
    disk.resize(100);
    await assert.rejects(spooled.append(bytesFor(1, 100)), error => hasCode(error, 'SPOOL_FULL'));
    await spooled.abandon();
    assert.equal(await disk.free(), 100);
  });
});

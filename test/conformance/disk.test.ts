/** The real disk and the one in memory pass the suite of disks; the one in memory loses at a crash what a real one may. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { realDisk } from '../../src/store/disk.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { diskConformance } from './disk.ts';

diskConformance('real', async t => {
  const dir = await mkdtemp(join(tmpdir(), 'pinnace-disk-'));
  t.after(() => rm(dir, { recursive: true }));
  return { disk: realDisk, dir };
});

diskConformance('in memory', async () => {
  const disk = new MemoryDisk();
  await disk.mkdir('/dir');
  return { disk, dir: '/dir' };
});

const text = (disk: MemoryDisk, path: string): string | undefined => {
  const bytes = disk.peek(path);
  return bytes && Buffer.from(bytes).toString();
};

/** A disk with a synced file, and one whose end was not synced; names are synced. */
async function written(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  for (const path of ['/synced', '/torn']) {
    const file = await disk.create(path);
    await file.write(Buffer.from('kept'), 0);
    await file.sync();
    if (path === '/torn') await file.write(Buffer.from('lost'), 4);
    await file.close();
  }
  await disk.syncFolder('/');
  return disk;
}

void test('without luck, a crash leaves what was synced and every name', async () => {
  const disk = await written();
  await disk.rename('/synced', '/renamed');
  disk.crash();
  assert.deepEqual([text(disk, '/renamed'), text(disk, '/torn')], ['kept', 'kept']);
});

void test('with luck, the end of a file is there in part, its bytes or zeros', async () => {
  for (const [bytes, left] of [
    [1, 'keptlo'],
    [0, 'kept\0\0'],
  ] as const) {
    const disk = await written();
    disk.crash(most => (most === 4 ? 2 : Math.min(most, bytes)));
    assert.deepEqual([text(disk, '/synced'), text(disk, '/torn')], ['kept', left]);
  }
});

void test('names that no folder was synced for go back, the newest first', async () => {
  const disk = await written();
  const before = await disk.free();
  await disk.rename('/synced', '/torn');
  await disk.link('/torn', '/second');
  await disk.remove('/torn');
  await (await disk.create('/new')).close();
  const names = async (): Promise<readonly string[]> => [...(await disk.list('/'))].sort();
  let back = 2;
  const luck = (most: number): number => (most > 1 ? Math.min(most, back) : 0);
  disk.crash(luck);
  assert.deepEqual([await names(), text(disk, '/torn')], [['second', 'torn'], 'kept']);
  back = 4;
  disk.crash(luck);
  assert.deepEqual(await names(), ['second', 'torn'], 'what a crash left is on the disk');
  assert.ok((await disk.free()) >= before);
});

void test('a file that a rename replaced is back with its bytes, where the rename goes back', async () => {
  const disk = await written();
  const file = await disk.create('/other');
  await file.write(Buffer.from('other'), 0);
  await file.sync();
  await file.close();
  await disk.rename('/other', '/synced');
  disk.crash(most => Math.min(most, 1));
  assert.deepEqual([text(disk, '/synced'), text(disk, '/other')], ['kept', 'other']);
});

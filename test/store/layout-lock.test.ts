/** The lock of a layout: never two holders, and no holder that nobody can get rid of. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { type Disk, realDisk } from '../../src/store/disk.ts';
import { lockedIn } from '../../src/store/layout-lock.ts';
import { realWorld, type World } from '../../src/world.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const FOLDER = '/locks';

/** A disk as another process sees it, where every step takes a while that `chance` decides. */
function seenBy(disk: MemoryDisk, owner: string, chance: () => number): Disk {
  const late = async <T>(work: () => Promise<T>): Promise<T> => {
    for (let turns = Math.floor(chance() * 4); turns > 0; turns--) await new Promise(setImmediate);
    const result = await work();
    for (let turns = Math.floor(chance() * 4); turns > 0; turns--) await new Promise(setImmediate);
    return result;
  };
  return {
    openRead: path => late(() => disk.openRead(path)),
    create: path => late(() => disk.create(path)),
    openAppend: path => late(() => disk.openAppend(path)),
    rename: (from, to) => late(() => disk.rename(from, to)),
    link: (from, to) => late(() => disk.link(from, to)),
    remove: path => late(() => disk.remove(path)),
    list: folder => late(() => disk.list(folder)),
    facts: path => late(() => disk.facts(path)),
    mkdir: folder => disk.mkdir(folder),
    syncFolder: folder => disk.syncFolder(folder),
    touch: (path, ms) => disk.touch(path, ms),
    free: () => disk.free(),
    watch: (folder, changed, signal) => disk.watch(folder, changed, signal),
    owner: () => {
      disk.self = owner;
      return disk.owner();
    },
    isGone: who => late(() => disk.isGone(who)),
  };
}

/** Numbers from 0 to 1 that a seed decides. */
function chanceOf(seed: number): () => number {
  let state = seed * 2_654_435_761;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 0x9e3779b9) >>> 0;
    return state / 2 ** 32;
  };
}

async function folderIn(disk: MemoryDisk): Promise<MemoryDisk> {
  await disk.mkdir(FOLDER);
  return disk;
}

const quick: World = { ...realWorld, sleep: () => new Promise(resolve => setImmediate(resolve)) };

void describe('the lock of a layout', () => {
  void it('has one holder at a time, in whatever order steps come and whoever dies', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const chance = chanceOf(seed);
      const disk = await folderIn(new MemoryDisk());
      let holders = 0;
      let held = 0;
      const worker = async (name: string, dies: boolean): Promise<void> => {
        const own = seenBy(disk, name, chance);
        for (let round = 0; round < 3; round++) {
          const work = lockedIn(own, FOLDER, quick, async () => {
            holders += 1;
            held += 1;
            assert.equal(holders, 1, `seed ${seed}`);
            for (let turns = Math.floor(chance() * 3); turns > 0; turns--) await new Promise(setImmediate);
            holders -= 1;
            if (dies && round === 1) {
              disk.end(name);
              await new Promise(() => undefined);
            }
          });
          if (dies && round === 1) return;
          await work;
        }
      };
      await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name, at) => worker(name, at < 2)));
      assert.ok(held >= 11, `seed ${seed}: held ${held} times`);
    }
  });

  void it('is not taken by a latecomer whose number was used and removed meanwhile', async () => {
    const disk = await folderIn(new MemoryDisk());
    const enter = (): Promise<void> => lockedIn(disk, FOLDER, quick, () => Promise.resolve());
    await enter();
    const [reached, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const late = seenBy(disk, 'latecomer', () => 0);
    let links = 0;
    const link = async (from: string, to: string): Promise<boolean> => {
      links += 1;
      reached.resolve();
      await go.promise;
      return disk.link(from, to);
    };
    const leave = Promise.withResolvers<void>();
    let inside = false;
    const latecomer = lockedIn({ ...late, link }, FOLDER, quick, async () => assert.equal(inside, false));
    await reached.promise;
    for (let round = 0; round < 3; round++) await enter();
    const holder = lockedIn(disk, FOLDER, quick, async () => {
      inside = true;
      go.resolve();
      await leave.promise;
      inside = false;
    });
    for (let turns = 0; turns < 20; turns++) await new Promise(resolve => setImmediate(resolve));
    leave.resolve();
    await Promise.all([holder, latecomer]);
    assert.ok(links >= 2);
  });

  void it('goes on from an owner that died, and leaves no pile of files', async () => {
    const disk = await folderIn(new MemoryDisk());
    void lockedIn(disk, FOLDER, quick, () => new Promise(() => undefined));
    await new Promise(setImmediate);
    disk.end('process-1');
    disk.self = 'process-2';
    for (let round = 0; round < 5; round++) await lockedIn(disk, FOLDER, quick, () => Promise.resolve());
    assert.ok((await disk.list(FOLDER)).length <= 2);
  });

  void it('is released when its work fails', async () => {
    const disk = await folderIn(new MemoryDisk());
    await assert.rejects(lockedIn(disk, FOLDER, quick, () => Promise.reject(new Error('work'))));
    assert.equal(await lockedIn(disk, FOLDER, quick, () => Promise.resolve(7)), 7);
  });

  void it('says STORE_UNAVAILABLE where a living owner keeps it', async () => {
    let time = 0;
    const world: World = { ...quick, monotonic: () => (time += 1000), now: () => 0 };
    const disk = await folderIn(new MemoryDisk());
    void lockedIn(disk, FOLDER, quick, () => new Promise(() => undefined));
    await new Promise(setImmediate);
    await assert.rejects(
      lockedIn(disk, FOLDER, world, () => Promise.resolve()),
      error => hasCode(error, 'STORE_UNAVAILABLE'),
    );
  });

  void it('is passed on after a minute where nothing can be learnt of its owner', async () => {
    const disk = await folderIn(new MemoryDisk());
    disk.isGone = () => Promise.resolve(undefined);
    disk.poke(`${FOLDER}/7`, Buffer.from('somebody elsewhere'));
    let now = 59_000;
    let looks = 0;
    const sleep = async (): Promise<void> => {
      looks += 1;
      now += 500;
    };
    await lockedIn(disk, FOLDER, { ...quick, now: () => now, sleep }, () => Promise.resolve());
    assert.ok(looks >= 2 && looks <= 4, `${looks} looks`);
  });

  void it('can be read, and is passed on at once, after a power cut', async () => {
    const disk = await folderIn(new MemoryDisk());
    const dead = disk.self;
    void lockedIn(disk, FOLDER, quick, () => new Promise(() => undefined));
    await new Promise(setImmediate);
    assert.deepEqual(await disk.list(FOLDER), ['1']);
    disk.end(dead);
    disk.crash();
    disk.self = 'process-2';
    const sleep = (): Promise<void> => Promise.reject(new Error('it waits'));
    await lockedIn(disk, FOLDER, { ...quick, sleep }, () => Promise.resolve());
  });

  void it('goes on from a process that was killed, and waits for one that lives', async t => {
    const dir = await mkdtemp(join(tmpdir(), 'pinnace-lock-'));
    t.after(() => rm(dir, { recursive: true }));
    const from = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
    const script = `
      import { realDisk } from ${from('store/disk.ts')};
      import { lockedIn } from ${from('store/layout-lock.ts')};
      import { realWorld } from ${from('world.ts')};
      await lockedIn(realDisk, ${JSON.stringify(dir)}, realWorld, () => {
        console.log('held');
        return new Promise(resolve => setTimeout(resolve, 60_000));
      });`;
    const child: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    await new Promise(resolve => child.stdout?.once('data', resolve));
    let waits = 0;
    const world: World = {
      ...realWorld,
      sleep: async ms => {
        waits += 1;
        if (waits === 2) child.kill('SIGKILL');
        await realWorld.sleep(ms);
      },
    };
    await lockedIn(realDisk, dir, world, () => Promise.resolve());
    assert.ok(waits >= 2);
  });
});

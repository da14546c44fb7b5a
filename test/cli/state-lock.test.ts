/** A state folder is used by one `pinnace run` at a time, and by the next whatever became of the last. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lockState } from '../../src/cli/state-lock.ts';
import { realDisk } from '../../src/store/disk.ts';
import { realWorld } from '../../src/world.ts';

const root = await mkdtemp(join(tmpdir(), 'pinnace-lock-'));
after(() => rm(root, { recursive: true }));
let made = 0;
const fresh = (): string => join(root, String(made++));
const lock = (dir: string) => lockState(realDisk, dir, realWorld);
const ownerFile = (dir: string): string => join(dir, 'lock', 'owner');

void test('a second one is refused until the first has released it', async () => {
  const dir = fresh();
  const release = await lock(dir);
  await assert.rejects(lock(dir), { code: 'STATE_LOCKED' });
  await release();
  await (await lock(dir))();
});

void test('of many at once one gets it', async () => {
  const dir = fresh();
  const all = await Promise.allSettled(Array.from({ length: 8 }, () => lock(dir)));
  assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 1);
});

void test('what a killed one left is taken over', async () => {
  const dir = fresh();
  await lock(dir);
  const [boot, namespace, pid, start] = (await readFile(ownerFile(dir), 'utf8')).split(' ');
  await writeFile(ownerFile(dir), [boot, namespace, pid, `${Number(start) - 1}`].join(' '));
  await (await lock(dir))();
  await writeFile(ownerFile(dir), '');
  await (await lock(dir))();
});

void test('one of another container counts as alive while its control socket answers', async () => {
  const dir = fresh();
  await (await lock(dir))();
  const [boot, , pid, start] = (await realDisk.owner()).split(' ');
  await writeFile(ownerFile(dir), [boot, 'pid:[1]', pid, start].join(' '));
  const server = createServer();
  await new Promise<void>(resolve => server.listen(join(dir, 'control.sock'), resolve));
  await assert.rejects(lock(dir), { code: 'STATE_LOCKED' });
  await new Promise(resolve => server.close(resolve));
  await (await lock(dir))();
});

/**
 * One writer at a time in a folder, among processes. Promises: a lock whose owner died is passed on, and never to two.
 * Each holder takes the next number, by a name that only one can make; the highest number stays when it is released, so
 * that no number is used twice. Refuses to know what is written under it.
 */
import { join } from 'node:path';
import { MirrorError } from '../errors.ts';
import type { World } from '../world.ts';
import { closeAfter, type Disk, readWhole } from './disk.ts';

/** How long another writer is waited for, and how often it is looked at. */
const WAIT_MS = 30_000;
const LOOK_MS = 20;
/** A lock of an owner of whom nothing can be learnt (another container) is passed on after so long. */
const LEASE_MS = 60_000;
const OWNER_MAX_BYTES = 512;
/** A held lock, and a released one. */
const NAME = /^(\d{1,15})(\.free)?$/;
const FREE_SUFFIX = '.free';
const NEW_SUFFIX = '.new';

/** Runs `work` as the only writer of `folder`, which is there. @throws STORE_UNAVAILABLE where another keeps it, or as `work` */
export async function lockedIn<T>(disk: Disk, folder: string, world: World, work: () => Promise<T>): Promise<T> {
  const lock = await acquire(disk, folder, world);
  try {
    return await work();
  } finally {
    await disk.rename(lock, `${lock}${FREE_SUFFIX}`);
  }
}

async function acquire(disk: Disk, folder: string, world: World): Promise<string> {
  const ticket = join(folder, `${Buffer.from(world.random(8)).toString('hex')}${NEW_SUFFIX}`);
  const file = await disk.create(ticket);
  try {
    const owner = Buffer.from(await disk.owner());
    await closeAfter(file, async () => {
      await file.write(owner, 0);
      // After a power cut, whoever finds the lock must be able to read whose it was.
      await file.sync();
    });
    const until = world.monotonic() + WAIT_MS;
    for (;;) {
      const lock = await tryOnce(disk, folder, world, ticket);
      if (lock) return lock;
      if (world.monotonic() >= until)
        throw new MirrorError(
          'STORE_UNAVAILABLE',
          `another process has been writing to the store for ${WAIT_MS} ms: see ${folder}`,
        );
      await world.sleep(LOOK_MS);
    }
  } finally {
    await disk.remove(ticket);
  }
}

/** The path of the lock, if it is ours now. */
async function tryOnce(disk: Disk, folder: string, world: World, ticket: string): Promise<string | undefined> {
  const [highest] = await locksIn(disk, folder);
  if (highest && !highest.free && !(await isLeft(disk, highest.path, world))) return undefined;
  const number = (highest?.number ?? 0) + 1;
  const path = join(folder, String(number));
  if (!(await disk.link(ticket, path))) return undefined;
  // The number may be one that was used and removed since we looked; then there is another as high, or a higher one.
  const others = (await locksIn(disk, folder)).filter(lock => lock.path !== path);
  if (others.some(lock => lock.number >= number)) {
    await disk.remove(path);
    return undefined;
  }
  for (const lock of others) await disk.remove(lock.path);
  return path;
}

interface Lock {
  readonly path: string;
  readonly number: number;
  readonly free: boolean;
}

/** Locks in the folder, the highest number first, and of one number the held one. */
async function locksIn(disk: Disk, folder: string): Promise<Lock[]> {
  const locks = (await disk.list(folder)).flatMap(name => {
    const [, number, free] = NAME.exec(name) ?? [];
    return number === undefined ? [] : [{ path: join(folder, name), number: Number(number), free: free !== undefined }];
  });
  return locks.sort((a, b) => b.number - a.number || Number(a.free) - Number(b.free));
}

/** True where the owner of a held lock is no more. */
async function isLeft(disk: Disk, path: string, world: World): Promise<boolean> {
  const file = await disk.openRead(path);
  if (!file) return false;
  const owner = Buffer.from(await closeAfter(file, () => readWhole(file, path, OWNER_MAX_BYTES))).toString();
  const gone = await disk.isGone(owner);
  if (gone !== undefined) return gone;
  const facts = await disk.facts(path);
  return facts !== undefined && world.now() - facts.modifiedAt > LEASE_MS;
}

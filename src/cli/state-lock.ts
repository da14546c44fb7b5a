/**
 * One `pinnace run` at a time in a state folder: two would number records twice and remove each other's files. Promises:
 * the folder of a process that ended, however it ended, can be taken over, and never by two. Refuses to know what is in it.
 */
import { connect } from 'node:net';
import { join } from 'node:path';
import { MirrorError } from '../errors.ts';
import { closeAfter, type Disk, readWhole, replaceFile } from '../store/disk.ts';
import { lockedIn } from '../store/layout-lock.ts';
import type { World } from '../world.ts';
import { CONTROL_SOCKET } from './control-client.ts';

/** The folder of the lock in a state folder, and the file in it that names the owner. */
const LOCK_DIR = 'lock';
const OWNER = 'owner';
const OWNER_MAX_BYTES = 512;

/** Takes the state folder `dir`, which is there, for this process; call the answer at the end. @throws STATE_LOCKED, FILE_UNREADABLE */
export async function lockState(disk: Disk, dir: string, world: World): Promise<() => Promise<void>> {
  const folder = join(dir, LOCK_DIR);
  const path = join(folder, OWNER);
  await disk.mkdir(folder);
  return lockedIn(disk, folder, world, async () => {
    const other = await ownerIn(disk, path);
    if (other !== undefined && (await isAlive(disk, other, dir)))
      throw new MirrorError(
        'STATE_LOCKED',
        `${dir} is used by another pinnace run, process ${other.split(' ')[2] ?? '?'}: stop that first`,
      );
    await replaceFile(disk, path, Buffer.from(await disk.owner()));
    return () => disk.remove(path);
  });
}

async function ownerIn(disk: Disk, path: string): Promise<string | undefined> {
  const file = await disk.openRead(path);
  if (!file) return undefined;
  return Buffer.from(await closeAfter(file, () => readWhole(file, path, OWNER_MAX_BYTES))).toString();
}

/** Of a process in another container nothing can be learnt but whether it answers. */
async function isAlive(disk: Disk, owner: string, dir: string): Promise<boolean> {
  const gone = await disk.isGone(owner);
  return gone === undefined ? answers(join(dir, CONTROL_SOCKET)) : !gone;
}

const answers = (socket: string): Promise<boolean> =>
  new Promise(resolve => {
    const client = connect(socket);
    const end = (answer: boolean): void => {
      client.destroy();
      resolve(answer);
    };
    client.once('connect', () => end(true));
    client.once('error', () => end(false));
  });

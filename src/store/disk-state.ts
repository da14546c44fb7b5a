/**
 * State files on a disk: one replaced whole, one only appended to, and secrets. Promises: a reader finds the old bytes or
 * the new ones, never a mixture; nobody but the owner can read them. Refuses to know what they say.
 */
import { dirname } from 'node:path';
import { MirrorError } from '../errors.ts';
import type { Journal, Keep } from '../world.ts';
import { closeAfter, type Disk, type OpenFile, readWhole } from './disk-port.ts';

/** The largest state file. */
const KEEP_MAX_BYTES = 256 << 20;
/** The largest file that is read as a secret. */
const SECRET_MAX_BYTES = 512 << 10;
/** Permission bits of group and others. */
const NOT_OWNER = 0o077;
const NEWLINE = 0x0a;

/** A queue: it runs one call after the other, whether or not those before it failed. */
export function inTurn(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return work => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
}

/** Replaces `path` by `bytes` durably: beside it, synced, renamed over it. @throws FILE_UNREADABLE */
export async function replaceFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const beside = `${path}.new`;
  const file = await disk.create(beside);
  await closeAfter(file, async () => {
    await file.write(bytes, 0);
    await file.sync();
  });
  await disk.rename(beside, path);
  await disk.syncFolder(dirname(path));
}

/** The state file at `path`, in a folder that is there; writes come one after the other. */
export function keepAt(disk: Disk, path: string): Keep {
  const turn = inTurn();
  return {
    read: () =>
      turn(async () => {
        const file = await disk.openRead(path);
        if (!file) return undefined;
        return closeAfter(file, () => readWhole(file, path, KEEP_MAX_BYTES));
      }),
    write: bytes => turn(() => replaceFile(disk, path, bytes)),
  };
}

/**
 * The journal at `path`, in a folder that is there; `sync` makes each append survive a power cut. A line that an earlier
 * run, or a full disk, left half-written is ended before the next, so that at most this one is lost.
 */
export function journalAt(disk: Disk, path: string, { sync = false }: { sync?: boolean } = {}): Journal {
  const turn = inTurn();
  let opened: OpenFile | undefined;
  const append = async (bytes: Uint8Array): Promise<void> => {
    const file = opened ?? (await openAtLine(disk, path));
    // Kept only once the write succeeded: after a failure the end of the file is looked at again.
    opened = undefined;
    try {
      await file.write(bytes, 0);
      if (sync) await file.sync();
    } catch (error) {
      await file.close();
      throw error;
    }
    opened = file;
  };
  return { append: bytes => turn(() => append(bytes)) };
}

async function openAtLine(disk: Disk, path: string): Promise<OpenFile> {
  const file = await disk.openAppend(path);
  try {
    const { size } = await file.facts();
    const last = new Uint8Array(1);
    if (size > 0 && (await file.read(last, size - 1)) === 1 && last[0] !== NEWLINE)
      await file.write(Uint8Array.of(NEWLINE), size);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The bytes of a secret file, a link to one included. @throws SECRET_EXPOSED where others may read it, FILE_UNREADABLE */
export async function readSecret(disk: Disk, path: string): Promise<Uint8Array<ArrayBuffer>> {
  const file = await disk.openRead(path, 'follow');
  if (!file) throw new MirrorError('FILE_UNREADABLE', `the secret file ${path} is not there`);
  return closeAfter(file, async () => {
    const { mode } = await file.facts();
    if (mode & NOT_OWNER)
      throw new MirrorError(
        'SECRET_EXPOSED',
        `${path} may be read by others (mode ${mode.toString(8)}): chmod 600 ${path}`,
      );
    return readWhole(file, path, SECRET_MAX_BYTES);
  });
}

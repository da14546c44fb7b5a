/** The machine's own disk. Reads and writes go by descriptor and callback: no streams, no copies. Linux. */
import fs, { constants } from 'node:fs';
import {
  chmod,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  statfs,
  utimes,
  watch,
} from 'node:fs/promises';
import { assert, MirrorError } from '../errors.ts';
import { closeAfter, type Disk, type FileFacts, type OpenFile } from './disk-port.ts';

const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const MODE_BITS = 0o7777;
const NANOSECONDS_PER_MS = 1_000_000n;
/** Where the start time stands in /proc/PID/stat, counted after the command's closing bracket. */
const START_TIME_FIELD = 19;
/** States of a process that has ended. */
const ENDED = ['Z', 'X', 'x'];

const codeOf = (error: unknown): unknown => (error as { code?: unknown } | null)?.code;

function unreadable(doing: string, path: string, cause: unknown): MirrorError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new MirrorError('FILE_UNREADABLE', `cannot ${doing} ${path}: ${why}`, { cause });
}

/** Runs `work`; answers with `absent` where the file is not there. */
async function attempt<T, A>(doing: string, path: string, work: () => Promise<T>, ...absent: A[]): Promise<T | A> {
  try {
    return await work();
  } catch (error) {
    if (absent.length && (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR')) return absent[0] as A;
    throw unreadable(doing, path, error);
  }
}

function factsOf(stats: fs.BigIntStats): FileFacts {
  return {
    kind: stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : 'other',
    size: Number(stats.size),
    modifiedAt: Number(stats.mtimeNs / NANOSECONDS_PER_MS),
    mode: Number(stats.mode) & MODE_BITS,
    stamp: `${stats.ino}-${stats.size}-${stats.mtimeNs}-${stats.ctimeNs}`,
  };
}

const openDescriptor = (path: string, flags: number): Promise<number> =>
  new Promise((resolve, reject) =>
    fs.open(path, flags, FILE_MODE, (error, descriptor) => (error ? reject(error) : resolve(descriptor))),
  );

class RealFile implements OpenFile {
  readonly #path: string;
  readonly #descriptor: number;
  #underWay = 0;
  #idle: (() => void) | undefined;
  #closed: Promise<void> | undefined;

  constructor(path: string, descriptor: number) {
    this.#path = path;
    this.#descriptor = descriptor;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    let done = 0;
    while (done < into.length) {
      const from = done;
      const count = await this.#call<number>('read', answer =>
        fs.read(this.#descriptor, into, from, into.length - from, position + from, answer),
      );
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const from = done;
      done += await this.#call<number>('write', answer =>
        fs.write(this.#descriptor, bytes, from, bytes.length - from, position + from, answer),
      );
    }
  }

  async facts(): Promise<FileFacts> {
    return factsOf(
      await this.#call<fs.BigIntStats>('look at', answer => fs.fstat(this.#descriptor, { bigint: true }, answer)),
    );
  }

  async sync(): Promise<void> {
    await this.#call('sync', answer => fs.fdatasync(this.#descriptor, error => answer(error, undefined)));
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    // A descriptor's number is used again at once: what is under way on it must end first.
    if (this.#underWay > 0) await new Promise<void>(resolve => (this.#idle = resolve));
    await new Promise<void>((resolve, reject) =>
      fs.close(this.#descriptor, error => (error ? reject(unreadable('close', this.#path, error)) : resolve())),
    );
  }

  #call<T>(doing: string, call: (answer: (error: Error | null, value: T) => void) => void): Promise<T> {
    assert(!this.#closed, `${doing} after close: ${this.#path}`);
    this.#underWay += 1;
    return new Promise((resolve, reject) =>
      call((error, value) => {
        this.#underWay -= 1;
        if (error) reject(unreadable(doing, this.#path, error));
        else resolve(value);
        if (this.#underWay === 0) this.#idle?.();
      }),
    );
  }
}

async function openRead(path: string, links: 'refuse' | 'follow' = 'refuse'): Promise<OpenFile | undefined> {
  // Without O_NONBLOCK a named pipe would hold a thread until somebody writes to it.
  const flags = O_RDONLY | O_NONBLOCK | (links === 'refuse' ? O_NOFOLLOW : 0);
  const descriptor = await attempt('open', path, () => openDescriptor(path, flags), undefined);
  if (descriptor === undefined) return undefined;
  const file = new RealFile(path, descriptor);
  const { kind } = await file.facts();
  if (kind === 'file') return file;
  await file.close();
  throw new MirrorError('FILE_UNREADABLE', `${path} is not a regular file`);
}

/** When a process began; it throws for one that is no more, or only waits to be reaped. */
async function startOf(pid: string): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (ENDED.includes(fields[0] ?? '')) throw new Error(`the process ${pid} has ended`);
  return fields[START_TIME_FIELD] ?? '';
}

/** Boot, pid namespace, pid and start: together never used twice. */
async function owner(): Promise<string> {
  try {
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    return [boot, await readlink('/proc/self/ns/pid'), process.pid, await startOf('self')].join(' ');
  } catch (error) {
    throw unreadable('read', '/proc', error);
  }
}

async function isGone(line: string): Promise<boolean | undefined> {
  const [boot, namespace, pid = '', start, ...more] = line.split(' ');
  if (start === undefined || more.length || !/^\d{1,10}$/.test(pid)) return undefined;
  const [ownBoot, ownNamespace] = (await owner()).split(' ');
  if (boot !== ownBoot) return true;
  if (namespace !== ownNamespace) return undefined;
  return (await startOf(pid).catch(() => undefined)) !== start;
}

/** The disk of this machine. */
export const realDisk: Disk = {
  openRead,
  async create(path) {
    await realDisk.remove(path);
    const flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
    return new RealFile(path, await attempt('create', path, () => openDescriptor(path, flags)));
  },
  async openAppend(path) {
    const flags = O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK;
    return new RealFile(path, await attempt('open', path, () => openDescriptor(path, flags)));
  },
  rename: (from, to) => attempt('rename', `${from} to ${to}`, () => rename(from, to)),
  async link(from, to) {
    try {
      await link(from, to);
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw unreadable('link', `${from} to ${to}`, error);
    }
  },
  remove: path => attempt('remove', path, () => rm(path, { force: true })),
  list: folder => attempt('list', folder, () => readdir(folder), []),
  facts: path => attempt('look at', path, async () => factsOf(await lstat(path, { bigint: true })), undefined),
  async mkdir(folder) {
    const made = await attempt('make', folder, () => mkdir(folder, { recursive: true, mode: FOLDER_MODE }));
    // A umask of the caller may have taken bits of the owner's away.
    if (made !== undefined) await attempt('make', folder, () => chmod(folder, FOLDER_MODE));
  },
  async syncFolder(folder) {
    const file = new RealFile(
      folder,
      await attempt('open', folder, () => openDescriptor(folder, O_RDONLY | O_DIRECTORY)),
    );
    await closeAfter(file, () => file.sync());
  },
  touch: (path, modifiedAt) => attempt('touch', path, () => utimes(path, modifiedAt / 1000, modifiedAt / 1000)),
  free: folder =>
    attempt('look at', folder, async () => {
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize;
    }),
  async watch(folder, changed, signal) {
    try {
      for await (const _ of watch(folder, { signal, persistent: false })) changed();
    } catch {
      // Aborted, or no watch to be had: the caller looks now and then in any case.
    }
  },
  owner,
  isGone,
};

/**
 * A small file system of its own for a folder or a file, to be filled and emptied. Promises: it lives in memory, is
 * unmounted at the end, and nothing of the machine's own disks is filled. Refuses to know who writes to it.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './processes.ts';

const BALLAST = '.ballast';
const PIECE_BYTES = 64 * 1024;

/** Why nothing can be mounted here; undefined where it can. */
export async function mountless(): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'pinnace-try-'));
  try {
    const disk = await SmallDisk.at(folder, PIECE_BYTES);
    await disk.remove();
    return undefined;
  } catch (error) {
    return `no file system can be mounted here: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export class SmallDisk {
  readonly folder: string;
  /** What is mounted, the innermost last. */
  readonly #mounts: string[] = [];
  readonly #atExit = (): void => this.#unmountNow();

  private constructor(folder: string) {
    this.folder = folder;
    process.once('exit', this.#atExit);
  }

  /** Mounts `bytes` at `folder`, made where missing. @throws where this process may not */
  static async at(folder: string, bytes: number): Promise<SmallDisk> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await run(['mount', '-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'none', folder]);
    const disk = new SmallDisk(folder);
    disk.#mounts.push(folder);
    return disk;
  }

  /** Shows a file or folder of another disk under a name on this one: what is written there takes no room here. */
  async show(what: string, name: string, kind: 'file' | 'folder'): Promise<void> {
    const target = join(this.folder, name);
    await SmallDisk.#make(what, kind);
    await SmallDisk.#make(target, kind);
    await this.#bind(what, target);
  }

  /** Shows a file of this disk as `path`, which lies on another. */
  async lend(name: string, path: string): Promise<void> {
    await SmallDisk.#make(join(this.folder, name), 'file');
    await SmallDisk.#make(path, 'file');
    await this.#bind(join(this.folder, name), path);
  }

  /** Leaves no byte free. */
  async fill(): Promise<void> {
    const file = await open(join(this.folder, BALLAST), 'a');
    try {
      // Half the piece each time it does not fit, so that the last byte is found.
      for (let piece = PIECE_BYTES; piece >= 1; )
        await file.appendFile(Buffer.alloc(piece)).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOSPC') throw error;
          piece = Math.floor(piece / 2);
        });
    } finally {
      await file.close();
    }
  }

  /** Takes away what `fill` put there. */
  async empty(): Promise<void> {
    await rm(join(this.folder, BALLAST), { force: true });
  }

  /** Bytes that are free. */
  async free(): Promise<number> {
    const { bavail, bsize } = await statfs(this.folder);
    return bavail * bsize;
  }

  /** Unmounts it, with all that is in it. */
  async remove(): Promise<void> {
    process.off('exit', this.#atExit);
    for (let path = this.#mounts.pop(); path !== undefined; path = this.#mounts.pop())
      await run(['umount', '-l', path]);
  }

  async #bind(what: string, path: string): Promise<void> {
    await run(['mount', '--bind', what, path]);
    this.#mounts.push(path);
  }

  static async #make(path: string, kind: 'file' | 'folder'): Promise<void> {
    if (kind === 'folder') await mkdir(path, { recursive: true, mode: 0o700 });
    else await writeFile(path, '', { flag: 'a', mode: 0o600 });
  }

  /** A test that ends in mid-work leaves no mount behind. */
  #unmountNow(): void {
    for (let path = this.#mounts.pop(); path !== undefined; path = this.#mounts.pop())
      try {
        execFileSync('umount', ['-l', path]);
      } catch {
        // Gone already.
      }
  }
}

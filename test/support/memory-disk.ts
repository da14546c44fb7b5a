/**
 * A disk in memory: bounded, so that it can be full, and able to lose power. Promises: a name that is removed leaves the
 * file readable to who has it open, as on a real one; after `crash` synced bytes and synced names are left for sure, and
 * of what came since only what luck leaves: the last names go back in their order, ends of files are torn or zeros.
 */
import { dirname } from 'node:path';
import { MirrorError } from '../../src/errors.ts';
import type { Disk, FileFacts, OpenFile } from '../../src/store/disk.ts';
import { type Inode, type Luck, tear } from './memory-inode.ts';

export interface MemoryDiskSettings {
  /** Bytes in all; no limit unless given. */
  readonly capacity?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Changes of names that a crash can take back; older ones have reached the disk by themselves. */
const NAMES_AT_RISK = 32;

const failure = (code: string, what: string): MirrorError =>
  new MirrorError('FILE_UNREADABLE', `${what}: ${code}`, { cause: Object.assign(new Error(code), { code }) });

export class MemoryDisk implements Disk {
  readonly #files = new Map<string, Inode>();
  readonly #folders = new Set<string>(['/']);
  readonly #watchers = new Map<string, Set<() => void>>();
  readonly #gone = new Set<string>();
  readonly #owners = new Set<string>();
  /** Takes back the last changes of names, the newest last, since a folder was synced. */
  readonly #takeBack: (() => void)[] = [];
  readonly #now: () => number;
  #capacity: number;
  #inodes = 0;
  #used = 0;
  #failWrites = false;
  /** What `owner` answers; change it to be another process. */
  self = 'process-1';

  constructor({ capacity = Number.POSITIVE_INFINITY, now = () => 0 }: MemoryDiskSettings = {}) {
    this.#capacity = capacity;
    this.#now = now;
  }

  /** From now on the disk has room for `bytes` in all. */
  resize(bytes: number): void {
    this.#capacity = bytes;
  }

  /** From now on every write fails with EIO, or succeeds again. */
  failWrites(fail: boolean): void {
    this.#failWrites = fail;
  }

  /** Power is lost: what was not synced is cut away, or, with `luck`, is there in part. Without it names stay as they are. */
  crash(luck: Luck = () => 0): void {
    for (let back = luck(this.#takeBack.length); back > 0; back--) this.#takeBack.pop()?.();
    this.#takeBack.splice(0);
    const inodes = new Set(this.#files.values());
    for (const inode of inodes) tear(inode, luck);
    this.#used = [...inodes].reduce((all, { size }) => all + size, 0);
  }

  /** The process of that owner line has ended. */
  end(owner: string): void {
    this.#gone.add(owner);
  }

  /** A file as it is now, for looking at. */
  peek(path: string): Uint8Array | undefined {
    const inode = this.#files.get(path);
    return inode?.bytes.slice(0, inode.size);
  }

  /** Puts a file there, synced. */
  poke(path: string, bytes: Uint8Array, mode = 0o600): void {
    const inode = this.#make(path, mode);
    this.#takeBack.splice(0);
    this.#grow(inode, bytes.length);
    const copy = new Uint8Array(bytes);
    Object.assign(inode, { bytes: copy, synced: copy, shared: true, size: bytes.length });
  }

  async openRead(path: string): Promise<OpenFile | undefined> {
    const inode = this.#files.get(path);
    return inode && this.#open(inode);
  }

  async create(path: string): Promise<OpenFile> {
    return this.#open(this.#make(path, 0o600));
  }

  async openAppend(path: string): Promise<OpenFile> {
    const inode = this.#files.get(path) ?? this.#make(path, 0o600);
    const file = this.#open(inode);
    return { ...file, write: bytes => file.write(bytes, inode.size) };
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = this.#files.get(from);
    if (!inode) throw failure('ENOENT', from);
    if (from === to) return;
    const replaced = this.#files.get(to);
    this.#files.delete(from);
    if (replaced) this.#unlink(replaced);
    this.#files.set(to, inode);
    inode.changes += 1;
    this.#atRisk(() => {
      this.#files.set(from, inode);
      if (replaced) this.#relink(to, replaced);
      else this.#files.delete(to);
    });
    this.#tell(from);
    this.#tell(to);
  }

  async link(from: string, to: string): Promise<boolean> {
    const inode = this.#files.get(from);
    if (!inode) throw failure('ENOENT', from);
    if (this.#files.has(to)) return false;
    inode.names += 1;
    inode.changes += 1;
    this.#files.set(to, inode);
    this.#atRisk(() => {
      this.#files.delete(to);
      inode.names -= 1;
    });
    this.#tell(to);
    return true;
  }

  async remove(path: string): Promise<void> {
    const inode = this.#files.get(path);
    if (!inode) return;
    this.#files.delete(path);
    this.#unlink(inode);
    this.#atRisk(() => this.#relink(path, inode));
    this.#tell(path);
  }

  async list(folder: string): Promise<readonly string[]> {
    return [...this.#files.keys(), ...this.#folders]
      .filter(path => path !== folder && dirname(path) === folder)
      .map(path => path.slice(path.lastIndexOf('/') + 1));
  }

  async facts(path: string): Promise<FileFacts | undefined> {
    const inode = this.#files.get(path);
    if (inode) return this.#factsOf(inode);
    if (!this.#folders.has(path)) return undefined;
    const names = (await this.list(path)).map(name => this.#files.get(`${path}/${name}`)?.number ?? name);
    return { kind: 'folder', size: 0, modifiedAt: 0, mode: 0o700, stamp: names.join() };
  }

  async mkdir(folder: string): Promise<void> {
    for (let path = folder; !this.#folders.has(path); path = dirname(path)) this.#folders.add(path);
  }

  async syncFolder(folder: string): Promise<void> {
    if (!this.#folders.has(folder)) throw failure('ENOENT', folder);
    // Changes of names reach the disk in their order, whatever their folders.
    this.#takeBack.splice(0);
  }

  async touch(path: string, modifiedAt: number): Promise<void> {
    const inode = this.#files.get(path);
    if (!inode) throw failure('ENOENT', path);
    inode.modifiedAt = modifiedAt;
    inode.changes += 1;
  }

  async free(): Promise<number> {
    return this.#capacity - this.#used;
  }

  watch(folder: string, changed: () => void, signal: AbortSignal): Promise<void> {
    const watchers = this.#watchers.get(folder) ?? new Set();
    this.#watchers.set(folder, watchers.add(changed));
    return new Promise(resolve => {
      const end = (): void => {
        watchers.delete(changed);
        resolve();
      };
      if (signal.aborted) end();
      else signal.addEventListener('abort', end, { once: true });
    });
  }

  async owner(): Promise<string> {
    this.#owners.add(this.self);
    return this.self;
  }

  async isGone(owner: string): Promise<boolean | undefined> {
    return this.#gone.has(owner) || (this.#owners.has(owner) ? false : undefined);
  }

  #make(path: string, mode: number): Inode {
    if (!this.#folders.has(dirname(path))) throw failure('ENOENT', path);
    const before = this.#files.get(path);
    if (before) this.#unlink(before);
    this.#inodes += 1;
    const empty = new Uint8Array(0);
    const inode = {
      number: this.#inodes,
      bytes: empty,
      synced: empty,
      shared: false,
      size: 0,
      modifiedAt: this.#now(),
      changes: 0,
      mode,
      names: 1,
      open: 0,
    };
    this.#files.set(path, inode);
    this.#atRisk(() => {
      if (before) this.#relink(path, before);
      else this.#files.delete(path);
    });
    this.#tell(path);
    return inode;
  }

  #atRisk(takeBack: () => void): void {
    this.#takeBack.push(takeBack);
    if (this.#takeBack.length > NAMES_AT_RISK) this.#takeBack.shift();
  }

  #unlink(inode: Inode): void {
    inode.names -= 1;
    this.#release(inode);
  }

  /** At a crash alone, which counts what is used anew. */
  #relink(path: string, inode: Inode): void {
    inode.names += 1;
    this.#files.set(path, inode);
  }

  #grow(inode: Inode, by: number): void {
    if (by > 0 && this.#used + by > this.#capacity) throw failure('ENOSPC', `file ${inode.number}`);
    this.#used += by;
  }

  #release(inode: Inode): void {
    if (inode.names > 0 || inode.open > 0) return;
    this.#used -= inode.size;
    inode.size = 0;
  }

  #factsOf(inode: Inode): FileFacts {
    const { number, size, modifiedAt, changes, mode } = inode;
    return { kind: 'file', size, modifiedAt, mode, stamp: `${number}-${size}-${modifiedAt}-${changes}` };
  }

  #tell(path: string): void {
    for (const changed of this.#watchers.get(dirname(path)) ?? []) queueMicrotask(changed);
  }

  #write(inode: Inode, bytes: Uint8Array, position: number): void {
    if (this.#failWrites) throw failure('EIO', `file ${inode.number}`);
    const end = position + bytes.length;
    if (end > inode.size) this.#grow(inode, end - inode.size);
    if (end > inode.bytes.length || inode.shared) {
      const larger = new Uint8Array(
        end > inode.bytes.length ? Math.max(end, 2 * inode.bytes.length) : inode.bytes.length,
      );
      larger.set(inode.bytes);
      Object.assign(inode, { bytes: larger, shared: false });
    }
    inode.bytes.set(bytes, position);
    inode.size = Math.max(inode.size, end);
    inode.modifiedAt = this.#now();
    inode.changes += 1;
  }

  #open(inode: Inode): OpenFile {
    inode.open += 1;
    let open = true;
    const check = (): void => {
      if (!open) throw new Error('defect: use after close');
    };
    return {
      read: async (into, position) => {
        check();
        const part = inode.bytes.subarray(Math.min(position, inode.size), Math.min(position + into.length, inode.size));
        into.set(part);
        return part.length;
      },
      write: async (bytes, position) => {
        check();
        this.#write(inode, bytes, position);
      },
      facts: async () => this.#factsOf(inode),
      sync: async () => {
        check();
        inode.synced = inode.bytes.subarray(0, inode.size);
        inode.shared = true;
      },
      close: async () => {
        if (!open) return;
        open = false;
        inode.open -= 1;
        this.#release(inode);
      },
    };
  }
}

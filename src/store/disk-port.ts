/**
 * The narrow port to the disk, at the very edge: everything that Pinnace keeps is read and written through it. Promises:
 * what it makes is for its owner alone (files 0600, folders 0700); devices and pipes are never opened. Refuses to know
 * what is in a file. Every error is FILE_UNREADABLE with the system's own error as its cause.
 */
import { MirrorError } from '../errors.ts';

export interface FileFacts {
  readonly kind: 'file' | 'folder' | 'other';
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modifiedAt: number;
  /** Permission bits. */
  readonly mode: number;
  /** Changes whenever the bytes may have changed: inode, size, mtime and ctime in nanoseconds. */
  readonly stamp: string;
}

/** An open file; it stays readable until closed, whatever becomes of its name. */
export interface OpenFile {
  /** Reads until `into` is full or the file ends; answers with the bytes read. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Writes all `bytes`, which must not change meanwhile; several may be under way. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  facts(): Promise<FileFacts>;
  /** Resolves when all that was written would survive a power cut. */
  sync(): Promise<void>;
  /** Waits for what is under way; a second call does nothing. */
  close(): Promise<void>;
}

export interface Disk {
  /** Opens a regular file; undefined where it is absent. A symbolic link is refused unless it is to be followed. */
  openRead(path: string, links?: 'refuse' | 'follow'): Promise<OpenFile | undefined>;
  /** A new, empty file for reading and writing; what had that name is gone. */
  create(path: string): Promise<OpenFile>;
  /** For a journal: each write goes to the end of the file, whatever its position says. */
  openAppend(path: string): Promise<OpenFile>;
  /** Replaces `to` atomically. */
  rename(from: string, to: string): Promise<void>;
  /** A second name for a file; false where `to` exists already. */
  link(from: string, to: string): Promise<boolean>;
  /** Removes a file; absent is fine. */
  remove(path: string): Promise<void>;
  /** Names in a folder; none where it is absent. */
  list(folder: string): Promise<readonly string[]>;
  /** Of the name itself, a link is not followed; undefined where it is absent. */
  facts(path: string): Promise<FileFacts | undefined>;
  /** Makes a folder and those above it; there already is fine. */
  mkdir(folder: string): Promise<void>;
  /** Makes renames and removals in a folder durable. */
  syncFolder(folder: string): Promise<void>;
  /** Sets when a file was modified, in milliseconds since 1970. */
  touch(path: string, modifiedAt: number): Promise<void>;
  /** Bytes that may still be written to the file system of `folder`. */
  free(folder: string): Promise<number>;
  /** Calls `changed` after changes of names in `folder`, until `signal` aborts; ends earlier where it cannot watch. */
  watch(folder: string, changed: () => void, signal: AbortSignal): Promise<void>;
  /** One line that names this process, for lock files. */
  owner(): Promise<string>;
  /** True where the process of that line has ended; undefined where this one cannot tell. */
  isGone(owner: string): Promise<boolean | undefined>;
}

/** True where a FILE_UNREADABLE came from a disk, or a quota, without room. */
export function isDiskFull(error: unknown): boolean {
  const code = error instanceof MirrorError ? (error.cause as { code?: unknown } | undefined)?.code : undefined;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** True where a FILE_UNREADABLE says that a file cannot be renamed to another disk. */
export const isOtherDisk = (error: unknown): boolean =>
  error instanceof MirrorError && (error.cause as { code?: unknown } | undefined)?.code === 'EXDEV';

/** Closes `file` after `work`, whatever came of it. @throws what `work` throws */
export async function closeAfter<T>(file: Pick<OpenFile, 'close'>, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await file.close();
  }
}

/** Reads a file of at most `maxBytes` whole. @throws `FILE_UNREADABLE` beyond that */
export async function readWhole(file: OpenFile, path: string, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const { size } = await file.facts();
  if (size > maxBytes)
    throw new MirrorError('FILE_UNREADABLE', `${path} has ${size} bytes; at most ${maxBytes} are read of such a file`);
  const bytes = new Uint8Array(size);
  return bytes.subarray(0, await file.read(bytes, 0));
}

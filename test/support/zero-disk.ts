/**
 * A disk in memory for contents of gigabytes that are zeros: a piece of zeros takes no room. Promises: what was written is
 * what is read. Only what a spool uses; it is never full and never loses power.
 */
import { MemoryDisk } from './memory-disk.ts';
import type { Disk, FileFacts, OpenFile } from '../../src/store/disk.ts';

/** Bytes of a piece; files are written in whole pieces, but for their last. */
const PIECE_BYTES = 1 << 20;
const ZEROS = Buffer.alloc(PIECE_BYTES);

interface Sparse {
  size: number;
  changes: number;
  /** Pieces that are not zeros, by number. */
  readonly pieces: Map<number, Uint8Array>;
}

/** Opens such a disk; folders are those of a memory disk, files its own. */
export function zeroDisk(): Disk {
  const files = new Map<string, Sparse>();
  const folders = new MemoryDisk();
  const inFolder = (path: string, folder: string): boolean => path.slice(0, path.lastIndexOf('/')) === folder;
  const create = async (path: string): Promise<OpenFile> => {
    const file = { size: 0, changes: 0, pieces: new Map<number, Uint8Array>() };
    files.set(path, file);
    return open(file);
  };
  const openRead = async (path: string): Promise<OpenFile | undefined> => {
    const file = files.get(path);
    return file && open(file);
  };
  return {
    create,
    openRead,
    openAppend: () => Promise.reject(new Error('a spool has no journal')),
    rename: async (from, to) => {
      const file = files.get(from);
      if (file) files.set(to, file);
      files.delete(from);
    },
    link: async () => false,
    remove: async path => void files.delete(path),
    list: async folder =>
      [...files.keys()].filter(path => inFolder(path, folder)).map(path => path.slice(folder.length + 1)),
    facts: async path => {
      const file = files.get(path);
      return file ? factsOf(file) : folders.facts(path);
    },
    mkdir: folder => folders.mkdir(folder),
    syncFolder: async () => undefined,
    touch: async () => undefined,
    free: async () => Number.MAX_SAFE_INTEGER,
    watch: async () => undefined,
    owner: () => folders.owner(),
    isGone: owner => folders.isGone(owner),
  };
}

const factsOf = ({ size, changes }: Sparse): FileFacts => ({
  kind: 'file',
  size,
  modifiedAt: 0,
  mode: 0o600,
  stamp: `${size}-${changes}`,
});

const open = (file: Sparse): OpenFile => ({
  read: async (into, position) => {
    const end = Math.min(position + into.length, file.size);
    for (let at = position; at < end; ) {
      const inPiece = at % PIECE_BYTES;
      const count = Math.min(PIECE_BYTES - inPiece, end - at);
      const piece = file.pieces.get(Math.floor(at / PIECE_BYTES)) ?? ZEROS;
      into.set(piece.subarray(inPiece, inPiece + count), at - position);
      at += count;
    }
    return Math.max(0, end - position);
  },
  write: async (bytes, position) => {
    if (position % PIECE_BYTES !== 0 || bytes.length > PIECE_BYTES)
      throw new Error(`a write of ${bytes.length} bytes at ${position} is no piece`);
    if (ZEROS.compare(bytes, 0, bytes.length, 0, bytes.length) !== 0)
      file.pieces.set(position / PIECE_BYTES, Uint8Array.from(bytes));
    file.size = Math.max(file.size, position + bytes.length);
    file.changes += 1;
  },
  facts: async () => factsOf(file),
  sync: async () => undefined,
  close: async () => undefined,
});

/**
 * Reads a tar of images entry by entry. Promises: nothing in it becomes a path of this machine; links are only names for
 * other entries; names, their number and sizes are bounded. Refuses to know what the entries are. Reads plain tar alone.
 */
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import tar from 'tar-stream';
import { asMirrorError, MirrorError } from '../errors.ts';
import { CONTENT_MAX_BYTES } from '../proof/proof.ts';
import { closeAfter, type Disk, type OpenFile } from './disk.ts';

/** The largest archive. */
export const ARCHIVE_MAX_BYTES = 256 * 2 ** 30;
/** The most entries of an archive, folders and links included. */
export const ARCHIVE_MAX_ENTRIES = 20_000;
const NAME_MAX_CHARACTERS = 1024;
/** Links that are followed from one entry to the next. */
const LINKS_MAX = 8;
const PIECE_BYTES = 1 << 20;

/** How compressed files begin; a tar does not. */
const COMPRESSED: readonly [string, string][] = [
  ['1f8b', 'gzip'],
  ['28b52ffd', 'zstd'],
  ['fd377a58', 'xz'],
  ['425a68', 'bzip2'],
];

/** One file of the archive; `bytes` must be read to its end before the answer is given. */
export interface ArchiveFile {
  /** Relative, with single slashes, without dots. */
  readonly name: string;
  /** Bytes, as the archive says. */
  readonly size: number;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Where links of an archive lead. */
export interface ArchiveLinks {
  /** The name that `name` stands for at the end of its links. @throws ARCHIVE_INVALID */
  follow(name: string): string;
}

const invalid = (what: string, cause?: unknown): MirrorError =>
  new MirrorError('ARCHIVE_INVALID', `the archive ${what}`, cause === undefined ? {} : { cause });

/**
 * Reads the archive at `path` from its beginning to its end and hands each file to `take`.
 * @throws ARCHIVE_INVALID, FILE_UNREADABLE, STOPPED, and what `take` throws
 */
export async function readArchive(
  disk: Disk,
  path: string,
  take: (file: ArchiveFile) => Promise<void>,
  signal: AbortSignal,
): Promise<ArchiveLinks> {
  const file = await disk.openRead(path, 'follow');
  if (!file) throw new MirrorError('FILE_UNREADABLE', `${path} is not there`);
  return closeAfter(file, async () => {
    const { size } = await file.facts();
    if (size > ARCHIVE_MAX_BYTES) throw invalid(`${path} is larger than ${ARCHIVE_MAX_BYTES} bytes`);
    await refuseCompressed(file, path);
    const entries = new Entries(take);
    const extract = tar.extract();
    const feeding = pipeline(Readable.from(pieces(file, size, signal)), extract);
    feeding.catch(() => undefined);
    try {
      for await (const entry of extract) {
        await entries.add(entry.header, entry as AsyncIterable<Uint8Array>);
        entry.resume();
      }
      await feeding;
    } catch (error) {
      extract.destroy();
      // What broke the feeding is told, rather than that the tar ended early because of it.
      const reason = await feeding.then(
        () => error,
        (fed: unknown) => (fed instanceof MirrorError ? fed : error),
      );
      throw asMirrorError(reason, 'ARCHIVE_INVALID', `the archive ${path} is damaged`);
    }
    return entries;
  });
}

async function refuseCompressed(file: OpenFile, path: string): Promise<void> {
  const head = Buffer.alloc(4);
  await file.read(head, 0);
  const [, method] = COMPRESSED.find(([magic]) => head.toString('hex').startsWith(magic)) ?? [];
  if (method) throw invalid(`${path} is compressed with ${method}: decompress it first`);
}

async function* pieces(file: OpenFile, size: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < size; ) {
    if (signal.aborted) throw asMirrorError(signal.reason, 'STOPPED', 'the import was stopped');
    // A new piece each time: the reader of the tar keeps parts of it.
    const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, size - at));
    const count = await file.read(piece, at);
    if (count === 0) return;
    at += count;
    yield piece.subarray(0, count);
  }
}

class Entries implements ArchiveLinks {
  readonly #take: (file: ArchiveFile) => Promise<void>;
  readonly #names = new Set<string>();
  readonly #links = new Map<string, string>();
  #count = 0;

  constructor(take: (file: ArchiveFile) => Promise<void>) {
    this.#take = take;
  }

  async add(header: tar.Header, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    this.#count += 1;
    if (this.#count > ARCHIVE_MAX_ENTRIES) throw invalid(`has more than ${ARCHIVE_MAX_ENTRIES} entries`);
    if (header.type === 'directory') return;
    const name = plainName(header.name);
    if (this.#names.has(name)) throw invalid(`has two entries ${name}`);
    this.#names.add(name);
    const { size, linkname } = header;
    // The tar reader lets sizes pass that are no numbers, and then waits for ever.
    if (!Number.isSafeInteger(size) || size < 0 || size > CONTENT_MAX_BYTES)
      throw invalid(`has an entry ${name} whose size is none from 0 to ${CONTENT_MAX_BYTES} bytes`);
    // The types of a tar are an open set: whatever is not known is refused below.
    const type: string = header.type;
    switch (type) {
      case 'file':
      case 'contiguous-file':
        return this.#take({ name, size, bytes });
      case 'symlink':
        // As it would lie beside the link in a file system, but a name in the archive it must stay.
        this.#links.set(name, plainName(posix.join(posix.dirname(name), relative(linkname))));
        return;
      case 'link':
        this.#links.set(name, plainName(linkname));
        return;
      default:
        throw invalid(`has an entry ${name} that is neither a file, a folder nor a link`);
    }
  }

  follow(name: string): string {
    let at = name;
    for (let links = 0; links <= LINKS_MAX; links++) {
      const next = this.#links.get(at);
      if (next === undefined) return at;
      at = next;
    }
    throw invalid(`has more than ${LINKS_MAX} links in a row at ${name}`);
  }
}

function relative(target: string): string {
  if (target.startsWith('/')) throw invalid(`has a link to ${JSON.stringify(target.slice(0, 80))}`);
  return target;
}

/** A name as it may stand in an archive: relative, going down only. */
function plainName(raw: string): string {
  const parts = raw.split('/').filter(part => part !== '' && part !== '.');
  const bad = raw.length > NAME_MAX_CHARACTERS || raw.startsWith('/') || raw.includes('\0') || raw.includes('\uFFFD');
  if (bad || parts.length === 0 || parts.includes('..'))
    throw invalid(`has an entry or link with the name ${JSON.stringify(raw.slice(0, 80))}, which is not taken`);
  return parts.join('/');
}

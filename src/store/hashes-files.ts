/**
 * Proofs in files, one for each digest. Promises: a file that is cut short, altered or of another version counts as absent
 * and is written anew; the number of files and the memory for those read last are bounded. A file is one line of JSON
 * {version, digest, size, stamp, root}, a newline, then the raw list. Refuses to know what was hashed.
 */
import { join } from 'node:path';
import { algorithmOf, type Digest, hexOf, isDigest } from '../oci/oci.ts';
import { type Proof, parseProof, rootOf } from '../proof/proof.ts';
import { closeAfter, type Disk, readWhole } from './disk.ts';

/** A proof, and the stamp of the file whose bytes gave it. */
export interface KeptProof {
  readonly stamp: string;
  readonly proof: Proof;
}

/** Proofs that are kept at most; the least recently used goes first. */
const FILES_MAX = 50_000;
/** The list of the largest content, with room for the head. */
const FILE_MAX_BYTES = 16 << 20;
/** Lists that are kept in memory. */
const MEMORY_MAX_BYTES = 8 << 20;
/** What one proof in memory costs beside its list. */
const MEMORY_EACH_BYTES = 512;
const VERSION = 1;
const STAMP_MAX_CHARACTERS = 200;
const NEWLINE = 0x0a;
const NEW_SUFFIX = '.new';
const NAME = /^(sha256|sha512)-([a-f0-9]{64,128})$/;

/** Opens the proofs in the folder `dir`, made where missing. @throws FILE_UNREADABLE */
export async function openProofFiles(disk: Disk, dir: string, filesMax = FILES_MAX): Promise<ProofFiles> {
  await disk.mkdir(dir);
  const found: { digest: Digest; usedAt: number }[] = [];
  for (const name of await disk.list(dir)) {
    const [, algorithm, hex] = NAME.exec(name) ?? [];
    const digest = `${algorithm}:${hex}`;
    if (isDigest(digest)) found.push({ digest, usedAt: (await disk.facts(join(dir, name)))?.modifiedAt ?? 0 });
    else if (name.endsWith(NEW_SUFFIX)) await disk.remove(join(dir, name));
  }
  found.sort((a, b) => a.usedAt - b.usedAt);
  const files = new ProofFiles(
    disk,
    dir,
    filesMax,
    found.map(({ digest }) => digest),
  );
  await files.fit();
  return files;
}

export class ProofFiles {
  readonly #disk: Disk;
  readonly #dir: string;
  readonly #filesMax: number;
  /** Digests with a file, the least recently used first. */
  readonly #digests: Set<Digest>;
  /** Those read or written last. */
  readonly #memory = new Map<Digest, KeptProof>();
  #memoryBytes = 0;
  #written = 0;

  /** `digests` are those that have a file, the least recently used first. */
  constructor(disk: Disk, dir: string, filesMax: number, digests: readonly Digest[]) {
    this.#disk = disk;
    this.#dir = dir;
    this.#filesMax = filesMax;
    this.#digests = new Set(digests);
  }

  /** The proof kept of a digest. @throws FILE_UNREADABLE */
  async read(digest: Digest): Promise<KeptProof | undefined> {
    if (!this.#digests.delete(digest)) return undefined;
    this.#digests.add(digest);
    const remembered = this.#memory.get(digest);
    if (remembered) return remembered;
    const kept = await this.#readFile(digest).catch(() => undefined); // Unreadable is as absent: it is hashed again.
    if (kept) this.#remember(kept);
    else this.#digests.delete(digest);
    return kept;
  }

  /** Keeps a proof in place of what was kept of its digest; where the disk fails, in memory alone. */
  async write(kept: KeptProof): Promise<void> {
    const { digest } = kept.proof;
    this.#digests.delete(digest);
    this.#digests.add(digest);
    this.#remember(kept);
    await this.#writeFile(kept).catch(() => undefined); // What is not on disk costs one more hashing, later.
    await this.fit();
  }

  /** Removes what is kept of a digest; nothing kept is fine. @throws FILE_UNREADABLE */
  async remove(digest: Digest): Promise<void> {
    this.#digests.delete(digest);
    this.#forget(digest);
    await this.#disk.remove(this.#path(digest));
  }

  /** Removes the least recently used beyond the limit. */
  async fit(): Promise<void> {
    for (const digest of this.#digests) {
      if (this.#digests.size <= this.#filesMax) return;
      await this.remove(digest);
    }
  }

  async #readFile(digest: Digest): Promise<KeptProof | undefined> {
    const path = this.#path(digest);
    const file = await this.#disk.openRead(path);
    return file && parseFile(digest, await closeAfter(file, () => readWhole(file, path, FILE_MAX_BYTES)));
  }

  async #writeFile(kept: KeptProof): Promise<void> {
    const path = this.#path(kept.proof.digest);
    this.#written += 1;
    const beside = `${path}.${this.#written}${NEW_SUFFIX}`;
    const file = await this.#disk.create(beside);
    // Not synced: a file that a power cut tears is found out by its root.
    await closeAfter(file, () => file.write(formatFile(kept), 0));
    await this.#disk.rename(beside, path);
  }

  #path(digest: Digest): string {
    return join(this.#dir, `${algorithmOf(digest)}-${hexOf(digest)}`);
  }

  #remember(kept: KeptProof): void {
    this.#forget(kept.proof.digest);
    this.#memory.set(kept.proof.digest, kept);
    this.#memoryBytes += kept.proof.list.length + MEMORY_EACH_BYTES;
    for (const oldest of this.#memory.keys()) if (this.#memoryBytes > MEMORY_MAX_BYTES) this.#forget(oldest);
  }

  #forget(digest: Digest): void {
    const kept = this.#memory.get(digest);
    if (!kept) return;
    this.#memory.delete(digest);
    this.#memoryBytes -= kept.proof.list.length + MEMORY_EACH_BYTES;
  }
}

function formatFile({ stamp, proof }: KeptProof): Uint8Array {
  const { digest, size, list } = proof;
  const head = JSON.stringify({ version: VERSION, digest, size, stamp, root: rootOf(proof) });
  return Buffer.concat([Buffer.from(`${head}\n`), list]);
}

/** Undefined for whatever this version did not write in whole. */
function parseFile(digest: Digest, bytes: Uint8Array): KeptProof | undefined {
  const end = bytes.indexOf(NEWLINE);
  if (end < 0) return undefined;
  try {
    const head = JSON.parse(Buffer.from(bytes.subarray(0, end)).toString()) as Record<string, unknown>;
    const { version, size, stamp, root } = head;
    if (version !== VERSION || head.digest !== digest) return undefined;
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
    if (typeof stamp !== 'string' || stamp.length > STAMP_MAX_CHARACTERS) return undefined;
    // A list that changed on the disk would be signed as this node's word: the root in the head finds it out.
    const proof = parseProof(digest, size, bytes.subarray(end + 1));
    return rootOf(proof) === root ? { stamp, proof } : undefined;
  } catch {
    return undefined;
  }
}

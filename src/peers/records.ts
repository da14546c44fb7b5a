/**
 * Statements of which each signer has one that counts (node records, tag statements), and their file. Promises: the bytes
 * as they came, one per signer, within a total; the file's whole frames are read back however the file ends. Refuses to
 * know whether a signer counts. Spec: PROTOCOL.md, "Statements".
 */
import { MirrorError } from '../errors.ts';
import { formatReference, type PeerId, type TagReference } from '../oci/oci.ts';
import type { Keep } from '../world.ts';
import { type Kind, type Bodies, order } from './bodies.ts';
import { encodeSigned, type Signed, STATEMENT_MAX_BYTES, type StatementOf } from './envelope.ts';
import type { TagStatement } from './peers.ts';

const FILE_MAGIC = Buffer.from('pinnace/statements/1\n');
/** How a file of another version begins. */
const OTHER_VERSION = /^pinnace\/statements\/(?:[2-9]|[1-9]\d+)\n/;
const HEAD_BYTES = 64;
const LENGTH_BYTES = 4;

export interface Record<K extends Kind> {
  readonly bytes: Uint8Array;
  readonly header: { readonly start: number; readonly seq: number; readonly notAfter: number };
  readonly body: Bodies[K];
}

/** One statement per signer. */
export class Records<K extends 'node' | 'tags'> {
  readonly kind: K;
  readonly #maxBytes: number;
  readonly #records = new Map<PeerId, Record<K>>();
  #bytes = 0;

  constructor(kind: K, maxBytes: number) {
    this.kind = kind;
    this.#maxBytes = maxBytes;
  }

  /** Takes a statement that is newer than its signer's last. @throws LIMIT_EXCEEDED */
  take(signed: Signed & { readonly statement: StatementOf<K> }): void {
    const { signer, start, seq, notAfter, body } = signed.statement;
    const bytes = encodeSigned(signed as Signed);
    const grown = this.#bytes - (this.#records.get(signer)?.bytes.length ?? 0) + bytes.length;
    if (grown > this.#maxBytes)
      throw new MirrorError('LIMIT_EXCEEDED', `the cluster's ${this.kind} statements are over ${this.#maxBytes} bytes`);
    this.#bytes = grown;
    this.#records.set(signer, { bytes, header: { start, seq, notAfter }, body });
  }

  get(peer: PeerId): Record<K> | undefined {
    return this.#records.get(peer);
  }

  entries(): IterableIterator<[PeerId, Record<K>]> {
    return this.#records.entries();
  }

  forget(peer: PeerId): void {
    this.#bytes -= this.#records.get(peer)?.bytes.length ?? 0;
    this.#records.delete(peer);
  }

  /** The file: a line that names the format, then length and bytes of each statement, by signer. */
  file(): Uint8Array {
    const pieces: Uint8Array[] = [FILE_MAGIC];
    for (const [, { bytes }] of [...this.#records].sort((a, b) => order(a[0], b[0]))) {
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt32BE(bytes.length);
      pieces.push(length, bytes);
    }
    return Buffer.concat(pieces);
  }
}

/**
 * The statements in a file, up to the first that is not whole; an unknown format holds none.
 * @throws STATE_NEWER: what signers that are gone said is nowhere else, and must not be written over; FILE_UNREADABLE
 */
export async function readRecords(keep: Keep): Promise<Uint8Array[]> {
  const file = Buffer.from((await keep.read()) ?? []);
  if (OTHER_VERSION.test(file.toString('latin1', 0, HEAD_BYTES)))
    throw new MirrorError('STATE_NEWER', 'the file of statements is of a newer version of Pinnace');
  if (!file.subarray(0, FILE_MAGIC.length).equals(FILE_MAGIC)) return [];
  const found: Uint8Array[] = [];
  for (let at = FILE_MAGIC.length; at + LENGTH_BYTES <= file.length; ) {
    const end = at + LENGTH_BYTES + file.readUInt32BE(at);
    if (end > file.length || end - at > LENGTH_BYTES + STATEMENT_MAX_BYTES) break;
    found.push(file.subarray(at + LENGTH_BYTES, end));
    at = end;
  }
  return found;
}

/** Tag statements by name, for look-ups. */
export class TagIndex {
  readonly #byName = new Map<string, Map<PeerId, TagStatement>>();
  readonly #names = new Map<PeerId, readonly string[]>();

  /** Makes `tags` all that `peer` states. */
  set(peer: PeerId, tags: readonly TagStatement[]): void {
    for (const name of this.#names.get(peer) ?? []) {
      const stated = this.#byName.get(name);
      stated?.delete(peer);
      if (stated?.size === 0) this.#byName.delete(name);
    }
    const names = tags.map(tag => formatReference(tag.reference));
    tags.forEach((tag, i) => {
      const stated = this.#byName.get(names[i]!) ?? new Map<PeerId, TagStatement>();
      this.#byName.set(names[i]!, stated.set(peer, tag));
    });
    if (names.length > 0) this.#names.set(peer, names);
    else this.#names.delete(peer);
  }

  find(reference: TagReference): ReadonlyMap<PeerId, TagStatement> {
    const { registry, repository, tag } = reference;
    return this.#byName.get(formatReference({ registry, repository, tag })) ?? new Map();
  }
}

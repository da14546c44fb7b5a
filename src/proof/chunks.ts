/**
 * Chunk and prefix digests. Promises: a proof is a function of the content alone, so that two different proofs of one
 * digest cannot both be true.
 */
import type { Hash } from 'node:crypto';
import { MirrorError } from '../errors.ts';
import { type Algorithm, algorithmOf, bytesOf, type Digest, digestFrom, hasher, lengthOf } from '../oci/oci.ts';

/** Bytes of a chunk; the last one of a content may be shorter. */
export const CHUNK_BYTES = 1 << 20;
/** The largest content that is proved and moved. */
export const CONTENT_MAX_BYTES = 64 * 2 ** 30;

/** Of one content: per chunk the raw digest of the chunk alone, then of all bytes up to its end, packed in one list. */
export interface Proof {
  readonly digest: Digest;
  /** Bytes of the content. */
  readonly size: number;
  readonly list: Uint8Array;
}

/** How many chunks a content of `size` bytes has. */
export const chunkCount = (size: number): number => Math.ceil(size / CHUNK_BYTES);

/** Hashes a whole content in one pass and yields its proof. */
export class Prover {
  readonly #algorithm: Algorithm;
  readonly #whole: Hash;
  readonly #list: Buffer[] = [];
  #chunk: Hash;
  #inChunk = 0;
  #size = 0;

  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm;
    this.#whole = hasher(algorithm);
    this.#chunk = hasher(algorithm);
  }

  /** Takes the next bytes, in any cut. */
  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + CHUNK_BYTES - this.#inChunk);
      this.#whole.update(part);
      this.#chunk.update(part);
      at += part.length;
      this.#inChunk += part.length;
      this.#size += part.length;
      if (this.#inChunk === CHUNK_BYTES) this.#close();
    }
  }

  /** The proof of all bytes taken; the digest in it is what they have, whatever was hoped for. */
  finish(): Proof {
    if (this.#inChunk > 0) this.#close();
    return {
      digest: digestFrom(this.#algorithm, this.#whole.digest()),
      size: this.#size,
      list: Buffer.concat(this.#list),
    };
  }

  #close(): void {
    this.#list.push(this.#chunk.digest(), this.#whole.copy().digest());
    this.#chunk = hasher(this.#algorithm);
    this.#inChunk = 0;
  }
}

/** The proof of a content of at most one chunk, from its digest alone; undefined for a larger one. */
export function proofOfOneChunk(digest: Digest, size: number): Proof | undefined {
  if (size > CHUNK_BYTES) return undefined;
  return { digest, size, list: size === 0 ? Buffer.alloc(0) : Buffer.concat([bytesOf(digest), bytesOf(digest)]) };
}

/** Reads a list that a peer sent for `digest` and `size`. @throws PROOF_INVALID where it cannot be that content's proof */
export function parseProof(digest: Digest, size: number, list: Uint8Array): Proof {
  const width = lengthOf(algorithmOf(digest));
  if (size > CONTENT_MAX_BYTES || list.length !== 2 * width * chunkCount(size))
    throw new MirrorError(
      'PROOF_INVALID',
      `the proof of ${digest} has ${list.length} bytes, which does not fit ${size}`,
    );
  if (size > 0 && !bytesOf(digest).equals(list.subarray(-width)))
    throw new MirrorError('PROOF_INVALID', `the proof of ${digest} ends in another digest`);
  return { digest, size, list };
}

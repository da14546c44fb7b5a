/**
 * Checks a content chunk by chunk against its proof, front to back. Promises: after a bad chunk it stands at the last
 * good boundary, so another source can go on from there. Refuses to know who sent the bytes.
 */
import type { Hash } from 'node:crypto';
import { MirrorError } from '../errors.ts';
import { algorithmOf, digestOf, hasher, lengthOf } from '../oci/oci.ts';
import { CHUNK_BYTES, type Proof } from './chunks.ts';

export class Checker {
  readonly proof: Proof;
  readonly #width: number;
  #hash: Hash;
  #checked = 0;

  /** @throws PROOF_INVALID for an empty content under another digest than that of nothing */
  constructor(proof: Proof) {
    if (proof.size === 0 && digestOf(new Uint8Array(0), algorithmOf(proof.digest)) !== proof.digest)
      throw new MirrorError('PROOF_INVALID', `${proof.digest} is not the digest of an empty content`);
    this.proof = proof;
    this.#width = lengthOf(algorithmOf(proof.digest));
    this.#hash = hasher(algorithmOf(proof.digest));
  }

  /** Bytes checked so far: a chunk boundary, or the size. */
  get checked(): number {
    return this.#checked;
  }

  /** True when all bytes were checked, and so have the digest: the last prefix digest is the content's. */
  get whole(): boolean {
    return this.#checked === this.proof.size;
  }

  /**
   * Takes the next chunk, whole. @throws CHUNK_MISMATCH where the bytes are not the proof's (the sender lied);
   * PROOF_REFUTED where they are the proof's and still do not lead to its prefix digest (the proof's signer lied)
   */
  check(chunk: Uint8Array): void {
    const { digest, size, list } = this.proof;
    const expected = Math.min(CHUNK_BYTES, size - this.#checked);
    if (chunk.length !== expected || expected === 0)
      throw new MirrorError(
        'CHUNK_MISMATCH',
        `${digest}: ${chunk.length} bytes at ${this.#checked} instead of ${expected}`,
      );
    const at = (this.#checked / CHUNK_BYTES) * 2 * this.#width;
    const next = this.#hash.copy();
    next.update(chunk);
    if (
      next
        .copy()
        .digest()
        .equals(list.subarray(at + this.#width, at + 2 * this.#width))
    ) {
      this.#hash = next;
      this.#checked += chunk.length;
      return;
    }
    const alone = hasher(algorithmOf(digest)).update(chunk).digest();
    if (alone.equals(list.subarray(at, at + this.#width)))
      throw new MirrorError('PROOF_REFUTED', `${digest}: the proof contradicts itself at byte ${this.#checked}`);
    throw new MirrorError('CHUNK_MISMATCH', `${digest}: the bytes from ${this.#checked} on are not those of its proof`);
  }
}

/**
 * Content digests. Promises: a `Digest` is well formed, so a path may be built from its hex.
 * Spec: OCI image-spec descriptor.md, "Digests".
 */
import { createHash, type Hash } from 'node:crypto';
import { MirrorError } from '../errors.ts';

export type Algorithm = 'sha256' | 'sha512';

/** `sha256:` and 64, or `sha512:` and 128, lower-case hex digits. */
export type Digest = string & { readonly __brand: 'Digest' };

const PATTERN = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;
const LINE = /\n/;

/** True for a well-formed digest. */
export const isDigest = (text: string): text is Digest => PATTERN.test(text) && !LINE.test(text);

/** The digest that untrusted `text` spells. @throws DIGEST_INVALID */
export function parseDigest(text: string): Digest {
  if (!isDigest(text))
    throw new MirrorError('DIGEST_INVALID', `not a sha256 or sha512 digest: ${JSON.stringify(text.slice(0, 160))}`);
  return text;
}

/** The algorithm of a digest. */
export const algorithmOf = (digest: Digest): Algorithm => (digest.startsWith('sha256:') ? 'sha256' : 'sha512');

/** The lower-case hex of a digest, without its algorithm. */
export const hexOf = (digest: Digest): string => digest.slice(digest.indexOf(':') + 1);

/** The raw bytes of a digest: 32 or 64. */
export const bytesOf = (digest: Digest): Buffer => Buffer.from(hexOf(digest), 'hex');

/** Bytes in one raw digest of `algorithm`. */
export const lengthOf = (algorithm: Algorithm): number => (algorithm === 'sha256' ? 32 : 64);

/** The digest whose raw bytes are `raw`. */
export const digestFrom = (algorithm: Algorithm, raw: Uint8Array): Digest =>
  `${algorithm}:${Buffer.from(raw).toString('hex')}` as Digest;

/** A running hash of `algorithm`. */
export const hasher = (algorithm: Algorithm): Hash => createHash(algorithm);

/** The digest of `bytes`. */
export const digestOf = (bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest;

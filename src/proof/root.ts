/** The proof root: one short name for a proof, which holders sign. Spec: PROTOCOL.md, "Proofs". */
import { createHash } from 'node:crypto';
import { MirrorError } from '../errors.ts';
import { algorithmOf } from '../oci/oci.ts';
import { CHUNK_BYTES, type Proof } from './chunks.ts';

/** SHA-256 over the proof and its parameters, in 64 lower-case hex digits. */
export type Root = string & { readonly __brand: 'Root' };

const ROOT = /^[a-f0-9]{64}$/;
const ROOT_DOMAIN = 'pinnace/proof';
const ROOT_VERSION = 1;

/** @throws PROOF_INVALID */
export function parseRoot(text: string): Root {
  if (!ROOT.test(text))
    throw new MirrorError('PROOF_INVALID', `not a proof root: ${JSON.stringify(text.slice(0, 80))}`);
  return text as Root;
}

/** The root of a proof: H(domain, version, algorithm, digest, size, chunk size, list). */
export function rootOf(proof: Proof): Root {
  const head = [ROOT_DOMAIN, ROOT_VERSION, algorithmOf(proof.digest), proof.digest, proof.size, CHUNK_BYTES, ''];
  return createHash('sha256').update(head.join('\n')).update(proof.list).digest('hex') as Root;
}

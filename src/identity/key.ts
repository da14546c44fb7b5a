/**
 * Node keys. Promises: the same token gives the same key, no two clusters or node names share one, and nobody without the
 * token's secret can compute it. Refuses to know files and the network. Spec: RFC 5869 (HKDF), RFC 8032 (Ed25519).
 */
import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign, verify } from 'node:crypto';
import { assert, hasCode } from '../errors.ts';
import type { VerifyPeer } from './identity.ts';
import { publicKeyOf } from './peer-id.ts';

const NODE_KEY_DOMAIN = 'pinnace/node-key/1';
/** Bytes of a token's secret and of an Ed25519 seed. */
export const SECRET_BYTES = 32;
/** Bytes of an Ed25519 signature. */
const SIGNATURE_BYTES = 64;
/** PKCS#8 of an Ed25519 key up to its seed (RFC 8410). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The 32-byte seed of the node key: HKDF-SHA256 over the token's secret, salt = cluster id, info = domain and name. */
export const deriveSeed = (secret: Uint8Array, clusterId: string, node: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, clusterId, `${NODE_KEY_DOMAIN}\n${node}`, SECRET_BYTES));

/** The Ed25519 private key of a 32-byte seed. */
export function privateKeyOf(seed: Uint8Array): KeyObject {
  assert(seed.length === SECRET_BYTES, 'an Ed25519 seed has 32 bytes');
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' });
}

/** The raw 32-byte public key of a private or public Ed25519 key. */
export function rawPublicKey(key: KeyObject): Uint8Array {
  const jwk = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  return new Uint8Array(Buffer.from(jwk.x ?? '', 'base64url'));
}

/** The key object of a raw 32-byte Ed25519 public key. */
export const publicKeyFrom = (raw: Uint8Array): KeyObject =>
  createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(raw).toString('base64url') }, format: 'jwk' });

/** Signs `bytes` (Ed25519, 64 bytes). */
export const signWith = (key: KeyObject, bytes: Uint8Array): Uint8Array => new Uint8Array(sign(null, bytes, key));

/** True where `signature` over `bytes` is by the key that `peer` carries; false too where it carries none. */
export const verifyPeer: VerifyPeer = (peer, bytes, signature) => {
  if (signature.length !== SIGNATURE_BYTES) return false;
  try {
    return verify(null, bytes, publicKeyFrom(publicKeyOf(peer)), signature);
  } catch (error) {
    if (hasCode(error, 'NAME_INVALID')) return false;
    throw error;
  }
};

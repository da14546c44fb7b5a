/**
 * The issuer: the key that says who is a node of this cluster. Promises: a key file is PKCS#8 PEM, under a passphrase
 * unless the operator said otherwise; a wrong passphrase and a wrong file have different codes. It is on no node. Refuses
 * to know folders and terminals. Spec: RFC 5958, RFC 8018 (PBES2), RFC 8410.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { MirrorError } from '../errors.ts';
import type { World } from '../world.ts';
import type { Cluster } from './identity.ts';
import { privateKeyOf, rawPublicKey, SECRET_BYTES } from './key.ts';

/** The fewest characters of a passphrase: PKCS#8 stretches it little, so its own length must carry it. */
export const PASSPHRASE_MIN_CHARS = 12;
/** The largest key file that is read, in bytes. */
export const KEY_FILE_MAX_BYTES = 4096;
const CLUSTER_ID_BYTES = 16;
const CLUSTER_ID = /^[a-f0-9]{32}$/;

/** The cluster and the private half of its issuer's key. */
export interface Issuer {
  readonly cluster: Cluster;
  readonly key: KeyObject;
}

/** A new Ed25519 key. */
export const newKey = (world: Pick<World, 'random'>): KeyObject => privateKeyOf(world.random(SECRET_BYTES));

/** A new cluster id: 32 lower-case hex digits. */
export const newClusterId = (world: Pick<World, 'random'>): string =>
  Buffer.from(world.random(CLUSTER_ID_BYTES)).toString('hex');

/** True for 32 lower-case hex digits. */
export const isClusterId = (text: string): boolean => CLUSTER_ID.test(text);

/** A key as PKCS#8 PEM, under `passphrase` where there is one. @throws PASSPHRASE_WRONG where it is too short */
export function sealKey(key: KeyObject, passphrase: string | undefined): string {
  if (passphrase === undefined) return key.export({ type: 'pkcs8', format: 'pem' }).toString();
  if (passphrase.length < PASSPHRASE_MIN_CHARS)
    throw new MirrorError('PASSPHRASE_WRONG', `a passphrase needs at least ${PASSPHRASE_MIN_CHARS} characters`);
  return key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase }).toString();
}

/** True where a key file asks for a passphrase. */
export const isSealed = (pem: string): boolean => pem.includes('ENCRYPTED');

/** The key in a PEM file. @throws PASSPHRASE_WRONG, STATE_INVALID where it is no Ed25519 key */
export function openKey(pem: string, passphrase: string | undefined, file: string): KeyObject {
  if (isSealed(pem) && passphrase === undefined)
    throw new MirrorError('PASSPHRASE_WRONG', `${file} is under a passphrase: give it by --passphrase-file`);
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem', ...(passphrase === undefined ? {} : { passphrase }) });
  } catch (error) {
    if (isSealed(pem))
      throw new MirrorError('PASSPHRASE_WRONG', `${file}: the passphrase does not open it`, { cause: error });
    throw new MirrorError('STATE_INVALID', `${file} is not a private key in PEM`, { cause: error });
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new MirrorError('STATE_INVALID', `${file} is not an Ed25519 key`);
  return key;
}

/** The issuer of cluster `id`. */
export const issuerOf = (id: string, key: KeyObject): Issuer => ({ cluster: { id, issuer: rawPublicKey(key) }, key });

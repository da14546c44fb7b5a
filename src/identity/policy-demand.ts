/**
 * What a roster demands of policies: whose signatures, how many, and from which serial on. Promises: Ed25519 and ECDSA P-256
 * keys alone, each once and in one spelling, bounded; a demand can be met. Refuses to know policies. Spec: IDENTITY.md, "Who
 * signs policies"; RFC 5280 (SubjectPublicKeyInfo).
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { MirrorError } from '../errors.ts';
import type { Fields } from '../yaml.ts';

/** The most keys that a roster names for policies. */
export const POLICY_KEYS_MAX = 16;

export interface PolicyDemand {
  /** DER of SubjectPublicKeyInfo, each once. */
  readonly keys: readonly Uint8Array[];
  /** How many of them must have signed. */
  readonly threshold: number;
  /** True where no unsigned policy counts. */
  readonly requireSigned: boolean;
  /** No policy below it counts. */
  readonly lowestSerial: number;
}

/** True for a public key that may sign policies. */
export const maySignPolicies = (key: KeyObject): boolean =>
  key.asymmetricKeyType === 'ed25519' ||
  (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1');

/** The one DER of a public key that may sign policies. @throws ROSTER_INVALID for any other */
export function policyKeyOf(key: KeyObject, what: string): Uint8Array {
  if (!maySignPolicies(key)) throw new MirrorError('ROSTER_INVALID', `${what} is not an Ed25519 or P-256 public key`);
  // By way of its coordinates: DER has several spellings of one point, and a key must not count twice.
  const plain = createPublicKey({ key: key.export({ format: 'jwk' }), format: 'jwk' });
  return new Uint8Array(plain.export({ type: 'spki', format: 'der' }));
}

/** A demand as it stands in a roster's claims. */
export const formatDemand = ({ keys, threshold, requireSigned, lowestSerial }: PolicyDemand): object => ({
  keys: keys.map(key => Buffer.from(key).toString('base64')),
  threshold,
  requireSigned,
  lowestSerial,
});

/** Reads the demand in a roster's claims; undefined where there is none. @throws ROSTER_INVALID */
export function readDemand(claims: Fields): PolicyDemand | undefined {
  const fields = claims.fields('policy');
  if (!fields) return undefined;
  const texts = fields.strings('keys');
  if (!texts.length || texts.length > POLICY_KEYS_MAX) fields.fail('keys', `must be 1 to ${POLICY_KEYS_MAX} keys`);
  if (new Set(texts).size !== texts.length) fields.fail('keys', 'names a key twice');
  const keys = texts.map((text, at) => readKey(text) ?? fields.fail(`keys[${at}]`, 'is no key for policies'));
  const threshold = fields.integer('threshold', { min: 1, max: keys.length });
  const requireSigned = fields.take('requireSigned');
  if (typeof requireSigned !== 'boolean') return fields.fail('requireSigned', 'must be true or false');
  const lowestSerial = fields.integer('lowestSerial', { min: 1, max: Number.MAX_SAFE_INTEGER });
  fields.end();
  return { keys, threshold, requireSigned, lowestSerial };
}

/** The DER in `text`; undefined where it is none of such a key, or spelt in another way. */
function readKey(text: string): Uint8Array | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' });
    const der = policyKeyOf(key, 'it');
    return Buffer.from(der).toString('base64') === text ? der : undefined;
  } catch {
    return undefined;
  }
}

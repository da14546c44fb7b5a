/**
 * Handovers: from one issuer to the next. Promises: from a key that somebody trusts to the newest one, each step signed by
 * the key before it, or by the recovery key, which alone opens a new epoch. Refuses to know rosters, and who trusts which
 * key. Spec: IDENTITY.md, "Which issuer counts".
 */
import type { KeyObject } from 'node:crypto';
import { MirrorError } from '../errors.ts';
import { Fields } from '../yaml.ts';
import type { Cluster } from './identity.ts';
import { publicKeyFrom } from './key.ts';
import { PUBLIC_KEY_BYTES } from './peer-id.ts';
import { claimsOf, type Form, isSignedBy, type Sealed, signDocument, unseal, urnOf } from './signed.ts';

/** The most handovers that a roster carries. */
export const HANDOVERS_MAX = 64;
/** Roster numbers of one epoch: an issuer of epoch e signs from e times this on. */
export const EPOCH_SEQS = 1e12;
/** The last epoch: what is below its end has 15 digits, as many as a greeting may say. */
export const EPOCH_MAX = 999;
const HANDOVER_MAX_BYTES = 1024;
/** The latest time that a claim may name, in seconds since 1970. */
export const SECONDS_MAX = 2 ** 40;

const FORM: Form = {
  typ: 'pinnace-handover+jwt',
  maxBytes: HANDOVER_MAX_BYTES,
  code: 'ROSTER_INVALID',
  what: 'handover',
};

/** The epoch of a roster's number. */
export const epochOf = (seq: number): number => Math.floor(seq / EPOCH_SEQS);

/** An issuer on the way from an anchor. */
export interface Step {
  /** Raw public key, 32 bytes. */
  readonly key: Uint8Array;
  readonly epoch: number;
}

/** What a list of handovers comes to. */
export interface Way {
  /** The anchor first, the newest issuer last. */
  readonly steps: readonly Step[];
  /** All keys that were handed over from; for those before the anchor the roster's signer vouches, nobody else. */
  readonly earlier: readonly Uint8Array[];
}

/** What a handover is signed over. */
export interface HandoverDraft {
  readonly cluster: string;
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  /** Of `from`, or of `to` where the recovery key signs. */
  readonly epoch: number;
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
}

const text = (key: Uint8Array): string => Buffer.from(key).toString('base64url');

/** Signs a handover, by the issuer `from` or by the recovery key. */
export function issueHandover(key: KeyObject, { cluster, from, to, epoch, issuedAt }: HandoverDraft): Promise<string> {
  const urn = urnOf(cluster);
  const claims = { iss: urn, aud: urn, epoch, from: text(from), to: text(to), iat: Math.floor(issuedAt / 1000) };
  return signDocument(FORM, claims, key);
}

/** True where two raw public keys are one. */
export const sameKey = (a: Uint8Array, b: Uint8Array): boolean => Buffer.from(a).equals(b);

/**
 * The way that `handovers` lead from the issuer that `anchor` names; those that lie before it are passed over.
 * @throws ROSTER_INVALID where one does not follow from the one before
 */
export async function follow(handovers: readonly string[], anchor: Cluster): Promise<Way> {
  const steps: Step[] = [{ key: anchor.issuer, epoch: anchor.epoch ?? 0 }];
  const earlier: Uint8Array[] = [];
  for (const jwt of handovers) {
    const sealed = unseal(FORM, jwt);
    const last = steps.at(-1)!;
    const claims = readClaims(sealed, anchor.id);
    earlier.push(claims.from);
    if (await leads(sealed, claims, last, anchor.recovery)) steps.push({ key: claims.to, epoch: claims.epoch });
    else if (steps.length > 1) throw new MirrorError('ROSTER_INVALID', 'handover: does not follow from the one before');
  }
  return { steps, earlier };
}

/** Of all handovers since the first issuer those that opened an epoch: whoever is in an earlier one follows by them alone. */
export async function recoveriesOf(handovers: readonly string[], first: Cluster): Promise<readonly string[]> {
  const { steps } = await follow(handovers, first);
  return handovers.filter((_, at) => steps[at + 1]!.epoch > steps[at]!.epoch);
}

/**
 * True where the handover is the next step after `last`: by its key in its epoch, or by the recovery key into the next.
 * @throws ROSTER_INVALID where it says so and is by another: a list of forged ones costs one look at a signature, not one each
 */
async function leads(sealed: Sealed, { from, epoch }: Claims, last: Step, recovery?: Uint8Array): Promise<boolean> {
  const signer = epoch === last.epoch && sameKey(from, last.key) ? last.key : undefined;
  const by = epoch === last.epoch + 1 ? recovery : signer;
  if (by === undefined) return false;
  if (await isSignedBy(sealed, publicKeyFrom(by))) return true;
  throw new MirrorError('ROSTER_INVALID', 'handover: is not signed by whom it must be');
}

interface Claims {
  readonly epoch: number;
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

/** The claims, as they are said: a step counts by `leads` alone. */
function readClaims(sealed: Sealed, clusterId: string): Claims {
  const fields = new Fields(claimsOf(FORM, sealed), 'handover: ', 'ROSTER_INVALID');
  const urn = urnOf(clusterId);
  if (fields.string('iss') !== urn || fields.string('aud') !== urn) fields.fail('iss', 'is another cluster');
  const epoch = fields.integer('epoch', { min: 0, max: EPOCH_MAX });
  const [from, to] = [readKey(fields, 'from'), readKey(fields, 'to')];
  fields.integer('iat', { min: 0, max: SECONDS_MAX });
  fields.end();
  return { epoch, from, to };
}

function readKey(fields: Fields, name: string): Uint8Array {
  const spelt = fields.string(name);
  const key = Buffer.from(spelt, 'base64url');
  if (key.length !== PUBLIC_KEY_BYTES || text(key) !== spelt) fields.fail(name, 'must be a public key');
  return new Uint8Array(key);
}

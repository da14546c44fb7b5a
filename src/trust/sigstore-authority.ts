/**
 * The authorities of a policy. Promises: a key that is strong enough, or identities that are compared whole, character by
 * character; a pattern covers the whole name. What a policy asks for can be had from its trust root, or it is refused when
 * it is loaded. Refuses to know the policy's file. Spec: policy/POLICY.md, "Authorities".
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { TrustMaterial } from '@sigstore/verify';
import { MirrorError } from '../errors.ts';
import type { Authority } from './signatures.ts';
import type { Offer } from './sigstore-bundle.ts';
import { type Identity, identityOf } from './sigstore-identity.ts';
import { Prover, type Thresholds } from './sigstore-prover.ts';
import { quoted, refusing, untrusted } from './sigstore-refusal.ts';
import { kindOfKey } from './sigstore-root.ts';

type KeyAuthority = Extract<Authority, { kind: 'key' }>;
type KeylessAuthority = Extract<Authority, { kind: 'keyless' }>;

const PEM_CHARACTERS = 16 << 10;
const PEM = /^\s*-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----\s*$/;
const KEY_KINDS: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'ed25519', 'rsa']);
/** More logs or times than any deployment has. */
const THRESHOLD_MAX = 16;
/** A pattern's limit in POLICY.md; a name that a pattern is tried on is bounded by as much again. */
const MATCHED_CHARACTERS = 512;

/** That a candidate holds for an authority. */
export interface Held {
  readonly signer: string;
  readonly signedAt?: number;
  readonly until?: number;
}

/** Judges a candidate at `now` (ms since 1970) for one authority. @throws BUNDLE_INVALID, SIGNATURE_UNTRUSTED */
export type Judge = (offer: Offer, now: number) => Held;

/** Trust roots by name, and provers that authorities with equal wishes share. */
export interface Ground {
  readonly roots: ReadonlyMap<string, TrustMaterial>;
  readonly provers: Map<string, Prover>;
}

function wrong(why: string): never {
  throw new MirrorError('POLICY_INVALID', why);
}

/** Checks an authority whole and answers its judge. @throws POLICY_INVALID */
export function openAuthority(name: string, authority: Authority, ground: Ground): Judge {
  try {
    return authority.kind === 'key' ? openKey(authority, ground) : openKeyless(authority, ground);
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    throw new MirrorError(error.code, `authority ${name}: ${error.message}`, { cause: error });
  }
}

/** The root that an authority names, able to give what it asks for. */
function rootOf(authority: Authority, { roots }: Ground): TrustMaterial | undefined {
  const { ctlog, tlog, timestamps, trustRoot } = authority;
  for (const number of [ctlog, tlog, timestamps])
    if (!Number.isSafeInteger(number) || number < 0 || number > THRESHOLD_MAX)
      wrong(`ctlog, tlog and timestamps are whole numbers from 0 to ${THRESHOLD_MAX}`);
  if (trustRoot === undefined) {
    if (ctlog + tlog + timestamps > 0) wrong('logs and timestamps need a trust root');
    return undefined;
  }
  const root = roots.get(trustRoot) ?? wrong(`there is no trust root ${quoted(trustRoot)}`);
  if (ctlog > root.ctlogs.length) wrong('the trust root has fewer certificate transparency logs');
  if (tlog > root.tlogs.length) wrong('the trust root has fewer transparency logs');
  if (timestamps > root.tlogs.length + root.timestampAuthorities.length)
    wrong('the trust root has fewer logs and timestamp authorities');
  return root;
}

/** The public key in `pem`: SPKI, of a kind and strength that POLICY.md allows. @throws POLICY_INVALID */
function parseKey(pem: string): KeyObject {
  if (pem.length > PEM_CHARACTERS || !PEM.test(pem)) return wrong('the file is not one public key in PEM');
  const key = refusing(wrong, 'the key cannot be read', () => createPublicKey(pem));
  if (!KEY_KINDS.has(kindOfKey(key)))
    wrong(`a key of that kind does not do: ${kindOfKey(key)}; P-256, P-384, Ed25519 and RSA of 2048 to 8192 bits do`);
  return key;
}

function openKey(authority: KeyAuthority, ground: Ground): Judge {
  const { pem, notBefore = Number.NEGATIVE_INFINITY, notAfter = Number.POSITIVE_INFINITY } = authority;
  if (authority.ctlog > 0) wrong('a key has no certificate that a log could have (ctlog)');
  if (!(notBefore <= notAfter)) wrong('notBefore is after notAfter');
  const key = parseKey(pem);
  const prover = new Prover(rootOf(authority, ground), authority, key);
  const spki = key.export({ type: 'spki', format: 'der' });
  const signer = `sha256:${createHash('sha256').update(spki).digest('hex')}`;
  return (offer, now) => {
    const { signedAt } = prover.prove(offer, now);
    const at = signedAt ?? now;
    if (at < notBefore || at > notAfter) throw untrusted('the key did not count at that time');
    if (signedAt !== undefined) return { signer, signedAt };
    return authority.notAfter === undefined ? { signer } : { signer, until: authority.notAfter };
  };
}

function openKeyless(authority: KeylessAuthority, ground: Ground): Judge {
  if (authority.timestamps < 1) wrong('a certificate lives for minutes: timestamps is at least 1');
  if (authority.identities.length === 0) wrong('there must be an identity');
  const root = rootOf(authority, ground) ?? wrong('certificates need a trust root');
  if (root.certificateAuthorities.length === 0) wrong('the trust root has no certificate authority');
  const matchers = authority.identities.map(({ issuer, subject }) => matcherOf(issuer, subject));
  const prover = sharedProver(ground, authority.trustRoot ?? '', root, authority);
  return (offer, now) => {
    const { certificate, signedAt } = prover.prove(offer, now);
    if (!certificate) throw untrusted('it carries no certificate');
    const identity = identityOf(certificate);
    if (!matchers.some(matches => matches(identity)))
      throw untrusted(`it is signed by ${quoted(identity.subject)} of ${quoted(identity.issuer)}`);
    for (const [oid, value] of authority.extensions)
      if (identity.extension(oid) !== value) throw untrusted(`the certificate's extension ${oid} is another`);
    const signer = `${identity.subject} (${identity.issuer})`;
    return signedAt === undefined ? { signer } : { signer, signedAt };
  };
}

function sharedProver({ provers }: Ground, name: string, root: TrustMaterial, thresholds: Thresholds): Prover {
  const { ctlog, tlog, timestamps } = thresholds;
  const key = `${ctlog} ${tlog} ${timestamps} ${name}`;
  const prover = provers.get(key) ?? new Prover(root, { ctlog, tlog, timestamps });
  provers.set(key, prover);
  return prover;
}

/** Never the library's own comparison: it takes text for a pattern and finds it anywhere in the name. */
function matcherOf(issuer: string, subject: string | RegExp): (identity: Identity) => boolean {
  if (issuer === '' || subject === '') return wrong('an identity has an issuer and a subject');
  if (typeof subject === 'string') return identity => identity.issuer === issuer && identity.subject === subject;
  const whole = new RegExp(`^(?:${subject.source})$`, subject.flags.replaceAll(/[^iuv]/g, ''));
  return identity =>
    identity.issuer === issuer && identity.subject.length <= MATCHED_CHARACTERS && whole.test(identity.subject);
}

/**
 * Signatures of images, judged. Promises: one function for a pull, a command and the published vectors; offline, bounded,
 * and it never throws for what a stranger wrote. A candidate must speak of exactly the digest that is asked about before
 * any key is tried, and then it holds only for authorities that the policy names. Refuses to know where candidates come
 * from. Spec: policy/POLICY.md, "Authorities"; the formats' own are named in the files beside this one.
 */
import { createHash } from 'node:crypto';
import { hasCode, MirrorError } from '../errors.ts';
import type { Digest } from '../oci/oci.ts';
import type { Authority, Candidate, Judgement, Signed, Signers } from './signatures.ts';
import { type Ground, type Judge, openAuthority } from './sigstore-authority.ts';
import { type Offer, parseBundle } from './sigstore-bundle.ts';
import { parseLegacy } from './sigstore-legacy.ts';
import { parseTrustRoot } from './sigstore-root.ts';
import { claimsAbout, contentIs, type Saying, statementAbout } from './sigstore-statement.ts';

/**
 * The authorities of one policy, with the bytes of its trust roots, all checked: keys and their strength, roots and their
 * completeness, and that each authority can have what it asks for. No authority at all trusts nobody. @throws POLICY_INVALID
 */
export function openSigners(
  authorities: ReadonlyMap<string, Authority>,
  trustRoots: ReadonlyMap<string, Uint8Array>,
): Signers {
  const roots = new Map([...trustRoots].map(([name, bytes]) => [name, parseTrustRoot(name, bytes)]));
  const ground: Ground = { roots, provers: new Map() };
  const judges = new Map([...authorities].map(([name, one]) => [name, openAuthority(name, one, ground)]));
  return {
    id: idOf(authorities, trustRoots),
    judge: (candidate, subject, now) => judge(judges, candidate, subject, now),
  };
}

function idOf(authorities: ReadonlyMap<string, Authority>, trustRoots: ReadonlyMap<string, Uint8Array>): string {
  const plain = (_: string, value: unknown): unknown =>
    value instanceof Map ? [...value] : value instanceof RegExp ? { pattern: value.source } : value;
  const hash = createHash('sha256').update(JSON.stringify([authorities, [...trustRoots.keys()]], plain));
  for (const bytes of trustRoots.values()) hash.update(createHash('sha256').update(bytes).digest());
  return hash.digest('hex');
}

function judge(judges: ReadonlyMap<string, Judge>, candidate: Candidate, subject: Digest, now: number): Judgement {
  const read = orRefusal(() => readCandidate(candidate, subject));
  if (read instanceof MirrorError) return refusedBy([read]);
  const signed: Signed[] = [];
  const refusals: MirrorError[] = [];
  for (const [authority, holdsFor] of judges) {
    const held = orRefusal(() => holdsFor(read.offer, now));
    if (held instanceof MirrorError) refusals.push(held);
    else signed.push({ authority, format: candidate.format, ...held, ...read.saying });
  }
  return signed.length > 0 ? { signed } : refusedBy(refusals);
}

/** What `work` answers, or its refusal; a defect goes on. */
function orRefusal<T>(work: () => T): T | MirrorError {
  try {
    return work();
  } catch (error) {
    if (hasCode(error, 'BUNDLE_INVALID', 'SIGNATURE_UNTRUSTED')) return error;
    throw error;
  }
}

function refusedBy(refusals: readonly MirrorError[]): Judgement {
  const reasons = [...new Set(refusals.map(({ message }) => message))];
  const invalid = refusals.length > 0 && refusals.every(({ code }) => code === 'BUNDLE_INVALID');
  return {
    signed: [],
    reason: reasons.length === 0 ? 'the policy names no authority' : reasons.join('; '),
    code: invalid ? 'BUNDLE_INVALID' : 'SIGNATURE_UNTRUSTED',
  };
}

/** A candidate that is well formed and about `subject`; nothing of it is believed yet. @throws BUNDLE_INVALID, SIGNATURE_UNTRUSTED */
function readCandidate(candidate: Candidate, subject: Digest): { offer: Offer; saying: Saying } {
  const offer =
    candidate.format === 'bundle'
      ? parseBundle(candidate.bytes, candidate.artifact)
      : parseLegacy(candidate.payload, candidate.annotations);
  const { content } = offer.bundle;
  if (content.$case === 'dsseEnvelope') {
    const { payloadType, payload } = content.dsseEnvelope;
    return { offer, saying: statementAbout(payloadType, payload, subject) };
  }
  const message = offer.message ?? Buffer.alloc(0);
  return { offer, saying: offer.format === 'legacy' ? claimsAbout(message, subject) : contentIs(message, subject) };
}

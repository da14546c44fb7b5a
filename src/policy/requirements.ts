/**
 * Does what is signed suffice? Promises: pure; an authority counts once, whatever it signed; what ended or is too old
 * counts for nothing. Refuses to know whether a signature holds: that was found out before. Spec: POLICY.md, "Rules".
 */
import type { Code } from '../errors.ts';
import type { AttestationRule, Quorum, Signed, SignatureRule } from './policy.ts';
import { fulfils } from './predicate.ts';

/** What came of one requirement: met until then, or why not. */
export type Finding =
  | { readonly until: number }
  | {
      readonly code: Code;
      readonly detail: string;
      /** It is let through and reported. */
      readonly reported?: boolean;
    };

/** Are there the signatures that `rule` asks for? `refused` candidates were found that hold for no authority. */
export function meetsSignatures(rule: SignatureRule, signed: readonly Signed[], refused: number, now: number): Finding {
  const plain = signed.filter(one => one.predicateType === undefined);
  const until = quorumUntil(
    rule,
    plain.filter(one => rule.formats.has(one.format)),
    now,
  );
  if (until !== undefined) return { until };
  const some = plain.length + refused > 0;
  const found = some ? `; found: ${shown(plain, refused)}` : '';
  return {
    code: some ? 'SIGNATURE_UNTRUSTED' : 'SIGNATURE_MISSING',
    detail: `needs the signature of ${wanted(rule)}${found}`,
  };
}

/** Is there the attestation that `rule` asks for? */
export function meetsAttestation(
  rule: AttestationRule,
  signed: readonly Signed[],
  refused: number,
  now: number,
): Finding {
  const typed = signed.filter(one => one.predicateType === rule.predicateType);
  const until = quorumUntil(
    rule,
    typed.filter(one => fulfils(one.predicate, rule.where)),
    now,
  );
  if (until !== undefined) return { until };
  const some = typed.length + refused > 0;
  const found = some ? `; found: ${shown(typed, refused)}, which do not suffice or say something else` : '';
  return {
    code: some ? 'ATTESTATION_UNTRUSTED' : 'ATTESTATION_MISSING',
    detail: `needs an attestation ${rule.predicateType} of ${wanted(rule)}${found}`,
  };
}

/** Until when enough distinct authorities have signed, ms since 1970; undefined where they have not. */
function quorumUntil({ n, of, maxAgeMs }: Quorum, signed: readonly Signed[], now: number): number | undefined {
  const ends = of.map(authority =>
    signed
      .filter(one => one.authority === authority)
      .reduce((latest, one) => Math.max(latest, endOf(one, maxAgeMs)), Number.NEGATIVE_INFINITY),
  );
  return ends.filter(end => end > now).toSorted((a, b) => b - a)[n - 1];
}

function endOf({ until = Number.POSITIVE_INFINITY, signedAt }: Signed, maxAgeMs: number | undefined): number {
  if (maxAgeMs === undefined) return until;
  // Without a proven time nobody knows how old it is.
  return signedAt === undefined ? Number.NEGATIVE_INFINITY : Math.min(until, signedAt + maxAgeMs);
}

function wanted({ n, of, maxAgeMs }: Quorum): string {
  const age = maxAgeMs === undefined ? '' : `, at most ${maxAgeMs / 3_600_000} h old`;
  return `${n === of.length ? 'each of ' : `${n} of `}${of.join(', ')}${age}`;
}

/** For people: who signed, shortened. */
function shown(signed: readonly Signed[], refused: number): string {
  const SHOWN_MAX = 4;
  const some = signed.slice(0, SHOWN_MAX).map(({ authority, signer }) => `${authority} (${signer.slice(0, 200)})`);
  if (signed.length > SHOWN_MAX) some.push(`${signed.length - SHOWN_MAX} more`);
  if (refused) some.push(`${refused} that hold for no authority of the policy`);
  return some.join(', ');
}

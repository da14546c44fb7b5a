/** What a policy decides about a case, by the functions of a pull (resolve, pull, admit) and of a holding (share). */
import type { Code } from '../errors.ts';
import type { Digest, Reference, TagReference } from '../oci/oci.ts';
import type { Policy, Ruling, Signed } from '../policy/policy.ts';
import type { Case, Decision } from './policy-cases.ts';

export interface Outcome {
  readonly decision: Decision;
  readonly rule: string;
  readonly code?: Code;
  /** It is told, and given, to the node of the case. */
  readonly share: boolean;
  /** For people. */
  readonly detail: string;
}

/** Decides a case; `now` (ms) counts where the case has no time of its own. Names of authorities that the policy lacks sign nothing. */
export function judgeCase(policy: Policy, one: Case, now: number): Outcome {
  const at = one.at ?? now;
  const host = policy.registry(one.reference.registry);
  if (!host) return upstream('registries', 'NOT_MIRRORED', `${one.reference.registry} is not mirrored`);
  const reference: Reference = { ...one.reference, registry: host };
  const pull = policy.pull(reference, at);
  if (!pull.allowed) return denied(pull);
  const rule = policy.rule(host, reference.repository);
  const digest = one.digest ?? policy.pin(reference as TagReference);
  if (!digest) {
    const by = rule.tags.by === 'pins' ? 'TAG_UNPINNED' : 'TAG_UNDECIDED';
    return upstream(rule.name, by, 'no pin names the tag; with a digest, the case asks about the image itself');
  }
  return admitted(policy, { ...one, reference, digest }, at);
}

function admitted(policy: Policy, one: Case & { readonly digest: Digest }, at: number): Outcome {
  const signed = signedBy(policy, one, at);
  const refused = one.untrusted + one.signed.length - signed.length;
  const admit = policy.admit(one.reference, one.digest, signed, at, refused);
  if (!admit.allowed) return denied(admit);
  const rule = policy.rule(one.reference.registry, one.reference.repository);
  return {
    decision: 'allow',
    rule: admit.rule,
    ...(admit.code ? { code: admit.code } : {}),
    share: policy.shares(rule, one.node, one.size),
    detail: admit.detail,
  };
}

const upstream = (rule: string, code: Code, detail: string): Outcome => ({
  decision: 'upstream',
  rule,
  code,
  share: false,
  detail,
});

const denied = ({ rule, code, detail }: Ruling): Outcome => ({
  decision: 'deny',
  rule,
  ...(code ? { code } : {}),
  share: false,
  detail,
});

/** What the case says is signed, as far as the keys of the policy hold at that time. */
function signedBy({ authorities }: Policy, { signed }: Case, at: number): readonly Signed[] {
  return signed.flatMap(one => {
    const authority = authorities.get(one.authority);
    if (!authority) return [];
    if (authority.kind === 'keyless') return [{ ...one, signer: one.authority }];
    const { notBefore = -Infinity, notAfter = Infinity } = authority;
    const made = one.signedAt ?? at;
    if (made < notBefore || made > notAfter) return [];
    // Without a proven time the signature ends with its key.
    const ends = one.signedAt === undefined && notAfter < Infinity;
    return [{ ...one, signer: one.authority, ...(ends ? { until: notAfter } : {}) }];
  });
}

/** The fields in which an outcome is not what the case expects; none where it passes. */
export function differences({ expect }: Case, found: Outcome): readonly ('decision' | 'rule' | 'code' | 'share')[] {
  const wrong = (['decision', 'rule', 'code', 'share'] as const).filter(
    key => expect[key] !== undefined && expect[key] !== found[key],
  );
  return wrong;
}

/**
 * Decisions. Promises: pure, one rule decides, and what no rule allows is denied. Refuses to know the clock, keys and the
 * network. Spec: POLICY.md.
 */
import type { Digest, Reference, Registry, Repository } from '../oci/oci.ts';
import type { Exceptions } from './exceptions.ts';
import type { FiledRule } from './parse-rules.ts';
import type { Patterns } from './patterns.ts';
import type { Pins } from './pins.ts';
import type { Policy, Rule, Ruling, Signed } from './policy.ts';
import { type Finding, meetsAttestation, meetsSignatures } from './requirements.ts';

type Told = 'hash' | 'name' | 'serial' | 'issuedAt' | 'expiresAt' | 'onExpiry' | 'authorities' | 'trustRoots';

/** What a policy and its files say, read. */
export interface Rules extends Pick<Policy, Told> {
  /** The host of each name, aliases included. */
  readonly registries: ReadonlyMap<string, Registry>;
  /** `"*"` stands among the registries. */
  readonly mirrorsAll: boolean;
  readonly rules: Patterns<FiledRule>;
  readonly defaults: FiledRule;
  readonly exceptions: Exceptions;
  /** All pins of the files that a rule names. */
  readonly pinsOf: (rule: FiledRule) => Pins;
}

type Refusal = Extract<Finding, { code: unknown }>;
const isRefusal = (finding: Finding): finding is Refusal => 'code' in finding;

/** The policy that `rules` make. */
export function decideBy(rules: Rules): Policy {
  const { hash, name, serial, issuedAt, expiresAt, onExpiry, authorities, trustRoots } = rules;
  const registry = (host: Registry): Registry | undefined =>
    rules.registries.get(host) ?? (rules.mirrorsAll ? host : undefined);
  return {
    hash,
    name,
    serial,
    issuedAt,
    onExpiry,
    authorities,
    trustRoots,
    ...(expiresAt === undefined ? {} : { expiresAt }),
    registry,
    rule: (host, repository) => ruleOf(rules, host, repository),
    pin: reference => pinOf(rules, reference),
    pinned: (host, repository) => rules.pinsOf(ruleOf(rules, host, repository)).of(`${host}/${repository}`),
    pull: (reference, now) =>
      registry(reference.registry) === reference.registry
        ? pull(rules, reference, now)
        : refusal('registries', { code: 'NOT_MIRRORED', detail: `${reference.registry} is not mirrored` }),
    needsSignatures: (reference, digest, now) => needsSignatures(rules, reference, digest, now),
    admit: (reference, digest, signed, now, refused = 0) => admit(rules, reference, digest, signed, now, refused),
    shares,
  };
}

const ruleOf = (rules: Rules, registry: Registry, repository: Repository): FiledRule =>
  rules.rules.find(registry, repository)?.value ?? rules.defaults;

function pinOf(rules: Rules, { registry, repository, tag }: Reference): Digest | undefined {
  if (tag === undefined) return undefined;
  return rules.pinsOf(ruleOf(rules, registry, repository)).find(`${registry}/${repository}:${tag}`);
}

const refusal = (rule: string, { code, detail }: Refusal): Ruling => ({ allowed: false, rule, code, detail });

function expired({ expiresAt }: Rules, now: number): Refusal | undefined {
  if (expiresAt === undefined || now < expiresAt) return undefined;
  return { code: 'POLICY_EXPIRED', detail: `the policy ended at ${new Date(expiresAt).toISOString()}` };
}

/** What can be said by name alone. */
function pull(rules: Rules, reference: Reference, now: number): Ruling {
  const { registry, repository, tag, digest } = reference;
  const rule = ruleOf(rules, registry, repository);
  const ended = expired(rules, now);
  if (ended && rules.onExpiry === 'deny') return refusal(rule.name, ended);
  const pin = pinOf(rules, reference);
  const exact = digest ?? pin;
  const excused = exact !== undefined && rules.exceptions.find(registry, repository, exact, now) !== undefined;
  if (rule.action === 'deny' && !excused && !isPart(rules, reference, now)) return ruling(rule, [denied(rule)]);
  if (rule.pins.require && tag !== undefined && pin === undefined && !excused)
    return ruling(rule, [unpinned(reference)]);
  return { allowed: true, rule: rule.name, detail: `the rule ${rule.name} lets it be asked for` };
}

/** What an excused image is made of comes by digest, under its name; which manifests may be used is said by `admit`. */
const isPart = ({ exceptions }: Rules, { registry, repository, tag, digest }: Reference, now: number): boolean =>
  tag === undefined && digest !== undefined && exceptions.find(registry, repository, undefined, now) !== undefined;

const denied = ({ name }: Rule): Refusal => ({ code: 'DENIED', detail: `the rule ${name} denies it` });
const unpinned = ({ tag }: Reference): Refusal => ({ code: 'PIN_MISSING', detail: `the tag ${tag} needs a pin` });

/** What the name and the digest say, before anything that is signed was looked at. */
function named(rules: Rules, rule: FiledRule, reference: Reference, digest: Digest): Refusal | undefined {
  if (rule.action === 'deny') return denied(rule);
  if (!rule.pins.require) return undefined;
  const reported = rule.pins.moves === 'reported';
  if (reference.tag !== undefined) {
    const pin = pinOf(rules, reference);
    if (pin === undefined) return unpinned(reference);
    const detail = `the tag ${reference.tag} is pinned to ${pin}, and this is ${digest}`;
    return pin === digest ? undefined : { code: 'PIN_MISMATCH', detail, reported };
  }
  const name = `${reference.registry}/${reference.repository}`;
  if (rules.pinsOf(rule).of(name).has(digest)) return undefined;
  return { code: 'PIN_MISMATCH', detail: `no pin of ${name} names ${digest}`, reported };
}

function needsSignatures(rules: Rules, reference: Reference, digest: Digest, now: number): boolean {
  const { registry, repository } = reference;
  const rule = ruleOf(rules, registry, repository);
  if (!rule.signatures && !rule.attestations.length) return false;
  if (expired(rules, now)) return false;
  const found = named(rules, rule, reference, digest);
  // Where the name is refused whatever is signed, nobody is asked.
  return !found || found.reported === true || rule.mode === 'audit';
}

function admit(
  rules: Rules,
  reference: Reference,
  digest: Digest,
  signed: readonly Signed[],
  now: number,
  refused: number,
): Ruling {
  const { registry, repository } = reference;
  const rule = ruleOf(rules, registry, repository);
  const ended = expired(rules, now);
  if (ended) return refusal(rule.name, ended);
  const findings: readonly (Finding | undefined)[] = [
    named(rules, rule, reference, digest),
    rule.signatures && meetsSignatures(rule.signatures, signed, refused, now),
    ...rule.attestations.map(attestation => meetsAttestation(attestation, signed, refused, now)),
  ];
  const found = findings.filter(finding => finding !== undefined);
  const end = rules.onExpiry === 'deny' ? (rules.expiresAt ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
  const exception = rules.exceptions.find(registry, repository, digest, now);
  if (!exception || !found.some(isRefusal)) return ruling(rule, [{ until: end }, ...found]);
  const { reason, approvedBy } = exception;
  const until = Math.min(end, exception.expiresAt);
  return {
    allowed: true,
    rule: rule.name,
    until,
    exception: { reason, approvedBy },
    detail: `by the exception ${reason} of ${approvedBy}, until ${new Date(exception.expiresAt).toISOString()}`,
  };
}

/** The ruling that findings make: what is only reported, or found in audit mode, passes with its code. */
function ruling(rule: FiledRule, findings: readonly Finding[]): Ruling {
  const refusals = findings.filter(isRefusal);
  const firm = rule.mode === 'audit' ? undefined : refusals.find(({ reported }) => !reported);
  if (firm) return refusal(rule.name, firm);
  const until = Math.min(...findings.map(finding => ('until' in finding ? finding.until : Number.POSITIVE_INFINITY)));
  const [first] = refusals;
  return {
    allowed: true,
    rule: rule.name,
    ...(first ? { code: first.code } : {}),
    detail: refusals.map(({ detail }) => detail).join('; ') || `the rule ${rule.name} allows it`,
    ...(Number.isFinite(until) ? { until } : {}),
  };
}

const shares: Policy['shares'] = ({ share }, { zone, roles }, size) =>
  share !== undefined &&
  (!share.zones || (zone !== undefined && share.zones.has(zone))) &&
  (!share.roles || [...roles].some(role => share.roles!.has(role))) &&
  (share.maxBytes === undefined || size <= share.maxBytes);

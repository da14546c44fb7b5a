/** What a rule asks for, in sentences, and as plain data. */
import type { AttestationRule, Condition, Quorum, Rule, ShareRule } from '../policy/policy.ts';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** A span of ms as a policy writes it. */
const span = (ms: number): string => {
  if (ms % DAY_MS === 0) return `${ms / DAY_MS}d`;
  return ms % HOUR_MS === 0 ? `${ms / HOUR_MS}h` : `${ms / 1000}s`;
};

function quorum({ n, of }: Quorum): string {
  if (of.length === 1) return of[0]!;
  return n === of.length ? `all of ${of.join(', ')}` : n === 1 ? `one of ${of.join(', ')}` : `${n} of ${of.join(', ')}`;
}

const age = ({ maxAgeMs }: Quorum): string =>
  maxAgeMs === undefined ? '' : `, with a proven time of at most ${span(maxAgeMs)} ago`;

function condition(one: Condition): string {
  const place = one.pointer || 'the whole';
  if ('in' in one) return `${place} is ${one.in.map(value => JSON.stringify(value)).join(' or ')}`;
  if ('exists' in one) return `${place} is ${one.exists ? 'there' : 'not there'}`;
  return 'min' in one ? `${place} is at least ${one.min}` : `${place} is at most ${one.max}`;
}

const attestation = (one: AttestationRule): string =>
  `It must have an attestation ${one.predicateType} by ${quorum(one)}${age(one)}${one.where.length ? `, where ${one.where.map(condition).join(', and ')}` : ''}.`;

function share(rule: ShareRule | undefined): string {
  if (!rule) return 'It is never told or given to other nodes.';
  const { zones, roles, maxBytes } = rule;
  const whom = [
    zones ? `of the zones ${[...zones].join(', ')}` : '',
    roles ? `with one of the roles ${[...roles].join(', ')}` : '',
  ].filter(Boolean);
  const size = maxBytes === undefined ? '' : `, but no single content above ${maxBytes} bytes`;
  return `It is told and given to ${whom.length ? `nodes ${whom.join(' ')}` : 'every enrolled node'}${size}.`;
}

function tags({ tags: by }: Rule): string {
  return by.by === 'pins'
    ? 'A tag without a pin is left to the registry (404).'
    : `A tag without a pin is what ${by.min === 1 ? 'any one node' : `${by.min} distinct nodes`} stated; each counts for ${span(by.keepMs)} after its last word.`;
}

function pins({ pins: { require, moves } }: Rule): string {
  if (!require) return 'It needs no pin; a pin decides its tag alone.';
  const other = moves === 'denied' ? 'is refused' : 'is let through and recorded';
  return `It must be pinned; another digest than a pinned one ${other}.`;
}

/** The sentences of a rule that allows, in the order in which they bite. */
export function sentencesOf(rule: Rule): readonly string[] {
  if (rule.action === 'deny')
    return ['Whatever is covered is denied, whatever it shows.', ...(rule.mode === 'audit' ? [AUDIT] : [])];
  const formats = [...(rule.signatures?.formats ?? [])].join(' or ');
  return [
    pins(rule),
    ...(rule.pins.require ? [] : [tags(rule)]),
    rule.signatures
      ? `It must be signed by ${quorum(rule.signatures)}${age(rule.signatures)}, as ${formats}.`
      : 'It needs no signature.',
    ...rule.attestations.map(attestation),
    share(rule.share),
    `Its contents are handed on while they come in once ${rule.vouchers} distinct nodes vouch for one proof.`,
    ...(rule.mode === 'audit' ? [AUDIT] : []),
  ];
}

const AUDIT = 'Mode audit: what the rule refuses is let through and recorded.';

/** Sets as sorted lists, maps as objects, expressions as text: what JSON would lose. */
export function plain(value: unknown): unknown {
  if (value instanceof Set) return [...value].map(String).sort();
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, one]) => [String(key), plain(one)]));
  if (value instanceof RegExp) return value.source;
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}

/**
 * What in a valid policy deserves a second look. Promises: each finding names its place in the file and what follows from
 * it. Refuses to refuse: what may not stand in a policy at all is an error of its reader.
 */
import { parseTagReference } from '../oci/oci.ts';
import type { Policy, Rule } from '../policy/policy.ts';
import type { PolicyOnDisk } from './policy-on-disk.ts';
import { locksIn, rulesIn } from './policy-places.ts';

/** A policy that ends sooner than that, in milliseconds, is told. */
export const EXPIRY_WARN_MS = 30 * 86_400_000;
/** Names that one finding spells out. */
const SHOWN_MAX = 5;

export interface Finding {
  readonly id:
    | 'pin-unused'
    | 'authority-unused'
    | 'trust-root-unused'
    | 'rule-unreachable'
    | 'registry-without-rule'
    | 'shares-everything'
    | 'tags-by-one'
    | 'mode-audit'
    | 'defaults-allow'
    | 'moves-reported'
    | 'expires-soon'
    | 'exception-expired'
    | 'key-without-end';
  /** The place in the file. */
  readonly path: string;
  readonly text: string;
}

/** The findings of a policy at `now` (ms), in the order of the file. */
export const findingsOf = (read: PolicyOnDisk, now: number): readonly Finding[] => [
  ...expiry(read.policy, now),
  ...registries(read),
  ...roots(read),
  ...authorities(read),
  ...defaultFindings(read),
  ...rulesIn(read).flatMap(({ rule, patterns }) => ruleFindings(rule, patterns)),
  ...pins(read),
  ...exceptions(read, now),
];

const iso = (at: number): string => new Date(at).toISOString();

function expiry({ expiresAt, onExpiry }: Policy, now: number): readonly Finding[] {
  if (expiresAt === undefined || expiresAt - now > EXPIRY_WARN_MS) return [];
  const then = onExpiry === 'deny' ? 'what was admitted is withdrawn' : 'nothing new is admitted';
  const when = expiresAt <= now ? `ended at ${iso(expiresAt)}` : `ends at ${iso(expiresAt)}`;
  return [{ id: 'expires-soon', path: 'metadata.expiresAt', text: `the policy ${when}: then ${then}` }];
}

/** Registries of which nothing can be had, and rules for what is not mirrored. */
function registries({ document: { registries: listed, book } }: PolicyOnDisk): readonly Finding[] {
  const hosts = new Set(book.list.map(({ pattern }) => pattern.split('/')[0]!));
  const everything = hosts.has('**') || book.defaults.action === 'allow';
  const alone = everything ? [] : [...new Set(listed.hosts.values())].filter(host => !hosts.has(host));
  const unlisted = book.list.filter(({ pattern }) => {
    const host = pattern.split('/')[0]!;
    return pattern !== '**' && !listed.mirrorsAll && ![...listed.hosts.values()].some(one => one === host);
  });
  return [
    ...alone.map(host => ({
      id: 'registry-without-rule' as const,
      path: `registries.${host}`,
      text: `${host} is mirrored, but no rule covers it: everything of it is denied`,
    })),
    ...unlisted.map(({ name, pattern }) => ({
      id: 'rule-unreachable' as const,
      path: `rules.${name}.match`,
      text: `${pattern} never decides: its registry is not listed under registries`,
    })),
  ];
}

function roots({ policy, document: { trustRoots } }: PolicyOnDisk): readonly Finding[] {
  const used = new Set([...policy.authorities.values()].map(({ trustRoot }) => trustRoot));
  return [...trustRoots.keys()]
    .filter(name => !used.has(name))
    .map(name => ({ id: 'trust-root-unused', path: `trustRoots.${name}`, text: 'no authority names it' }));
}

function authorities({ policy: { authorities: all }, document: { book } }: PolicyOnDisk): readonly Finding[] {
  const used = new Set(
    [book.defaults, ...book.list].flatMap(({ signatures, attestations }) => [
      ...(signatures?.of ?? []),
      ...attestations.flatMap(one => one.of),
    ]),
  );
  const unused = [...all.keys()].filter(name => !used.has(name));
  const endless = [...all].filter(([, one]) => one.kind === 'key' && one.notAfter === undefined);
  return [
    ...unused.map(name => ({
      id: 'authority-unused' as const,
      path: `authorities.${name}`,
      text: 'no rule asks for its signature',
    })),
    ...endless.map(([name]) => ({
      id: 'key-without-end' as const,
      path: `authorities.${name}.key`,
      text: 'no notAfter: who takes the key can sign until this file is changed',
    })),
  ];
}

function ruleFindings(rule: Rule, patterns: readonly string[]): readonly Finding[] {
  const path = `rules.${rule.name}`;
  const found: Finding[] = [];
  if (rule.share && patterns.includes('**'))
    found.push({
      id: 'shares-everything',
      path: `${path}.share`,
      text: 'what it admits is offered to others, of whatever host',
    });
  if (rule.tags.by === 'statements' && rule.tags.min === 1)
    found.push({ id: 'tags-by-one', path: `${path}.tags.min`, text: 'any one node decides what a tag means' });
  if (rule.mode === 'audit')
    found.push({ id: 'mode-audit', path: `${path}.mode`, text: 'what this rule refuses is let through and recorded' });
  if (rule.pins.require && rule.pins.moves === 'reported')
    found.push({
      id: 'moves-reported',
      path: `${path}.pins.moves`,
      text: 'a digest that is not pinned is let through',
    });
  return found;
}

/** Where the defaults decide for names of their own. */
function defaultFindings({ document: { book } }: PolicyOnDisk): readonly Finding[] {
  const { defaults } = book;
  const decides = !book.list.some(({ pattern }) => pattern === '**');
  if (!decides || (defaults.action === 'deny' && defaults.mode === 'enforce')) return [];
  const audit = defaults.mode === 'audit';
  const path = audit ? 'defaults.mode' : 'defaults.action';
  const text = audit ? 'what no rule covers is let through and recorded' : 'what no rule covers is allowed';
  return [
    audit ? { id: 'mode-audit', path, text } : { id: 'defaults-allow', path, text },
    ...(defaults.share
      ? [
          {
            id: 'shares-everything' as const,
            path: 'defaults.share',
            text: 'images that no rule covers are offered to others',
          },
        ]
      : []),
  ];
}

/** Pins in lock files that decide nothing. */
function pins(read: PolicyOnDisk): readonly Finding[] {
  const { policy } = read;
  return [...locksIn(read)].flatMap(([file, lock]) => {
    const unused = lock.list.filter(pin => {
      const reference = parseTagReference(pin.reference);
      return policy.registry(reference.registry) !== reference.registry || policy.pin(reference) !== pin.digest;
    });
    if (!unused.length) return [];
    const names = unused.slice(0, SHOWN_MAX).map(({ reference }) => reference);
    const more = unused.length > names.length ? ` and ${unused.length - names.length} more` : '';
    const text = `no rule uses the pin of ${names.join(', ')}${more}: another rule decides there, or none`;
    return [{ id: 'pin-unused' as const, path: file, text }];
  });
}

const exceptions = ({ document }: PolicyOnDisk, now: number): readonly Finding[] =>
  document.exceptions.flatMap(({ match, reason, expiresAt }, index) =>
    expiresAt > now
      ? []
      : [
          {
            id: 'exception-expired' as const,
            path: `exceptions[${index}]`,
            text: `${match} (${reason}) ended at ${iso(expiresAt)}: take it out`,
          },
        ],
  );

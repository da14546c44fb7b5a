/**
 * Two policies by what they mean: rules field by field as they decide, defaults filled in; keys by fingerprint; pins by tag.
 * Promises: what is written differently and means the same is no change. Pure.
 */
import { createHash, createPublicKey } from 'node:crypto';
import type { FiledRule } from '../policy/parse-rules.ts';
import type { Authority, ShareRule } from '../policy/policy.ts';
import type { PolicyOnDisk } from './policy-on-disk.ts';
import { locksIn, rulesIn } from './policy-places.ts';
import { plain } from './rule-words.ts';

export const SECTIONS = [
  'metadata',
  'registries',
  'trustRoots',
  'authorities',
  'defaults',
  'rules',
  'exceptions',
  'pins',
] as const;
export type Section = (typeof SECTIONS)[number];

type Facts = Readonly<Record<string, unknown>>;
/** What a policy says: by section, by name, by field. */
export type Said = Readonly<Record<Section, ReadonlyMap<string, Facts>>>;

export interface FieldChange {
  readonly name: string;
  readonly field: string;
  readonly from: unknown;
  readonly to: unknown;
}
export interface SectionChanges {
  readonly added: readonly { readonly name: string; readonly facts: Facts }[];
  readonly removed: readonly { readonly name: string; readonly facts: Facts }[];
  readonly changed: readonly FieldChange[];
}

const iso = (at: number | undefined): string | undefined => (at === undefined ? undefined : new Date(at).toISOString());

/** Everything that a policy means. */
export function saidBy(read: PolicyOnDisk): Said {
  const { policy, document } = read;
  const { name, serial, issuedAt, expiresAt, onExpiry } = policy;
  const metadata = { name, serial, issuedAt: iso(issuedAt), expiresAt: iso(expiresAt), onExpiry };
  return {
    metadata: new Map([['metadata', metadata]]),
    registries: hostFacts(read),
    trustRoots: new Map([...document.trustRoots].map(([root, { sha256 }]) => [root, { sha256 }])),
    authorities: new Map([...policy.authorities].map(([one, authority]) => [one, authorityFacts(authority)])),
    defaults: new Map([['defaults', ruleFacts(document.book.defaults, [])]]),
    rules: new Map(rulesIn(read).map(({ rule, patterns }) => [rule.name, ruleFacts(rule, patterns)])),
    exceptions: new Map(
      document.exceptions.map(({ match, digest, expiresAt: end, ...facts }) => [
        `${match}@${digest}`,
        { ...facts, expiresAt: iso(end) },
      ]),
    ),
    pins: pinFacts(read),
  };
}

/** Each host with its aliases. */
function hostFacts({ document: { registries } }: PolicyOnDisk): ReadonlyMap<string, Facts> {
  const hosts = new Map<string, Facts>(registries.mirrorsAll ? [['*', { aliases: [] }]] : []);
  for (const host of new Set(registries.hosts.values())) {
    const names = [...registries.hosts].filter(([name, of]) => of === host && name !== host).map(([name]) => name);
    hosts.set(host, { aliases: names.sort() });
  }
  return hosts;
}

/** A key by its fingerprint: two spellings of one key are one. */
function authorityFacts(authority: Authority): Facts {
  if (authority.kind === 'keyless') return plain(authority) as Facts;
  const { pem, notBefore, notAfter, ...rest } = authority;
  const spki = createPublicKey(pem).export({ type: 'spki', format: 'der' });
  return {
    ...rest,
    key: `sha256:${createHash('sha256').update(spki).digest('hex')}`,
    ...(notBefore === undefined ? {} : { notBefore: iso(notBefore) }),
    ...(notAfter === undefined ? {} : { notAfter: iso(notAfter) }),
  };
}

function ruleFacts(rule: FiledRule, patterns: readonly string[]): Facts {
  const { action, mode, vouchers, tags, pins, share, signatures, attestations, pinFiles } = rule;
  const sorted = <T extends { readonly of: readonly string[] }>(one: T): T => ({ ...one, of: [...one.of].sort() });
  return plain({
    match: [...patterns].sort(),
    action,
    mode,
    pins,
    pinFiles: [...pinFiles].sort(),
    tags,
    ...(signatures ? { signatures: sorted(signatures) } : {}),
    attestations: attestations.map(sorted),
    share: shareFacts(share),
    vouchers,
  }) as Facts;
}

/** In the words of the language. */
function shareFacts(share: ShareRule | undefined): unknown {
  if (!share) return 'never';
  return Object.keys(share).length ? share : 'cluster';
}

/** By tag; where two rules pin one to two digests, those of the later lock files by the names of these. */
function pinFacts(read: PolicyOnDisk): ReadonlyMap<string, Facts> {
  const pins = new Map<string, Record<string, unknown>>();
  for (const [file, { list }] of locksIn(read))
    for (const { reference, digest } of list) {
      const before = pins.get(reference);
      if (!before) pins.set(reference, { digest });
      else if (before.digest !== digest) before[file] = digest;
    }
  return pins;
}

/** What lies between two policies, section by section. */
export function changesOf(a: Said, b: Said): Readonly<Record<Section, SectionChanges>> {
  return Object.fromEntries(SECTIONS.map(section => [section, between(a[section], b[section])])) as Record<
    Section,
    SectionChanges
  >;
}

function between(a: ReadonlyMap<string, Facts>, b: ReadonlyMap<string, Facts>): SectionChanges {
  const only = (these: ReadonlyMap<string, Facts>, others: ReadonlyMap<string, Facts>) =>
    [...these].filter(([name]) => !others.has(name)).map(([name, facts]) => ({ name, facts }));
  const changed = [...a].flatMap(([name, from]) => {
    const to = b.get(name);
    return to ? fieldChanges(name, from, to) : [];
  });
  return { added: only(b, a), removed: only(a, b), changed };
}

/** Field by field, down to what is no mapping on both sides. */
function fieldChanges(name: string, from: Facts, to: Facts, above = ''): readonly FieldChange[] {
  const fields = new Set([...Object.keys(from), ...Object.keys(to)]);
  return [...fields].flatMap(key => {
    const [a, b] = [from[key], to[key]];
    const field = `${above}${key}`;
    if (canonical(a) === canonical(b)) return [];
    return isMapping(a) && isMapping(b)
      ? fieldChanges(name, a, b, `${field}.`)
      : [{ name, field, from: a ?? null, to: b ?? null }];
  });
}

const isMapping = (value: unknown): value is Facts =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

/** JSON whose keys are sorted. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) =>
    one !== null && typeof one === 'object' && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  ) ?? 'null';

/**
 * Reads rules, and the defaults that stand in for what they leave out. Promises: every rule comes out whole; nothing is
 * shared with everybody by a slip. Refuses to know which rule decides (patterns.ts). Spec: POLICY.md, "Rules".
 */
import { parseNodeName, type Registry, type Role, ROLES } from '../oci/oci.ts';
import type { Fields } from '../yaml.ts';
import { readAttestations, readSignatures } from './parse-signed.ts';
import { isFile, readChoice, readName, readPattern, readSet, readSize, readSpan } from './parse-values.ts';
import { type Pattern, Patterns, PATTERNS_MAX } from './patterns.ts';
import type { Rule, ShareRule, TagRule } from './policy.ts';

/** Distinct vouchers where the file says nothing, and the most that it may ask for. */
export const VOUCHERS_DEFAULT = 2;
export const VOUCHERS_MAX = 16;
/** The most distinct signers that a rule for tags may ask for. */
export const SIGNERS_MAX = 64;
/** The most lock files of a rule, and the most zones that it may name. */
const LOCKS_MAX = 64;
const ZONES_MAX = 256;
const HOUR_MS = 3_600_000;
/** How long a tag statement may count after its last renewal, in milliseconds. */
const KEEP_MS = { min: HOUR_MS, otherwise: 7 * 24 * HOUR_MS, max: 365 * 24 * HOUR_MS };
/** Rules of those names stand in records where no rule of the file decided. */
const RESERVED: readonly string[] = ['defaults', 'registries'];

/** A rule with the lock files that it names. */
export interface FiledRule extends Rule {
  readonly pinFiles: readonly string[];
}

/** What a rule says that defaults may say for it. */
type Terms = Omit<FiledRule, 'name' | 'pattern' | 'action'>;

const BUILT_IN: Terms = {
  mode: 'enforce',
  vouchers: VOUCHERS_DEFAULT,
  tags: { by: 'pins' },
  pins: { require: false, moves: 'denied' },
  pinFiles: [],
  attestations: [],
};

/** What is around the rules. */
export interface Surroundings {
  readonly hosts: ReadonlyMap<string, Registry>;
  /** Names of authorities. */
  readonly authorities: ReadonlySet<string>;
}

/** Rules by pattern, and what decides where none matches. */
export interface RuleBook {
  readonly rules: Patterns<FiledRule>;
  /** Each pattern's, in the order of the file. */
  readonly list: readonly FiledRule[];
  readonly defaults: FiledRule;
}

/** Reads `defaults` and `rules`. @throws POLICY_INVALID */
export function readRules(fields: Fields, around: Surroundings): RuleBook {
  const written = fields.fields('defaults');
  const everything = written?.boolean('shareEverything', false) ?? false;
  const terms = written ? readTerms(written, BUILT_IN, around) : BUILT_IN;
  const action = written ? readChoice(written, 'action', ['allow', 'deny'] as const, 'deny') : 'deny';
  const defaults = { name: 'defaults', pattern: '', action, ...terms };
  written?.end();
  // In audit mode what is denied passes as well.
  if (defaults.share && !everything && (defaults.action === 'allow' || defaults.mode === 'audit'))
    fields.fail('defaults.share', EVERYTHING);
  const names = new Set<string>(RESERVED);
  const rules = fields
    .list('rules', PATTERNS_MAX)
    .flatMap(rule => readRule(rule, { terms, around, everything, names }));
  return {
    rules: fields.parse('rules', () => new Patterns(rules)),
    list: rules.map(({ value }) => value),
    defaults,
  };
}

const EVERYTHING = 'gives images of every name to other nodes: say defaults.shareEverything: true if that is meant';

interface Reading {
  readonly terms: Terms;
  readonly around: Surroundings;
  readonly everything: boolean;
  /** Those that are taken. */
  readonly names: Set<string>;
}

function readRule(
  rule: Fields,
  { terms: defaults, around, everything, names }: Reading,
): { pattern: Pattern; value: FiledRule }[] {
  const name = readName(rule, 'name');
  if (names.has(name)) rule.fail('name', `${name} stands twice, or is a word of the language`);
  names.add(name);
  const match = rule.take('match');
  const texts: readonly unknown[] = Array.isArray(match) ? match : [match];
  const patterns = texts.map(text =>
    typeof text === 'string'
      ? rule.parse('match', () => readPattern(text, around.hosts))
      : rule.fail('match', 'must be a pattern or a list of patterns'),
  );
  if (!patterns.length) rule.fail('match', 'must not be empty');
  const action = readChoice(rule, 'action', ['allow', 'deny'] as const, 'allow');
  const terms = readTerms(rule, defaults, around);
  rule.end();
  if (terms.share && !everything && texts.includes('**')) rule.fail('share', EVERYTHING);
  return patterns.map(pattern => ({ pattern, value: { name, pattern: pattern.text, action, ...terms } }));
}

function readTerms(rule: Fields, otherwise: Terms, { authorities }: Surroundings): Terms {
  const { share: usual, signatures: usually, ...rest } = otherwise;
  const share = rule.keys().includes('share') ? readShare(rule) : usual;
  const signatures = readSignatures(rule, authorities) ?? usually;
  return {
    ...rest,
    mode: readChoice(rule, 'mode', ['enforce', 'audit'] as const, otherwise.mode),
    vouchers: rule.integer('vouchers', { min: 1, max: VOUCHERS_MAX }, otherwise.vouchers),
    tags: readTags(rule) ?? otherwise.tags,
    attestations: readAttestations(rule, authorities) ?? otherwise.attestations,
    ...readPins(rule),
    ...(share ? { share } : {}),
    ...(signatures ? { signatures } : {}),
  };
}

function readShare(rule: Fields): ShareRule | undefined {
  const value = rule.take('share');
  if (value === 'never') return undefined;
  if (value === 'cluster') return {};
  if (typeof value !== 'object' || value === null)
    return rule.fail('share', 'must be `never`, `cluster`, or a mapping of `zones`, `roles` and `maxBytes`');
  const fields = rule.nested('share', value);
  if (!fields.keys().length) rule.fail('share', 'says nothing: write `cluster` for every node');
  const zones = fields.keys().includes('zones') ? readSet(fields, 'zones', ZONES_MAX) : undefined;
  const roles = fields.keys().includes('roles') ? readSet(fields, 'roles', ROLES.length) : undefined;
  const maxBytes = readSize(fields, 'maxBytes');
  if (zones) fields.parse('zones', () => zones.forEach(parseNodeName));
  if (roles?.some(role => !ROLES.includes(role as Role))) fields.fail('roles', `must be of ${ROLES.join(', ')}`);
  fields.end();
  return {
    ...(zones ? { zones: new Set(zones) } : {}),
    ...(roles ? { roles: new Set(roles) } : {}),
    ...(maxBytes === undefined ? {} : { maxBytes }),
  };
}

function readTags(rule: Fields): TagRule | undefined {
  const value = rule.take('tags');
  if (value === undefined) return undefined;
  if (value === 'pins') return { by: 'pins' };
  if (typeof value !== 'object' || value === null)
    return rule.fail('tags', 'must be `pins`, or a mapping of `min` and `keep`');
  const fields = rule.nested('tags', value);
  const min = fields.integer('min', { min: 1, max: SIGNERS_MAX });
  const keepMs = readSpan(fields, 'keep', KEEP_MS) ?? KEEP_MS.otherwise;
  fields.end();
  return { by: 'statements', min, keepMs };
}

function readPins(rule: Fields): Pick<Terms, 'pins' | 'pinFiles'> | undefined {
  const fields = rule.fields('pins');
  if (!fields) return undefined;
  const require = fields.boolean('require', false);
  const moves = readChoice(fields, 'moves', ['denied', 'reported'] as const, 'denied');
  const pinFiles = fields.keys().includes('files') ? readSet(fields, 'files', LOCKS_MAX) : [];
  if (!pinFiles.every(isFile)) fields.fail('files', 'must be paths relative to this file, of A-Z a-z 0-9 . _ + @ - /');
  if (require && !pinFiles.length) fields.fail('files', 'must name the lock files whose pins are required');
  if (!require && moves === 'reported') fields.fail('moves', 'means nothing without `require: true`');
  fields.end();
  return { pins: { require, moves }, pinFiles };
}

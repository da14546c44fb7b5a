/**
 * Reads a policy file. Promises: a policy is loaded whole or not at all; whatever could be meant in two ways is an error
 * that names its place. Refuses to know what is decided (decide.ts). Spec: POLICY.md.
 */
import { createHash } from 'node:crypto';
import { asMirrorError, MirrorError } from '../errors.ts';
import { type Digest, parseDigest, parseRegistry, parseTagReference, type Registry } from '../oci/oci.ts';
import { Fields, parseYaml } from '../yaml.ts';
import { decideBy, type Rules } from './decide.ts';
import { type Pattern, Patterns, parsePattern } from './patterns.ts';
import type { Policy } from './policy.ts';

/** Distinct vouchers where the file says nothing, and the most that it may ask for. */
export const VOUCHERS_DEFAULT = 2;
export const VOUCHERS_MAX = 16;
/** The most distinct signers that a rule for tags may ask for. */
export const SIGNERS_MAX = 64;
const HOUR_MS = 3_600_000;
/** How long a tag statement may count after its last renewal, in milliseconds. */
const KEEP_MS = { min: HOUR_MS, otherwise: 7 * 24 * HOUR_MS, max: 365 * 24 * HOUR_MS };
const UNITS = { s: 1000, m: 60_000, h: HOUR_MS, d: 24 * HOUR_MS };

type Registries = Pick<Rules, 'registries' | 'mirrorsAll'>;

/** The policy that `text` of `file` says. @throws YAML_INVALID, POLICY_INVALID */
export function loadPolicy(text: string, file: string): Policy {
  const fields = new Fields(parseYaml(text, file), `${file}: `, 'POLICY_INVALID');
  const names = readRegistries(fields);
  const rules = {
    hash: createHash('sha256').update(text).digest('hex'),
    vouchers: fields.integer('vouchers', { min: 1, max: VOUCHERS_MAX }, VOUCHERS_DEFAULT),
    ...names,
    share: readShare(fields, names),
    tags: readTags(fields, names),
    pins: readPins(fields, names),
  };
  fields.end();
  return decideBy(rules);
}

/** Runs `parse`; whatever it refuses is the policy's fault, at `key`. */
function at<T>(fields: Fields, key: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    return fields.fail(key, asMirrorError(error, 'POLICY_INVALID', 'not read').message);
  }
}

function list(fields: Fields, key: string): readonly unknown[] {
  const value = fields.take(key) ?? [];
  return Array.isArray(value) ? value : fields.fail(key, 'must be a list');
}

function readRegistries(fields: Fields): Registries {
  const hosts = new Map<string, Registry>();
  const add = (name: string, host: Registry): void => {
    if (hosts.has(name)) fields.fail('registries', `${name} stands twice`);
    hosts.set(name, host);
  };
  const entries = list(fields, 'registries');
  const mirrorsAll = entries.includes('*');
  for (const entry of entries) {
    if (entry === '*') continue;
    const { name, aliases } = readRegistry(fields, entry);
    at(fields, 'registries', () => {
      const host = parseRegistry(name);
      for (const one of [name, ...aliases]) add(parseRegistry(one), host);
    });
  }
  if (entries.filter(entry => entry === '*').length > 1) fields.fail('registries', '"*" stands twice');
  return { registries: hosts, mirrorsAll };
}

function readRegistry(fields: Fields, entry: unknown): { name: string; aliases: readonly string[] } {
  if (typeof entry === 'string') return { name: entry, aliases: [] };
  const registry = at(fields, 'registries', () => new Fields(entry, 'an entry', 'POLICY_INVALID'));
  return at(fields, 'registries', () => {
    const read = { name: registry.string('name'), aliases: registry.strings('aliases', []) };
    registry.end();
    return read;
  });
}

/** A pattern or pin that is written with an alias would never match. */
function refuseAlias(registry: Registry | undefined, { registries }: Registries): void {
  const host = registry === undefined ? undefined : registries.get(registry);
  if (host !== undefined && host !== registry)
    throw new MirrorError('POLICY_INVALID', `${registry} is an alias: write ${host}`);
}

function readPattern(text: string, names: Registries): Pattern {
  const pattern = parsePattern(text);
  refuseAlias(pattern.registry, names);
  return pattern;
}

function readShare(fields: Fields, names: Registries): Rules['share'] {
  const everything = fields.boolean('shareEverything', false);
  const texts = fields.strings('share', []);
  if (texts.includes('**') && !everything)
    fields.fail('share', '** gives every image of this node to every node: say shareEverything: true if that is meant');
  return at(
    fields,
    'share',
    () => new Patterns(texts.map(text => ({ pattern: readPattern(text, names), value: true }))),
  );
}

function readTags(fields: Fields, names: Registries): Rules['tags'] {
  const value = fields.take('tags') ?? 'pins';
  if (value === 'pins') return new Patterns([]);
  if (!Array.isArray(value)) return fields.fail('tags', 'must be `pins` or a list of rules');
  return at(fields, 'tags', () => new Patterns(value.map(entry => readTagRule(entry, names))));
}

function readTagRule(entry: unknown, names: Registries): { pattern: Pattern; value: { min: number; keepMs: number } } {
  const rule = new Fields(entry, 'a rule', 'POLICY_INVALID');
  const pattern = readPattern(rule.string('match'), names);
  const min = rule.integer('min', { min: 1, max: SIGNERS_MAX });
  const keep = rule.string('keep', undefined);
  const keepMs = keep === undefined ? KEEP_MS.otherwise : readKeep(rule, keep);
  rule.end();
  return { pattern, value: { min, keepMs } };
}

function readKeep(rule: Fields, text: string): number {
  const [, count, unit] = /^([1-9][0-9]{0,8})([smhd])$/.exec(text) ?? [];
  const ms = Number(count) * (UNITS[unit as keyof typeof UNITS] ?? Number.NaN);
  if (!(ms >= KEEP_MS.min && ms <= KEEP_MS.max)) rule.fail('keep', 'must be a time from 1h to 365d, such as 7d');
  return ms;
}

function readPins(fields: Fields, names: Registries): Rules['pins'] {
  const pins = fields.fields('pins');
  const read = new Map<string, Digest>();
  for (const key of pins?.keys() ?? []) {
    const digest = pins!.string(key);
    at(fields, 'pins', () => {
      refuseAlias(parseTagReference(key).registry, names);
      read.set(key, parseDigest(digest));
    });
  }
  return read;
}

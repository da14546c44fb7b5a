/**
 * From the short form, which knew registries, share, tags, pins and vouchers, to the language. Promises: the new policy
 * decides what the old one did, for every name. Refuses to know what is better: whoever migrates adds that. Spec:
 * POLICY.md, "The short form".
 */
import { basename } from 'node:path';
import { MirrorError } from '../errors.ts';
import { type Digest, parseDigest, parseTagReference, type Registry } from '../oci/oci.ts';
import { Fields, parseYaml } from '../yaml.ts';
import { readRegistries } from './parse.ts';
import { SIGNERS_MAX, VOUCHERS_DEFAULT, VOUCHERS_MAX } from './parse-rules.ts';
import { isFile, readPattern } from './parse-values.ts';
import { type Pattern, Patterns } from './patterns.ts';
import { formatPins, type Pin } from './pins.ts';

/** The longest part of a rule's name that is taken from its pattern, in characters. */
const SLUG_MAX = 50;

type Listed<T> = readonly { readonly pattern: Pattern; readonly value: T }[];

interface ShortForm {
  readonly registries: readonly unknown[];
  readonly vouchers: number;
  readonly shareEverything: boolean;
  readonly share: Listed<true>;
  /** What stands behind `tags:` in the new form. */
  readonly tags: Listed<string>;
  readonly pins: readonly Pin[];
}

/** What a policy of the short form becomes. */
export interface Migrated {
  /** The text of the new policy. */
  readonly policy: string;
  /** The text of its lock file, to be put beside it as `lockFileOf` names it, where it has pins. */
  readonly pins?: string;
}

/** The name of the lock file beside the policy `file`. */
export function lockFileOf(file: string): string {
  const name = `${basename(file).replace(/\.ya?ml$/, '')}.lock`;
  return isFile(name) ? name : 'pins.lock';
}

/** Rewrites the short form `text` of `file`, as issued at `issuedAt` (ms since 1970). @throws YAML_INVALID, POLICY_INVALID */
export function migrate(text: string, file: string, issuedAt = 0): Migrated {
  const short = readShort(new Fields(parseYaml(text, file), `${file}: `, 'POLICY_INVALID'));
  const { pins, registries, vouchers, shareEverything } = short;
  const defaults = [
    '  action: allow # names of these registries can be asked for, whether a rule covers them or not',
    ...(shareEverything ? ['  shareEverything: true'] : []),
    ...(vouchers === VOUCHERS_DEFAULT ? [] : [`  vouchers: ${vouchers}`]),
    ...(pins.length ? [`  pins: {files: [${lockFileOf(file)}]}`] : []),
  ];
  const rules = rulesOf(short);
  const lines = [
    'apiVersion: pinnace.policy/v1',
    'kind: MirrorPolicy',
    `metadata: {name: migrated, serial: 1, issuedAt: ${new Date(issuedAt).toISOString().replace('.000', '')}}`,
    `registries: ${JSON.stringify(registries)}`,
    'defaults:',
    ...defaults,
    ...(rules.length ? ['rules:', ...rules] : []),
  ];
  const policy = `${lines.join('\n')}\n`;
  return { policy, ...(pins.length ? { pins: formatPins(1, pins) } : {}) };
}

function readShort(fields: Fields): ShortForm {
  if (fields.keys().includes('apiVersion')) fields.fail('apiVersion', 'stands there: it is in the new form already');
  const registries = fields.take('registries') ?? [];
  const { hosts } = readRegistries(fields.nested('', { registries }));
  const vouchers = fields.integer('vouchers', { min: 1, max: VOUCHERS_MAX }, VOUCHERS_DEFAULT);
  const shareEverything = fields.boolean('shareEverything', false);
  const texts = fields.strings('share', []);
  if (texts.includes('**') && !shareEverything) fields.fail('share', '** needs shareEverything: true');
  const share = texts.map(text => ({
    pattern: fields.parse('share', () => readPattern(text, hosts)),
    value: true as const,
  }));
  const tags = readTags(fields, hosts);
  const pins = readPins(fields, hosts);
  fields.end();
  return { registries: registries as unknown[], vouchers, shareEverything, share, tags, pins };
}

function readTags(fields: Fields, hosts: ReadonlyMap<string, Registry>): Listed<string> {
  const value = fields.take('tags') ?? 'pins';
  if (value === 'pins') return [];
  if (!Array.isArray(value)) return fields.fail('tags', 'must be `pins` or a list of rules');
  return value.map((entry, at) => {
    const rule = fields.nested(`tags[${at}]`, entry);
    const pattern = rule.parse('match', () => readPattern(rule.string('match'), hosts));
    const min = rule.integer('min', { min: 1, max: SIGNERS_MAX });
    const keep = rule.string('keep', undefined);
    // Its range is looked at by whoever loads what comes of it.
    if (keep !== undefined && !/^[1-9][0-9]{0,8}[smhd]$/.test(keep)) rule.fail('keep', 'must be a time such as 7d');
    rule.end();
    return { pattern, value: keep === undefined ? `{min: ${min}}` : `{min: ${min}, keep: ${keep}}` };
  });
}

function readPins(fields: Fields, hosts: ReadonlyMap<string, Registry>): readonly Pin[] {
  const pins = fields.fields('pins');
  return (pins?.keys() ?? []).map(reference => {
    const digest: Digest = fields.parse('pins', () => parseDigest(pins!.string(reference)));
    const { registry } = fields.parse('pins', () => parseTagReference(reference));
    const host = hosts.get(registry);
    if (host !== undefined && host !== registry)
      throw new MirrorError('POLICY_INVALID', `the pin ${reference} is written with an alias: write ${host}`);
    return { reference, digest, note: '' };
  });
}

/**
 * A rule for each pattern of either list. Of the patterns that match a name each holds all that the narrower ones match,
 * so what a list says of a rule's names is what its narrowest pattern says that covers the rule's.
 */
function rulesOf({ share, tags }: ShortForm): readonly string[] {
  const [shares, rules] = [new Patterns(share), new Patterns(tags)];
  const patterns = new Map([...share, ...tags].map(({ pattern }) => [pattern.text, pattern]));
  const names = new Set<string>(['defaults', 'registries']);
  return [...patterns.values()].flatMap(pattern => [
    `  - name: ${nameFor(pattern, names)}`,
    `    match: ${JSON.stringify(pattern.text)}`,
    `    share: ${shares.covering(pattern) ? 'cluster' : 'never'}`,
    `    tags: ${rules.covering(pattern)?.value ?? 'pins'}`,
  ]);
}

/** A name that no other rule has. */
function nameFor({ text }: Pattern, names: Set<string>): string {
  const words = text === '**' ? 'everything' : text.replace(/\/?\*+$/, '').replaceAll(/[^a-z0-9.]+/g, '-');
  const slug = words.slice(0, SLUG_MAX);
  let name = slug;
  for (let at = 2; names.has(name); at += 1) name = `${slug}-${at}`;
  names.add(name);
  return name;
}

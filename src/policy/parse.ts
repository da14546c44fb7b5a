/**
 * Reads a policy file. Promises: a policy is loaded whole or not at all; whatever could be meant in two ways is an error
 * that names its place. Refuses to know what is decided (decide.ts), and where files come from. Spec: POLICY.md.
 */
import { createHash } from 'node:crypto';
import { MirrorError } from '../errors.ts';
import { parseRegistry, type Registry } from '../oci/oci.ts';
import { Fields, parseYaml } from '../yaml.ts';
import { decideBy } from './decide.ts';
import { type Exception, Exceptions, readExceptions } from './exceptions.ts';
import { type NamedAuthority, readAuthorities, readTrustRoots, type RootFile } from './parse-authorities.ts';
import { type FiledRule, readRules, type RuleBook } from './parse-rules.ts';
import { readChoice, readName, readTime } from './parse-values.ts';
import { parsePins, Pins } from './pins.ts';
import type { Authority, Policy, Quorum } from './policy.ts';
import { policyHash } from './policy-hash.ts';

/** The most registries and aliases. */
const REGISTRIES_MAX = 10_000;
/** The largest key, in bytes. */
const KEY_MAX_BYTES = 16 << 10;

const PUBLIC_KEY = /^-----BEGIN PUBLIC KEY-----\r?\n[A-Za-z0-9+/=\r\n]+-----END PUBLIC KEY-----\s*$/;

interface Registries {
  readonly hosts: ReadonlyMap<string, Registry>;
  readonly mirrorsAll: boolean;
}

/** What a policy file says, before the files that it names are read. */
export interface PolicyDocument extends Pick<Policy, 'name' | 'serial' | 'issuedAt' | 'expiresAt' | 'onExpiry'> {
  readonly registries: Registries;
  readonly trustRoots: ReadonlyMap<string, RootFile>;
  readonly authorities: ReadonlyMap<string, NamedAuthority>;
  readonly book: RuleBook;
  readonly exceptions: readonly Exception[];
  /** Each file that it names, once, as written, sorted. */
  readonly files: readonly string[];
}

/** The policy that `text` of `file` says, with the bytes of each file that it names, as written there. @throws YAML_INVALID, POLICY_INVALID, PINS_INVALID */
export function loadPolicy(text: string, file: string, files: ReadonlyMap<string, Uint8Array>): Policy {
  const document = readPolicy(text, file);
  const bytesOf = (name: string, place: string): Uint8Array => {
    const bytes = files.get(name);
    if (!bytes) throw new MirrorError('POLICY_INVALID', `${file}: ${place}: the file ${name} was not given`);
    return bytes;
  };
  const { registries, exceptions, book, ...told } = document;
  const authorities = loadAuthorities(document, file, bytesOf);
  refuseOneKeyTwice(book, authorities, file);
  return decideBy({
    ...told,
    hash: policyHash(text, file, files, document.files),
    trustRoots: loadTrustRoots(document, file, bytesOf),
    authorities,
    registries: registries.hosts,
    mirrorsAll: registries.mirrorsAll,
    rules: book.rules,
    defaults: book.defaults,
    exceptions: new Exceptions(exceptions),
    pinsOf: loadPins(document, bytesOf),
  });
}

/** The files that the policy `text` of `file` names, as written there, sorted, each once. @throws YAML_INVALID, POLICY_INVALID */
export const policyFiles = (text: string, file: string): readonly string[] => readPolicy(text, file).files;

/** What the policy `text` of `file` says, without the files that it names. @throws YAML_INVALID, POLICY_INVALID */
export function readPolicy(text: string, file: string): PolicyDocument {
  const fields = new Fields(parseYaml(text, file), `${file}: `, 'POLICY_INVALID');
  readVersion(fields, file);
  const meta = readMetadata(fields);
  const registries = readRegistries(fields);
  const trustRoots = readTrustRoots(fields);
  const authorities = readAuthorities(fields, trustRoots);
  const { hosts } = registries;
  const book = readRules(fields, { hosts, authorities: new Set(authorities.keys()) });
  const exceptions = readExceptions(fields, meta.issuedAt, hosts);
  fields.end();
  const files = new Set([...trustRoots.values()].map(root => root.file));
  for (const authority of authorities.values()) if (authority.kind === 'key') files.add(authority.file);
  for (const { pinFiles } of [book.defaults, ...book.list]) for (const pins of pinFiles) files.add(pins);
  return { ...meta, registries, trustRoots, authorities, book, exceptions, files: [...files].toSorted() };
}

function readVersion(fields: Fields, file: string): void {
  const version = fields.take('apiVersion');
  if (version === undefined)
    fields.fail(
      'apiVersion',
      `is missing; a policy of the older short form is rewritten by: pinnace policy migrate ${file}`,
    );
  if (version !== 'pinnace.policy/v1') fields.fail('apiVersion', 'must be `pinnace.policy/v1`');
  if (fields.take('kind') !== 'MirrorPolicy') fields.fail('kind', 'must be `MirrorPolicy`');
}

function readMetadata(fields: Fields): Pick<Policy, 'name' | 'serial' | 'issuedAt' | 'expiresAt' | 'onExpiry'> {
  const metadata = fields.fields('metadata') ?? fields.fail('metadata', 'must be there: name, serial, issuedAt');
  const name = readName(metadata, 'name');
  const serial = metadata.integer('serial', { min: 1, max: Number.MAX_SAFE_INTEGER });
  const issuedAt = readTime(metadata, 'issuedAt') ?? metadata.fail('issuedAt', 'must be there');
  const expiresAt = readTime(metadata, 'expiresAt');
  if (expiresAt !== undefined && expiresAt <= issuedAt) metadata.fail('expiresAt', 'must be later than issuedAt');
  const onExpiry = readChoice(metadata, 'onExpiry', ['freeze', 'deny'] as const, 'freeze');
  metadata.end();
  return { name, serial, issuedAt, onExpiry, ...(expiresAt === undefined ? {} : { expiresAt }) };
}

/** Reads `registries`. @throws POLICY_INVALID */
export function readRegistries(fields: Fields): Registries {
  const hosts = new Map<string, Registry>();
  const entries = fields.take('registries') ?? [];
  if (!Array.isArray(entries)) return fields.fail('registries', 'must be a list');
  const all = entries.filter(entry => entry === '*').length;
  if (all > 1) fields.fail('registries', '"*" stands twice');
  for (const [at, entry] of entries.entries()) {
    if (entry === '*') continue;
    const place = `registries[${at}]`;
    const [name, ...aliases] = typeof entry === 'string' ? [entry] : readRegistry(fields.nested(place, entry));
    const [host, ...others] = fields.parse(place, () => [name!, ...aliases].map(parseRegistry));
    for (const one of [host!, ...others]) {
      if (hosts.has(one)) fields.fail(place, `${one} stands twice`);
      hosts.set(one, host!);
    }
    if (hosts.size > REGISTRIES_MAX) fields.fail('registries', `must have at most ${REGISTRIES_MAX} names`);
  }
  return { hosts, mirrorsAll: all > 0 };
}

function readRegistry(registry: Fields): readonly string[] {
  const names = [registry.string('name'), ...registry.strings('aliases', [])];
  registry.end();
  return names;
}

type BytesOf = (name: string, place: string) => Uint8Array;

function loadTrustRoots({ trustRoots }: PolicyDocument, file: string, bytesOf: BytesOf): Policy['trustRoots'] {
  return new Map(
    [...trustRoots].map(([name, root]) => {
      const bytes = bytesOf(root.file, `trustRoots.${name}.file`);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      if (sha256 !== root.sha256)
        throw new MirrorError('POLICY_INVALID', `${file}: trustRoots.${name}.sha256: ${root.file} has ${sha256}`);
      return [name, bytes];
    }),
  );
}

function loadAuthorities({ authorities }: PolicyDocument, file: string, bytesOf: BytesOf): Policy['authorities'] {
  return new Map(
    [...authorities].map(([name, authority]): [string, Authority] => {
      if (authority.kind === 'keyless') return [name, authority];
      const { file: key, ...told } = authority;
      const bytes = bytesOf(key, `authorities.${name}.key.file`);
      const pem = Buffer.from(bytes.subarray(0, KEY_MAX_BYTES + 1)).toString('latin1');
      if (pem.length > KEY_MAX_BYTES || !PUBLIC_KEY.test(pem))
        throw new MirrorError(
          'POLICY_INVALID',
          `${file}: authorities.${name}.key.file: ${key} is no public key in PEM`,
        );
      return [name, { ...told, pem }];
    }),
  );
}

/** Two names of one key are one signer: where several are asked for, they would be counted as two. */
function refuseOneKeyTwice(book: RuleBook, authorities: Policy['authorities'], file: string): void {
  const keyOf = (name: string): string => {
    const authority = authorities.get(name);
    return authority?.kind === 'key' ? authority.pem.replace(/\s/g, '') : name;
  };
  for (const { name, signatures, attestations } of [book.defaults, ...book.list]) {
    const quorums: readonly (Quorum | undefined)[] = [signatures, ...attestations];
    const twice = quorums.find(
      quorum => quorum && quorum.n > 1 && new Set(quorum.of.map(keyOf)).size < quorum.of.length,
    );
    if (twice)
      throw new MirrorError(
        'POLICY_INVALID',
        `${file}: the rule ${name} asks for ${twice.n} of ${twice.of.join(', ')}, of which two have the same key`,
      );
  }
}

/** The pins of each rule; a file is read once, whoever names it. */
function loadPins({ book }: PolicyDocument, bytesOf: BytesOf): (rule: FiledRule) => Pins {
  const files = new Map<string, Pins>();
  const sets = new Map<string, Pins>();
  const loaded = new Map<FiledRule, Pins>();
  for (const rule of [book.defaults, ...book.list]) {
    for (const name of rule.pinFiles)
      if (!files.has(name)) files.set(name, parsePins(bytesOf(name, `the pins of the rule ${rule.name}`), name).pins);
    const set = rule.pinFiles.join('\n');
    if (!sets.has(set)) sets.set(set, Pins.of(rule.pinFiles.map(name => files.get(name)!)));
    loaded.set(rule, sets.get(set)!);
  }
  return rule => loaded.get(rule)!;
}

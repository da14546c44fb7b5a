/**
 * Reads who may sign. Promises: an authority is a key or named identities under a named root, never "anybody"; files are
 * named here and read by others. Refuses to know how keys, roots and certificates are judged. Spec: POLICY.md,
 * "Authorities".
 */
import type { Fields } from '../yaml.ts';
import { isName, readFile, readText, readTime } from './parse-values.ts';
import type { Authority } from './policy.ts';
import { parseSubjectPattern } from './subject-pattern.ts';

/** The most authorities, trust roots, identities of an authority and extensions of one. */
const AUTHORITIES_MAX = 1_000;
const ROOTS_MAX = 16;
const IDENTITIES_MAX = 64;
const EXTENSIONS_MAX = 32;
/** The most logs or proven times that may be asked for. */
const LOGS_MAX = 8;
/** The longest identity or value of an extension, in characters. */
const IDENTITY_MAX = 2_048;

const SHA256 = /^[a-f0-9]{64}$/;
const OID = /^[0-2](?:\.(?:0|[1-9][0-9]{0,9})){2,15}$/;

/** A trust root as the file names it. */
export interface RootFile {
  readonly file: string;
  /** Of its bytes, hex. */
  readonly sha256: string;
}

type Keyed = Extract<Authority, { kind: 'key' }>;

/** An authority whose key was not read yet. */
export type NamedAuthority = (Omit<Keyed, 'pem'> & { readonly file: string }) | Extract<Authority, { kind: 'keyless' }>;

/** The trust roots. @throws POLICY_INVALID */
export function readTrustRoots(fields: Fields): ReadonlyMap<string, RootFile> {
  return readNamed(fields, 'trustRoots', ROOTS_MAX, root => {
    const sha256 = root.string('sha256');
    if (!SHA256.test(sha256)) root.fail('sha256', 'must be 64 hex digits in lower case');
    return { file: readFile(root, 'file'), sha256 };
  });
}

/** The authorities, whose trust roots are among `roots`. @throws POLICY_INVALID */
export function readAuthorities(
  fields: Fields,
  roots: ReadonlyMap<string, RootFile>,
): ReadonlyMap<string, NamedAuthority> {
  return readNamed(fields, 'authorities', AUTHORITIES_MAX, one => {
    const [key, keyless] = [one.fields('key'), one.fields('keyless')];
    if (key && !keyless) return readKey(one, key, roots);
    if (keyless && !key) return readKeyless(one, keyless, roots);
    return one.fail('', 'must have either `key` or `keyless`');
  });
}

/** A mapping of names to mappings. */
function readNamed<T>(fields: Fields, key: string, most: number, read: (one: Fields) => T): ReadonlyMap<string, T> {
  const named = fields.fields(key);
  const names = named?.keys() ?? [];
  if (names.length > most) fields.fail(key, `must have at most ${most} entries`);
  return new Map(
    names.map(name => {
      if (!isName(name)) fields.fail(key, `${JSON.stringify(name.slice(0, 80))} must be 1 to 64 of a-z 0-9 . _ -`);
      const one = named!.fields(name)!;
      const value = read(one);
      one.end();
      return [name, value];
    }),
  );
}

function readRoot(fields: Fields, roots: ReadonlyMap<string, RootFile>): string {
  const name = fields.string('trustRoot');
  return roots.has(name)
    ? name
    : fields.fail('trustRoot', `there is no trust root ${JSON.stringify(name.slice(0, 80))}`);
}

function readKey(one: Fields, key: Fields, roots: ReadonlyMap<string, RootFile>): NamedAuthority {
  const [notBefore, notAfter] = [readTime(key, 'notBefore'), readTime(key, 'notAfter')];
  const file = readFile(key, 'file');
  if (notBefore !== undefined && notAfter !== undefined && notAfter <= notBefore)
    key.fail('notAfter', 'must be later than notBefore');
  key.end();
  const [tlog, timestamps] = ['tlog', 'timestamps'].map(log => one.integer(log, { min: 0, max: LOGS_MAX }, 0));
  const looks = tlog! + timestamps! > 0;
  if (!looks && one.keys().includes('trustRoot'))
    one.fail('trustRoot', 'is for `tlog` and `timestamps`, which a key does not ask for unless they are above 0');
  return {
    kind: 'key',
    file,
    ctlog: 0,
    tlog: tlog!,
    timestamps: timestamps!,
    ...(looks ? { trustRoot: readRoot(one, roots) } : {}),
    ...(notBefore === undefined ? {} : { notBefore }),
    ...(notAfter === undefined ? {} : { notAfter }),
  };
}

function readKeyless(one: Fields, keyless: Fields, roots: ReadonlyMap<string, RootFile>): NamedAuthority {
  const trustRoot = readRoot(keyless, roots);
  const identities = keyless.list('identities', IDENTITIES_MAX).map(readIdentity);
  if (!identities.length) keyless.fail('identities', 'must name who may sign: there is no way to say "anybody"');
  const extensions = readExtensions(keyless);
  keyless.end();
  return {
    kind: 'keyless',
    trustRoot,
    identities,
    extensions,
    ctlog: one.integer('ctlog', { min: 0, max: LOGS_MAX }, 1),
    tlog: one.integer('tlog', { min: 0, max: LOGS_MAX }, 1),
    timestamps: one.integer('timestamps', { min: 1, max: LOGS_MAX }, 1),
  };
}

function readIdentity(identity: Fields): { issuer: string; subject: string | RegExp } {
  const issuer = readText(identity, 'issuer', IDENTITY_MAX);
  const exact = identity.keys().includes('subject');
  if (exact === identity.keys().includes('subjectPattern'))
    identity.fail('', 'must have either `subject` or `subjectPattern`');
  const subject = exact
    ? readText(identity, 'subject', IDENTITY_MAX)
    : identity.parse('subjectPattern', () => parseSubjectPattern(identity.string('subjectPattern')));
  identity.end();
  return { issuer, subject };
}

function readExtensions(keyless: Fields): ReadonlyMap<string, string> {
  const extensions = keyless.fields('extensions');
  const oids = extensions?.keys() ?? [];
  if (oids.length > EXTENSIONS_MAX) keyless.fail('extensions', `must have at most ${EXTENSIONS_MAX} entries`);
  return new Map(
    oids.map(oid => {
      if (!OID.test(oid)) extensions!.fail(oid.slice(0, 80), 'is no object identifier such as 1.3.6.1.4.1.57264.1.12');
      return [oid, readText(extensions!, oid, IDENTITY_MAX)];
    }),
  );
}

/**
 * Cases for a policy: what it must decide about an image of that name, digest and signatures, at that time, for that node.
 * Promises: they go through the same functions as a pull and a holding; only who signed is taken on trust from the case.
 */
import type { Code } from '../errors.ts';
import { asMirrorError, kindOf } from '../errors.ts';
import { type Digest, type Node, parseDigest, parseReference, type Reference, ROLES, type Role } from '../oci/oci.ts';
import type { Format, Signed } from '../policy/policy.ts';
import { Fields, parseYaml } from '../yaml.ts';
import { timeOf } from './policy-time.ts';

/** The most cases of one file. */
export const CASES_MAX = 10_000;
const DECISIONS = ['allow', 'deny', 'upstream'] as const;
const FORMATS: readonly Format[] = ['bundle', 'legacy'];

/** What is expected, or came out: `upstream` is 404, with which the client goes on to the registry. */
export type Decision = (typeof DECISIONS)[number];

export interface Case {
  /** Where it stands, for messages. */
  readonly where: string;
  /** As written. */
  readonly text: string;
  readonly reference: Reference;
  /** The digest of the image that a node has under that name; undefined: what the mirror makes of the name is asked. */
  readonly digest?: Digest;
  readonly signed: readonly Omit<Signed, 'signer'>[];
  /** So many more were found that hold for no authority. */
  readonly untrusted: number;
  /** Milliseconds since 1970; undefined: the present. */
  readonly at?: number;
  /** Who asks a holder for it, and for how many bytes. */
  readonly node: Pick<Node, 'zone' | 'roles'>;
  readonly size: number;
  readonly expect: {
    readonly decision: Decision;
    readonly rule: string;
    readonly code?: Code;
    readonly share?: boolean;
  };
}

/** Parses the text of a cases file. @throws YAML_INVALID, POLICY_INVALID, each with the place in the file */
export function parseCases(text: string, file: string): readonly Case[] {
  const top = new Fields(parseYaml(text, file), `${file}: `, 'POLICY_INVALID');
  const at = timeIn(top, 'at');
  const list = top.take('cases');
  if (!Array.isArray(list) || !list.length || list.length > CASES_MAX)
    return top.fail('cases', `must be a list of 1 to ${CASES_MAX} cases`);
  top.end();
  return list.map((entry, index) => parseCase(entry, `${file}: cases[${index}]`, at));
}

function parseCase(entry: unknown, where: string, otherwise: number | undefined): Case {
  const fields = new Fields(entry, where, 'POLICY_INVALID');
  const text = fields.string('reference');
  const reference = parsed(fields, 'reference', () => parseReference(text));
  const spelt = fields.string('digest', undefined);
  const digest = spelt === undefined ? reference.digest : parsed(fields, 'digest', () => parseDigest(spelt));
  if (reference.digest !== undefined && digest !== reference.digest)
    fields.fail('digest', 'is not that of the reference');
  if (!reference.tag && !digest) fields.fail('reference', 'needs a tag or a digest');
  const at = timeIn(fields, 'at') ?? otherwise;
  const read: Case = {
    where,
    text,
    reference,
    ...(digest ? { digest } : {}),
    signed: [...readSigned(fields, where), ...readAttested(fields, where)],
    ...(at === undefined ? {} : { at }),
    untrusted: fields.integer('untrusted', { min: 0, max: CASES_MAX }, 0),
    node: readNode(fields),
    size: fields.integer('size', { min: 0, max: Number.MAX_SAFE_INTEGER }, 0),
    expect: readExpected(fields),
  };
  fields.end();
  return read;
}

/** Runs `parse`; whatever it refuses is said to be wrong with `key`. */
function parsed<T>(fields: Fields, key: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    return fields.fail(key, asMirrorError(error, 'POLICY_INVALID', 'not read').message);
  }
}

function timeIn(fields: Fields, key: string): number | undefined {
  const text = fields.string(key, undefined);
  return text === undefined ? undefined : parsed(fields, key, () => timeOf(text));
}

function listIn(fields: Fields, key: string): readonly unknown[] {
  const value = fields.take(key) ?? [];
  return Array.isArray(value) ? value : fields.fail(key, 'must be a list');
}

function oneOf<T extends string>(fields: Fields, key: string, words: readonly T[], value: string): T {
  return words.find(word => word === value) ?? fields.fail(key, `must be one of ${words.join(', ')}`);
}

/** `signedBy`: names of authorities, or mappings that say how and when, too. */
function readSigned(fields: Fields, where: string): Case['signed'] {
  return listIn(fields, 'signedBy').map((entry, index) => {
    if (typeof entry === 'string') return { authority: entry, format: 'bundle' };
    const one = new Fields(entry, `${where}.signedBy[${index}]`, 'POLICY_INVALID');
    const read = readMaking(one);
    one.end();
    return read;
  });
}

function readAttested(fields: Fields, where: string): Case['signed'] {
  return listIn(fields, 'attestedBy').map((entry, index) => {
    const one = new Fields(entry, `${where}.attestedBy[${index}]`, 'POLICY_INVALID');
    const read = {
      ...readMaking(one),
      predicateType: one.string('predicateType'),
      predicate: one.take('predicate') ?? {},
    };
    one.end();
    return read;
  });
}

function readMaking(one: Fields): Omit<Signed, 'signer'> {
  const signedAt = timeIn(one, 'signedAt');
  return {
    authority: one.string('authority'),
    format: oneOf(one, 'format', FORMATS, one.string('format', 'bundle')),
    ...(signedAt === undefined ? {} : { signedAt }),
  };
}

function readNode(fields: Fields): Case['node'] {
  const node = fields.fields('node');
  const zone = node?.string('zone', undefined);
  const roles = node?.strings('roles', ['fetch', 'serve', 'attest']) ?? ['fetch', 'serve', 'attest'];
  for (const role of roles) if (!ROLES.includes(role as Role)) node?.fail('roles', `has no role ${role}`);
  node?.end();
  return { roles: new Set(roles as Role[]), ...(zone === undefined ? {} : { zone }) };
}

function readExpected(fields: Fields): Case['expect'] {
  const expect = fields.fields('expect') ?? fields.fail('expect', 'is missing');
  const code = expect.string('code', undefined);
  // A name that every object has is no code either.
  if (code !== undefined && typeof kindOf(code as Code) !== 'string') expect.fail('code', `${code} is no code`);
  const share = expect.take('share');
  if (share !== undefined && typeof share !== 'boolean') expect.fail('share', 'must be true or false');
  const read = {
    decision: oneOf(expect, 'decision', DECISIONS, expect.string('decision')),
    rule: expect.string('rule'),
    ...(code === undefined ? {} : { code: code as Code }),
    ...(typeof share === 'boolean' ? { share } : {}),
  };
  expect.end();
  return read;
}

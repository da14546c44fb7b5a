/**
 * Cases for a policy: what it must decide about an image of that name, digest and signatures, at that time, for that node.
 * Promises: they go through the same functions as a pull and a holding; only who signed is taken on trust from the case.
 */
import type { Code } from '../errors.ts';
import { kindOf } from '../errors.ts';
import { type Digest, type Node, parseDigest, parseReference, type Reference, ROLES, type Role } from '../oci/oci.ts';
import { readChoice, readTime } from '../policy/parse-values.ts';
import type { Format, Signed } from '../policy/policy.ts';
import { Fields, parseYaml } from '../yaml.ts';

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
  const at = readTime(top, 'at');
  const cases = top.list('cases', CASES_MAX);
  if (!cases.length) return top.fail('cases', 'must be a list of cases');
  top.end();
  return cases.map((fields, index) => parseCase(fields, `${file}: cases[${index}]`, at));
}

function parseCase(fields: Fields, where: string, otherwise: number | undefined): Case {
  const text = fields.string('reference');
  const reference = fields.parse('reference', () => parseReference(text));
  const spelt = fields.string('digest', undefined);
  const digest = spelt === undefined ? reference.digest : fields.parse('digest', () => parseDigest(spelt));
  if (reference.digest !== undefined && digest !== reference.digest)
    fields.fail('digest', 'is not that of the reference');
  if (!reference.tag && !digest) fields.fail('reference', 'needs a tag or a digest');
  const at = readTime(fields, 'at') ?? otherwise;
  const read: Case = {
    where,
    text,
    reference,
    ...(digest ? { digest } : {}),
    signed: [...readSigned(fields), ...readAttested(fields)],
    ...(at === undefined ? {} : { at }),
    untrusted: fields.integer('untrusted', { min: 0, max: CASES_MAX }, 0),
    node: readNode(fields),
    size: fields.integer('size', { min: 0, max: Number.MAX_SAFE_INTEGER }, 0),
    expect: readExpected(fields),
  };
  fields.end();
  return read;
}

function listIn(fields: Fields, key: string): readonly unknown[] {
  const value = fields.take(key) ?? [];
  return Array.isArray(value) ? value : fields.fail(key, 'must be a list');
}

/** `signedBy`: names of authorities, or mappings that say how and when, too. */
function readSigned(fields: Fields): Case['signed'] {
  return listIn(fields, 'signedBy').map((entry, index) => {
    if (typeof entry === 'string') return { authority: entry, format: 'bundle' };
    const one = fields.nested(`signedBy[${index}]`, entry);
    const read = readMaking(one);
    one.end();
    return read;
  });
}

function readAttested(fields: Fields): Case['signed'] {
  return fields.list('attestedBy', CASES_MAX).map(one => {
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
  const signedAt = readTime(one, 'signedAt');
  return {
    authority: one.string('authority'),
    format: readChoice(one, 'format', FORMATS, 'bundle'),
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
  const decision = expect.string('decision');
  const share = expect.take('share');
  if (share !== undefined && typeof share !== 'boolean') expect.fail('share', 'must be true or false');
  const read = {
    decision: DECISIONS.find(one => one === decision) ?? expect.fail('decision', `must be ${DECISIONS.join(', ')}`),
    rule: expect.string('rule'),
    ...(code === undefined ? {} : { code: code as Code }),
    ...(typeof share === 'boolean' ? { share } : {}),
  };
  expect.end();
  return read;
}

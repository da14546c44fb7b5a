/**
 * Reads what must be signed by whom. Promises: an authority that is named exists, stands once and is counted once. Refuses
 * to know signatures. Spec: POLICY.md, "Rules".
 */
import type { Fields } from '../yaml.ts';
import { readSet, readSpan, readText } from './parse-values.ts';
import type { AttestationRule, Condition, Format, Quorum, SignatureRule } from './policy.ts';

/** The most authorities of one requirement, attestations of a rule, conditions of one, and values of a condition. */
const QUORUM_MAX = 64;
const ATTESTATIONS_MAX = 16;
const CONDITIONS_MAX = 64;
const VALUES_MAX = 256;
/** The longest predicate type, pointer or value, in characters. */
const VALUE_MAX = 1_024;
const HOUR_MS = 3_600_000;
/** The range of `maxAge`, in milliseconds. */
const AGE_MS = { min: HOUR_MS, max: 3_650 * 24 * HOUR_MS };

const FORMATS: readonly Format[] = ['bundle', 'legacy'];
const POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/u;

/** Names of authorities that the file has. */
type Known = ReadonlySet<string>;
type Scalar = string | number | boolean;

/** The `signatures` of a rule; undefined where they are missing. @throws POLICY_INVALID */
export function readSignatures(rule: Fields, known: Known): SignatureRule | undefined {
  const fields = rule.fields('signatures');
  if (!fields) return undefined;
  const formats = fields.keys().includes('formats') ? readSet(fields, 'formats', FORMATS.length) : FORMATS;
  const strange = formats.find(format => !FORMATS.includes(format as Format));
  if (strange !== undefined) fields.fail('formats', 'must be of `bundle` and `legacy`');
  const signatures = { ...readQuorum(fields, known), formats: new Set(formats as Format[]) };
  fields.end();
  return signatures;
}

/** The `attestations` of a rule; undefined where they are missing. @throws POLICY_INVALID */
export function readAttestations(rule: Fields, known: Known): readonly AttestationRule[] | undefined {
  if (!rule.keys().includes('attestations')) return undefined;
  const list = rule.list('attestations', ATTESTATIONS_MAX);
  if (!list.length) rule.fail('attestations', 'must not be empty');
  return list.map(fields => {
    const predicateType = readText(fields, 'predicateType', VALUE_MAX);
    const attestation = { predicateType, ...readQuorum(fields, known), where: readWhere(fields) };
    fields.end();
    return attestation;
  });
}

function readQuorum(fields: Fields, known: Known): Quorum {
  const said = fields.keys().filter(key => key === 'anyOf' || key === 'allOf' || key === 'nOf');
  const [how] = said;
  if (how === undefined || said.length > 1) return fields.fail('', 'must have one of `anyOf`, `allOf` and `nOf`');
  const maxAgeMs = readSpan(fields, 'maxAge', AGE_MS);
  const age = maxAgeMs === undefined ? {} : { maxAgeMs };
  if (how !== 'nOf') {
    const of = readNames(fields, how, known);
    return { n: how === 'anyOf' ? 1 : of.length, of, ...age };
  }
  const nested = fields.fields('nOf')!;
  const of = readNames(nested, 'of', known);
  const n = nested.integer('n', { min: 1, max: of.length });
  nested.end();
  return { n, of, ...age };
}

function readNames(fields: Fields, key: string, known: Known): readonly string[] {
  const names = readSet(fields, key, QUORUM_MAX);
  const strange = names.find(name => !known.has(name));
  return strange === undefined
    ? names
    : fields.fail(key, `there is no authority ${JSON.stringify(strange.slice(0, 80))}`);
}

function readWhere(fields: Fields): readonly Condition[] {
  const where = fields.fields('where');
  const pointers = where?.keys() ?? [];
  if (pointers.length > CONDITIONS_MAX) fields.fail('where', `must have at most ${CONDITIONS_MAX} entries`);
  return pointers.flatMap(pointer => {
    if (pointer.length > VALUE_MAX || !POINTER.test(pointer))
      where!.fail(JSON.stringify(pointer.slice(0, 80)), 'is no JSON pointer such as /builder/id');
    return readConditions(where!, pointer);
  });
}

function readConditions(where: Fields, pointer: string): readonly Condition[] {
  const value = where.take(pointer);
  if (isScalar(value)) return [{ pointer, in: [value] }];
  const fields = where.nested(pointer, value);
  const conditions: Condition[] = fields.keys().map(key => {
    const wanted = fields.take(key);
    if (key === 'in' && isScalars(wanted)) return { pointer, in: wanted };
    if (key === 'exists' && typeof wanted === 'boolean') return { pointer, exists: wanted };
    if (key === 'min' && isNumber(wanted)) return { pointer, min: wanted };
    if (key === 'max' && isNumber(wanted)) return { pointer, max: wanted };
    return fields.fail(key, `must be \`in\` with 1 to ${VALUES_MAX} values, \`exists\`, \`min\` or \`max\``);
  });
  return conditions.length ? conditions : where.fail(pointer, 'must say something');
}

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const isScalar = (value: unknown): value is Scalar =>
  isNumber(value) || typeof value === 'boolean' || (typeof value === 'string' && value.length <= VALUE_MAX);
const isScalars = (value: unknown): value is readonly Scalar[] =>
  Array.isArray(value) && value.length > 0 && value.length <= VALUES_MAX && value.every(isScalar);

/**
 * What signed bytes say of a digest. Promises: what is answered names exactly that digest in the place that its format has
 * for it; nothing is believed yet. The library checks none of this. Specs: in-toto attestation v0.1 and v1 (Statement),
 * DSSE v1.0, cosign SIGNATURE_SPEC.md (simple signing).
 */
import { algorithmOf, type Digest, digestOf, hexOf } from '../oci/oci.ts';
import { malformed, quoted, refusing, untrusted } from './sigstore-refusal.ts';

/** The bytes of one candidate, all in all. */
export const CANDIDATE_MAX_BYTES = 1 << 20;
const SUBJECTS_MAX = 1024;
const TYPE_CHARACTERS = 512;
const IN_TOTO = 'application/vnd.in-toto+json';
const STATEMENTS: ReadonlySet<unknown> = new Set([
  'https://in-toto.io/Statement/v0.1',
  'https://in-toto.io/Statement/v1',
]);
/** The predicate type by which cosign writes a plain signature as a statement. */
const PLAIN_SIGNATURE = 'https://sigstore.dev/cosign/sign/v1';
const SIMPLE_SIGNING = 'cosign container image signature';

/** What is said of the digest: nothing more for a plain signature. */
export interface Saying {
  readonly predicateType?: string;
  readonly predicate?: unknown;
}

/** An object of JSON; only what it holds itself is ever read from it. */
export type Fields = Readonly<Record<string, unknown>>;

/** The object that `bytes` spell; of keys that stand twice the last counts. @throws BUNDLE_INVALID */
export function objectIn(bytes: Uint8Array, what: string): Fields {
  const value = refusing(malformed, what, () =>
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)),
  ) as unknown;
  if (!isObject(value)) throw malformed(`${what} is no object`);
  return value;
}

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What `holder` itself has under `key`. */
export const own = (holder: unknown, key: string): unknown =>
  isObject(holder) && Object.hasOwn(holder, key) ? holder[key] : undefined;

/** What a DSSE envelope's payload says of `subject`. @throws BUNDLE_INVALID, SIGNATURE_UNTRUSTED where it is about another digest */
export function statementAbout(payloadType: string, payload: Uint8Array, subject: Digest): Saying {
  if (payloadType !== IN_TOTO) throw malformed(`the envelope holds no in-toto statement but ${quoted(payloadType)}`);
  const statement = objectIn(payload, 'the statement');
  if (!STATEMENTS.has(own(statement, '_type'))) throw malformed('the statement is of an unknown version');
  const subjects = own(statement, 'subject');
  if (!Array.isArray(subjects) || subjects.length > SUBJECTS_MAX)
    throw malformed(`the statement has no list of at most ${SUBJECTS_MAX} subjects`);
  const predicateType = own(statement, 'predicateType');
  if (typeof predicateType !== 'string' || predicateType === '' || predicateType.length > TYPE_CHARACTERS)
    throw malformed('the statement has no predicate type');
  const named = subjects.some(one => own(own(one, 'digest'), algorithmOf(subject)) === hexOf(subject));
  if (!named) throw untrusted('the statement is about another digest');
  if (predicateType === PLAIN_SIGNATURE) return {};
  return { predicateType, predicate: own(statement, 'predicate') };
}

/** What a simple signing payload of cosign says of `subject`. @throws BUNDLE_INVALID, SIGNATURE_UNTRUSTED as above */
export function claimsAbout(payload: Uint8Array, subject: Digest): Saying {
  const critical = own(objectIn(payload, 'the payload'), 'critical');
  if (own(critical, 'type') !== SIMPLE_SIGNING) throw malformed("the payload is no image signature of cosign's");
  if (own(own(critical, 'image'), 'docker-manifest-digest') !== subject)
    throw untrusted('the payload is about another digest');
  return {};
}

/** What a signature over the content itself says: nothing more, if it is that content. @throws SIGNATURE_UNTRUSTED */
export function contentIs(artifact: Uint8Array, subject: Digest): Saying {
  if (digestOf(artifact, algorithmOf(subject)) !== subject) throw untrusted('what is signed is other content');
  return {};
}

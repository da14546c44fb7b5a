/**
 * What the issuer signs: JWTs of one fixed form. Promises: EdDSA only, one exact header, one spelling of every document
 * (canonical base64url, canonical JSON: no duplicate keys, no white space), a bounded size, and the signature checked
 * before anything inside is parsed. Refuses to know what the claims mean. Spec: RFC 7515, RFC 8037, RFC 8725.
 */
import type { KeyObject } from 'node:crypto';
import { CompactSign, compactVerify } from 'jose';
import { type Code, MirrorError } from '../errors.ts';

/** One kind of signed document. */
export interface Form {
  /** The media type in the header, without `application/`. */
  readonly typ: string;
  /** The longest that is read, in bytes of the JWT. */
  readonly maxBytes: number;
  /** The code of every refusal. */
  readonly code: Code;
  /** For messages. */
  readonly what: string;
}

const SHAPE = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{86})$/;
const header = (form: Form): { alg: string; typ: string } => ({ alg: 'EdDSA', typ: form.typ });
const encode = (text: string): string => Buffer.from(text).toString('base64url');
const isCanonical = (part: string): boolean => Buffer.from(part, 'base64url').toString('base64url') === part;

/** The issuer and audience claim of everything that a cluster signs. */
export const urnOf = (clusterId: string): string => `urn:pinnace:cluster:${clusterId}`;

/** Signs `claims` as a document of `form`; the answer may be longer than the form allows, which its issuer checks. */
export async function signDocument(form: Form, claims: object, key: KeyObject): Promise<string> {
  const jwt = await new CompactSign(Buffer.from(JSON.stringify(claims))).setProtectedHeader(header(form)).sign(key);
  if (jwt.length > form.maxBytes)
    throw new MirrorError(
      form.code,
      `the ${form.what} would have ${jwt.length} bytes, at most ${form.maxBytes} are read`,
    );
  return jwt;
}

/** The claims of `jwt`, proved to be signed by `key` and nothing more. @throws the form's code */
export async function openDocument(form: Form, jwt: string, key: KeyObject): Promise<unknown> {
  const refuse = (why: string, cause?: unknown): never => {
    throw new MirrorError(form.code, `${form.what}: ${why}`, { cause });
  };
  if (jwt.length > form.maxBytes) return refuse(`longer than ${form.maxBytes} bytes`);
  const [, head = '', payload = '', signature = ''] = SHAPE.exec(jwt) ?? [];
  if (!head) return refuse('is not a JWT');
  if (head !== encode(JSON.stringify(header(form)))) return refuse(`its header is not exactly that of ${form.typ}`);
  if (!isCanonical(payload) || !isCanonical(signature)) return refuse('its base64url is not canonical');
  try {
    await compactVerify(jwt, key, { algorithms: ['EdDSA'] });
  } catch (error) {
    return refuse("is not signed by this cluster's issuer", error);
  }
  try {
    return canonical(payload);
  } catch (error) {
    return refuse('its claims are not canonical JSON', error);
  }
}

/** Who a document that was not proved says that it is from; only good for naming a refusal. */
export function claimedIssuer(jwt: string): string | undefined {
  try {
    const claims = canonical(SHAPE.exec(jwt)?.[2] ?? '') as { iss?: unknown } | null;
    return typeof claims?.iss === 'string' ? claims.iss : undefined;
  } catch {
    return undefined;
  }
}

function canonical(payload: string): unknown {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(payload, 'base64url'));
  const claims: unknown = JSON.parse(text);
  if (JSON.stringify(claims) !== text) throw new Error('another spelling of the same JSON');
  return claims;
}

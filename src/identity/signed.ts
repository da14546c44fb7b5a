/**
 * What the issuer signs: JWTs of one fixed form. Promises: EdDSA only, one exact header, one spelling of every document
 * (canonical base64url, canonical JSON: no duplicate keys, no white space), a bounded size, and the signature checked
 * before a claim is parsed. Refuses to know what the claims mean. Spec: IDENTITY.md; RFC 7515, RFC 8037, RFC 8725.
 */
import type { KeyObject } from 'node:crypto';
import { CompactSign, compactVerify } from 'jose';
import { type Code, MirrorError } from '../errors.ts';
import { publicKeyFrom } from './key.ts';

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
  /** The most handovers that may stand in the header; none unless given. */
  readonly handovers?: number;
}

/** A document of which nothing was proved yet. */
export interface Sealed {
  readonly jwt: string;
  /** The handovers in its header, oldest first; each is a JWT that nobody proved. */
  readonly handovers: readonly string[];
}

const SHAPE = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{86})$/;
const headerOf = (form: Form, handovers: readonly string[] = []): { alg: string; typ: string } => ({
  alg: 'EdDSA',
  typ: form.typ,
  ...(handovers.length ? { handovers } : {}),
});
const encode = (text: string): string => Buffer.from(text).toString('base64url');
const isCanonical = (part: string): boolean => Buffer.from(part, 'base64url').toString('base64url') === part;

/** The issuer and audience claim of everything that a cluster signs. */
export const urnOf = (clusterId: string): string => `urn:pinnace:cluster:${clusterId}`;

/** Signs `claims` as a document of `form`. @throws the form's code where it would be longer than is read */
export async function signDocument(
  form: Form,
  claims: object,
  key: KeyObject,
  handovers: readonly string[] = [],
): Promise<string> {
  const header = headerOf(form, handovers);
  const jwt = await new CompactSign(Buffer.from(JSON.stringify(claims))).setProtectedHeader(header).sign(key);
  if (jwt.length > form.maxBytes || handovers.length > (form.handovers ?? 0))
    throw new MirrorError(
      form.code,
      `the ${form.what} would have ${jwt.length} bytes and ${handovers.length} handovers, more than is read`,
    );
  return jwt;
}

const refusal = (form: Form, why: string, cause?: unknown): MirrorError =>
  new MirrorError(form.code, `${form.what}: ${why}`, { cause });

/** Looks at the form of `jwt` and at its header; nothing of it is proved. @throws the form's code */
export function unseal(form: Form, jwt: string): Sealed {
  if (jwt.length > form.maxBytes) throw refusal(form, `longer than ${form.maxBytes} bytes`);
  const [, head = '', payload = '', signature = ''] = SHAPE.exec(jwt) ?? [];
  if (!head) throw refusal(form, 'is not a JWT');
  const handovers = head === encode(JSON.stringify(headerOf(form))) ? [] : handoversOf(form, head);
  if (!handovers) throw refusal(form, `its header is not exactly that of ${form.typ}`);
  if (!isCanonical(payload) || !isCanonical(signature)) throw refusal(form, 'its base64url is not canonical');
  return { jwt, handovers };
}

/** The handovers in a header that has some and is spelt as it was written. */
function handoversOf(form: Form, head: string): readonly string[] | undefined {
  if (!form.handovers) return undefined;
  try {
    const { handovers } = JSON.parse(Buffer.from(head, 'base64url').toString()) as { handovers?: unknown };
    if (!Array.isArray(handovers) || !handovers.length || handovers.length > form.handovers) return undefined;
    if (!handovers.every(one => typeof one === 'string')) return undefined;
    return head === encode(JSON.stringify(headerOf(form, handovers))) ? handovers : undefined;
  } catch {
    return undefined;
  }
}

/** True where `key` signed the document. */
export async function isSignedBy({ jwt }: Sealed, key: KeyObject): Promise<boolean> {
  try {
    await compactVerify(jwt, key, { algorithms: ['EdDSA'] });
    return true;
  } catch {
    return false;
  }
}

/** The claims of a document whose signature was proved. @throws the form's code */
export function claimsOf(form: Form, { jwt }: Sealed): unknown {
  try {
    return canonical(SHAPE.exec(jwt)?.[2] ?? '');
  } catch (error) {
    throw refusal(form, 'its claims are not canonical JSON', error);
  }
}

/** The claims of `jwt`, proved to be signed by one of `keys`, which is told too. @throws the form's code */
export async function openDocument(
  form: Form,
  jwt: string,
  keys: readonly Uint8Array[],
): Promise<{ readonly claims: unknown; readonly key: Uint8Array }> {
  const sealed = unseal(form, jwt);
  for (const key of keys)
    if (await isSignedBy(sealed, publicKeyFrom(key))) return { claims: claimsOf(form, sealed), key };
  throw refusal(form, "is not signed by this cluster's issuer");
}

/** Who a document that was not proved says that it is from; only good for naming a refusal, or for asking another proof. */
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

/**
 * The one signed envelope. Promises: bytes that come out as a statement are exactly those that its writer would make of
 * it, so that a statement can be kept in any form and still be passed on bit by bit; every size is bounded before it is
 * parsed. Refuses to know who is trusted and what is new. Spec: PROTOCOL.md, "Statements".
 */
import { MirrorError } from '../errors.ts';
import { type PeerId, parsePeerId } from '../oci/oci.ts';
import { type Bodies, encodeBody, type Kind, parseBody } from './bodies.ts';
import { count, Shape } from './shape.ts';

/** Bytes of an Ed25519 signature, which stands before the JSON that it covers. */
export const SIGNATURE_BYTES = 64;
const DOMAIN = 'pinnace/statement';
const VERSION = 1;
const PREFIX = /^\{"domain":"pinnace\/statement","version":1,"kind":"([a-z-]{1,16})",/;
const PREFIX_BYTES = 80;
const KB = 1024;
const DAY_MS = 86_400_000;

/** Bytes of a kind's JSON, and how far ahead its `notAfter` may be. */
export const KINDS: { readonly [K in Kind]: { readonly maxBytes: number; readonly validityMs: number } } = {
  node: { maxBytes: 4 * KB, validityMs: 30 * DAY_MS },
  holdings: { maxBytes: 4096 * KB, validityMs: 300_000 },
  'holdings-delta': { maxBytes: 60 * KB, validityMs: 300_000 },
  'holdings-head': { maxBytes: KB, validityMs: 300_000 },
  tags: { maxBytes: 2048 * KB, validityMs: 366 * DAY_MS },
  limited: { maxBytes: 4096 * KB, validityMs: 300_000 },
};
/** The largest signed statement of any kind. */
export const STATEMENT_MAX_BYTES = SIGNATURE_BYTES + 4096 * KB;

/** What stands around a body. */
export interface Header {
  readonly signer: PeerId;
  readonly start: number;
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly notAfter: number;
}

export type StatementOf<K extends Kind> = Header & { readonly kind: K; readonly body: Bodies[K] };
/** A statement as understood; its signature is not judged by having this type. */
export type Statement = { [K in Kind]: StatementOf<K> }[Kind];

/** A statement beside its signature. */
export interface Signed {
  readonly statement: Statement;
  readonly signature: Uint8Array;
}

/** The JSON that a signature covers. */
export function encodeStatement({ kind, signer, start, seq, notAfter, ...rest }: Statement): Uint8Array {
  const body = encodeBody({ kind, body: rest.body } as Statement);
  return Buffer.from(JSON.stringify({ domain: DOMAIN, version: VERSION, kind, signer, start, seq, notAfter, body }));
}

/** Signature and JSON in one piece, as they travel. */
export const encodeSigned = ({ statement, signature }: Signed): Uint8Array =>
  Buffer.concat([signature, encodeStatement(statement)]);

/** Signs a statement; its size was kept in bounds by the caller's lists, which is checked. @throws LIMIT_EXCEEDED */
export function signStatement(statement: Statement, sign: (bytes: Uint8Array) => Uint8Array): Signed {
  const bytes = encodeStatement(statement);
  if (bytes.length > KINDS[statement.kind].maxBytes)
    throw new MirrorError(
      'LIMIT_EXCEEDED',
      `a ${statement.kind} statement of ${bytes.length} bytes is too large to send`,
    );
  return { statement, signature: sign(bytes) };
}

/** The kind that unparsed bytes claim; undefined where it is none of ours. */
export function kindOfSigned(signed: Uint8Array): Kind | undefined {
  const start = Buffer.from(signed.subarray(SIGNATURE_BYTES, SIGNATURE_BYTES + PREFIX_BYTES)).toString('latin1');
  const kind = PREFIX.exec(start)?.[1];
  return kind !== undefined && Object.hasOwn(KINDS, kind) ? (kind as Kind) : undefined;
}

/** Reads what a peer sent. The signature is not verified here. @throws STATEMENT_INVALID */
export function parseSigned(signed: Uint8Array): Signed & { readonly covered: Uint8Array } {
  const kind = kindOfSigned(signed);
  const covered = signed.subarray(SIGNATURE_BYTES);
  if (!kind) throw new MirrorError('STATEMENT_INVALID', 'a statement of a kind or version that is not known here');
  if (covered.length > KINDS[kind].maxBytes)
    throw new MirrorError(
      'STATEMENT_INVALID',
      `a ${kind} statement of ${covered.length} bytes, at most ${KINDS[kind].maxBytes}`,
    );
  const statement = parseStatement(kind, covered);
  if (Buffer.compare(encodeStatement(statement), covered) !== 0)
    throw new MirrorError('STATEMENT_INVALID', `a ${kind} statement is not written in the one way`);
  return { statement, signature: Uint8Array.prototype.slice.call(signed, 0, SIGNATURE_BYTES), covered };
}

function parseStatement(kind: Kind, covered: Uint8Array): Statement {
  let signer: PeerId;
  try {
    const shape = new Shape(JSON.parse(Buffer.from(covered).toString('utf8')), kind);
    signer = parsePeerId(shape.string('signer'));
    const header = {
      signer,
      start: shape.count('start'),
      seq: shape.count('seq'),
      notAfter: count(shape.take('notAfter'), 'notAfter'),
    };
    return { ...header, ...parseBody(kind, shape.take('body')) } as Statement;
  } catch (error) {
    if (error instanceof MirrorError && error.code === 'STATEMENT_INVALID') throw error;
    throw new MirrorError('STATEMENT_INVALID', `a ${kind} statement: ${(error as Error).message}`, { cause: error });
  }
}

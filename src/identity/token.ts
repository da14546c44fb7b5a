/**
 * Join tokens. Promises: one spelling for each token; what comes out is bounded and well formed, nothing of it is proved
 * yet (self.ts does that). A token is a private key: its text stands in no message. Form: `pjt1.` or `pjt2.` and base64url
 * of canonical JSON, whose `kind` leaves room for other kinds. Spec: IDENTITY.md, "Tokens".
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { parseNodeName } from '../oci/oci.ts';
import { Fields } from '../yaml.ts';
import { CREDENTIAL_MAX_BYTES } from './credential.ts';
import type { Cluster } from './identity.ts';
import { isClusterId } from './issuer.ts';
import { SECRET_BYTES } from './key.ts';
import { PUBLIC_KEY_BYTES } from './peer-id.ts';
import { ROSTER_MAX_BYTES } from './roster.ts';

/** By format: the second pins the recovery key. */
const PREFIXES = ['pjt1.', 'pjt2.'] as const;
/** The newest format. */
export const TOKEN_FORMAT = PREFIXES.length;
/** The longest token, in characters: a full roster, a full credential and the rest, in base64url. */
export const TOKEN_MAX_CHARS =
  PREFIXES[0].length + Math.ceil(((ROSTER_MAX_BYTES + CREDENTIAL_MAX_BYTES + 1024) * 4) / 3);
const BASE64URL = /^[A-Za-z0-9_-]+$/;

/** A token for one named node: it starts with nothing online. */
export interface NodeToken {
  readonly kind: 'node';
  readonly cluster: Cluster;
  /** 32 bytes. */
  readonly secret: Uint8Array;
  readonly name: string;
  /** A JWT, not proved. */
  readonly credential: string;
  /** No roster below this number is believed. */
  readonly lowestSeq: number;
  /** A JWT, not proved. */
  readonly roster: string;
}

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');

/** The text of a token, of format 2 where its cluster has a recovery key. parse ∘ format = identity. */
export function formatToken(token: NodeToken): string {
  const { kind, cluster, secret, name, credential, lowestSeq, roster } = token;
  const recovery = cluster.recovery === undefined ? {} : { recovery: base64url(cluster.recovery) };
  const json = {
    kind,
    cluster: cluster.id,
    issuer: base64url(cluster.issuer),
    ...recovery,
    secret: base64url(secret),
    node: name,
    credential,
    lowestSeq,
    roster,
  };
  return PREFIXES[cluster.recovery === undefined ? 0 : 1] + base64url(Buffer.from(JSON.stringify(json)));
}

/** Parses a token as it stands in its file; one final line end is allowed. @throws TOKEN_INVALID */
export function parseToken(text: string): NodeToken {
  const line = text.endsWith('\n') ? text.slice(0, -1) : text;
  if (line.length > TOKEN_MAX_CHARS) return refuse(`is longer than ${TOKEN_MAX_CHARS} characters`);
  const prefix = PREFIXES.find(one => line.startsWith(one));
  if (prefix === undefined) return refuse(`does not begin with ${PREFIXES.join(' or ')}`);
  const body = line.slice(prefix.length);
  if (!BASE64URL.test(body)) return refuse('has characters that no token has, or is cut');
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(body, 'base64url')));
  } catch {
    return refuse('is damaged or cut');
  }
  const token = readToken(json, prefix === PREFIXES[1]);
  if (formatToken(token) !== line) return refuse('is not spelt as it was made');
  return token;
}

function refuse(why: string): never {
  throw new MirrorError('TOKEN_INVALID', `the join token ${why}: make a new one with \`pinnace token create\``);
}

function readToken(json: unknown, recoverable: boolean): NodeToken {
  const fields = new Fields(json, 'join token: ', 'TOKEN_INVALID');
  const kind = fields.string('kind');
  if (kind !== 'node') return refuse('is of a kind that this version does not know');
  const id = fields.string('cluster');
  if (!isClusterId(id)) fields.fail('cluster', 'must be 32 hex digits');
  const issuer = readBytes(fields, 'issuer', PUBLIC_KEY_BYTES);
  const cluster = { id, issuer, ...(recoverable ? { recovery: readBytes(fields, 'recovery', PUBLIC_KEY_BYTES) } : {}) };
  const secret = readBytes(fields, 'secret', SECRET_BYTES);
  const name = readName(fields.string('node'));
  const credential = fields.string('credential');
  if (credential.length > CREDENTIAL_MAX_BYTES) fields.fail('credential', 'is too long');
  const lowestSeq = fields.integer('lowestSeq', { min: 1, max: Number.MAX_SAFE_INTEGER });
  const roster = fields.string('roster');
  if (roster.length > ROSTER_MAX_BYTES) fields.fail('roster', 'is too long');
  fields.end();
  return { kind, cluster, secret, name, credential, lowestSeq, roster };
}

function readName(text: string): string {
  try {
    return parseNodeName(text);
  } catch (error) {
    throw asMirrorError(
      new Error('its node name is no DNS label', { cause: error }),
      'TOKEN_INVALID',
      'the join token',
    );
  }
}

function readBytes(fields: Fields, key: string, length: number): Uint8Array {
  const bytes = Buffer.from(fields.string(key), 'base64url');
  if (bytes.length !== length) fields.fail(key, `must be ${length} bytes in base64url`);
  return new Uint8Array(bytes);
}

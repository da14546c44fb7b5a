/**
 * Credentials: the issuer's word on one node. Promises: a fixed order of judgement (form, signature, claims, cluster,
 * holder), each refusal with its own code. Refuses to know time and revocation, which `members.ts` judges. No secret:
 * a credential is of use only to whoever proves to have the key in it. Spec: IDENTITY.md; RFC 7519, RFC 7800 (cnf), RFC 8037.
 */
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import { type Node, type PeerId, parseNodeName, parsePeerId, ROLES, type Role } from '../oci/oci.ts';
import { Fields } from '../yaml.ts';
import { SECONDS_MAX } from './handover.ts';
import type { Cluster } from './identity.ts';
import type { Issuer } from './issuer.ts';
import { publicKeyOf } from './peer-id.ts';
import { issuersOf, type Roster } from './roster.ts';
import { claimedIssuer, type Form, openDocument, signDocument, urnOf } from './signed.ts';

/** The longest credential, in bytes. */
export const CREDENTIAL_MAX_BYTES = 4096;
/** How long a credential holds, in milliseconds: a year. */
export const CREDENTIAL_LIFETIME_MS = 365 * 86_400_000;

const FORM: Form = {
  typ: 'pinnace-credential+jwt',
  maxBytes: CREDENTIAL_MAX_BYTES,
  code: 'CREDENTIAL_INVALID',
  what: 'credential',
};

/** What a credential is issued over. */
export interface Subject {
  readonly peer: PeerId;
  readonly name: string;
  readonly zone?: string;
  readonly roles: readonly Role[];
  /** Milliseconds since 1970; kept in whole seconds. */
  readonly issuedAt: number;
  /** Milliseconds since 1970; a year after `issuedAt` unless given. */
  readonly expiresAt?: number;
}

const jwkOf = (peer: PeerId): Record<string, string> => ({
  kty: 'OKP',
  crv: 'Ed25519',
  x: Buffer.from(publicKeyOf(peer)).toString('base64url'),
});

/** Issues a credential. @throws CREDENTIAL_INVALID where it would be too long */
export async function issueCredential(issuer: Issuer, subject: Subject): Promise<string> {
  const urn = urnOf(issuer.cluster.id);
  const claims = {
    iss: urn,
    aud: urn,
    sub: subject.peer,
    cnf: { jwk: jwkOf(subject.peer) },
    node: parseNodeName(subject.name),
    ...(subject.zone === undefined ? {} : { zone: parseNodeName(subject.zone) }),
    roles: ROLES.filter(role => subject.roles.includes(role)),
    iat: Math.floor(subject.issuedAt / 1000),
    exp: Math.floor((subject.expiresAt ?? subject.issuedAt + CREDENTIAL_LIFETIME_MS) / 1000),
  };
  return signDocument(FORM, claims, issuer.key);
}

/** A credential that was proved. */
export interface Proved {
  readonly node: Node;
  readonly jwt: string;
  /** The public key that signed it, base64url. */
  readonly issuer: string;
}

/**
 * The node that a credential is about, proved against the issuer's key, whenever it holds; `peer` is who showed it, if
 * anybody did. @throws CREDENTIAL_INVALID, CREDENTIAL_FOREIGN, CREDENTIAL_STOLEN
 */
export async function readCredential(jwt: string, cluster: Cluster, peer?: PeerId): Promise<Node> {
  return (await proveCredential(jwt, cluster.id, { signer: cluster.issuer, former: [] }, peer)).node;
}

/**
 * A credential proved against the issuers that count under a roster, whenever it holds. @throws as `readCredential`, and
 * CREDENTIAL_REVOKED where an issuer signed it whose time is over
 */
export async function proveCredential(
  jwt: string,
  clusterId: string,
  roster: Pick<Roster, 'signer' | 'next' | 'former'>,
  peer?: PeerId,
): Promise<Proved> {
  const urn = urnOf(clusterId);
  const counting = issuersOf(roster);
  const { claims, key } = await open(jwt, urn, [...counting, ...roster.former]);
  const node = readClaims(claims, urn);
  if (peer !== undefined && node.peer !== peer)
    throw new MirrorError('CREDENTIAL_STOLEN', `${peer} shows the credential of ${node.name} (${node.peer})`);
  if (!counting.includes(key))
    throw new MirrorError(
      'CREDENTIAL_REVOKED',
      `the credential of ${node.name} is by an issuer that was replaced: \`pinnace credential renew\` makes a new one`,
    );
  return { node, jwt, issuer: Buffer.from(key).toString('base64url') };
}

async function open(
  jwt: string,
  urn: string,
  keys: readonly Uint8Array[],
): Promise<{ readonly claims: unknown; readonly key: Uint8Array }> {
  try {
    return await openDocument(FORM, jwt, keys);
  } catch (error) {
    const from = claimedIssuer(jwt);
    if (!hasCode(error, 'CREDENTIAL_INVALID') || from === undefined || from === urn) throw error;
    throw new MirrorError('CREDENTIAL_FOREIGN', `credential: of another cluster, ${JSON.stringify(from.slice(0, 80))}`);
  }
}

function readClaims(claims: unknown, urn: string): Node {
  const fields = new Fields(claims, 'credential: ', 'CREDENTIAL_INVALID');
  if (fields.string('iss') !== urn || fields.string('aud') !== urn)
    throw new MirrorError('CREDENTIAL_FOREIGN', 'credential: of another cluster, though signed by this issuer');
  const holder = readHolder(fields);
  const roles = fields.strings('roles') as Role[];
  if (!roles.length || ROLES.filter(role => roles.includes(role)).join() !== roles.join())
    fields.fail('roles', `must be some of ${ROLES.join(', ')}, in this order`);
  const iat = fields.integer('iat', { min: 0, max: SECONDS_MAX });
  const exp = fields.integer('exp', { min: iat + 1, max: SECONDS_MAX });
  fields.end();
  return { ...holder, roles: new Set(roles), issuedAt: iat * 1000, expiresAt: exp * 1000 };
}

function readHolder(fields: Fields): Pick<Node, 'peer' | 'name' | 'zone'> {
  try {
    const peer = parsePeerId(fields.string('sub'));
    if (JSON.stringify(fields.fields('cnf')?.take('jwk')) !== JSON.stringify(jwkOf(peer)))
      fields.fail('cnf', 'is not the key of sub');
    const zone = fields.string('zone', undefined);
    const name = parseNodeName(fields.string('node'));
    return { peer, name, ...(zone === undefined ? {} : { zone: parseNodeName(zone) }) };
  } catch (error) {
    throw new MirrorError('CREDENTIAL_INVALID', asMirrorError(error, 'CREDENTIAL_INVALID', 'credential').message);
  }
}

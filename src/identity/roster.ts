/**
 * The roster: the issuer's signed list of whom it takes back. Promises: every roster has a number, higher is newer; fields
 * that this version does not know are refused, as they might forbid something. Refuses to know which roster is in force
 * (members.ts). Spec: RFC 7519.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { type Node, parseNodeName, parsePeerId } from '../oci/oci.ts';
import { Fields } from '../yaml.ts';
import { SECONDS_MAX } from './credential.ts';
import type { Cluster } from './identity.ts';
import type { Issuer } from './issuer.ts';
import { publicKeyFrom } from './key.ts';
import { type Form, openDocument, signDocument, urnOf } from './signed.ts';

/** The longest roster, in bytes. */
export const ROSTER_MAX_BYTES = 256 << 10;
/** How long a roster holds, in milliseconds: 90 days. */
export const ROSTER_LIFETIME_MS = 90 * 86_400_000;

const FORM: Form = {
  typ: 'pinnace-roster+jwt',
  maxBytes: ROSTER_MAX_BYTES,
  code: 'ROSTER_INVALID',
  what: 'roster',
};

/** A roster proved against the issuer's key. */
export interface Roster {
  readonly seq: number;
  readonly jwt: string;
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** By node name or peer id: the latest moment of issue that is taken back. */
  readonly revoked: ReadonlyMap<string, number>;
}

/** What a roster is signed over. */
export type RosterDraft = Pick<Roster, 'seq' | 'issuedAt' | 'revoked'> & { readonly expiresAt?: number };

const isPeer = (of: string): boolean => of.startsWith('12D3KooW');

/** Signs a roster. @throws ROSTER_INVALID where it would be too long */
export async function issueRoster(issuer: Issuer, draft: RosterDraft): Promise<string> {
  const urn = urnOf(issuer.cluster.id);
  const revoked = [...draft.revoked].map(([of, before]) => ({
    ...(isPeer(of) ? { peer: of } : { node: of }),
    before: Math.floor(before / 1000),
  }));
  const claims = {
    iss: urn,
    aud: urn,
    seq: draft.seq,
    iat: Math.floor(draft.issuedAt / 1000),
    exp: Math.floor((draft.expiresAt ?? draft.issuedAt + ROSTER_LIFETIME_MS) / 1000),
    revoked,
  };
  return signDocument(FORM, claims, issuer.key);
}

/** Proves and reads a roster, whatever its age. @throws ROSTER_INVALID */
export async function readRoster(jwt: string, cluster: Cluster): Promise<Roster> {
  const urn = urnOf(cluster.id);
  const fields = new Fields(await openDocument(FORM, jwt, publicKeyFrom(cluster.issuer)), 'roster: ', 'ROSTER_INVALID');
  if (fields.string('iss') !== urn || fields.string('aud') !== urn) fields.fail('iss', 'is another cluster');
  const seq = fields.integer('seq', { min: 1, max: Number.MAX_SAFE_INTEGER });
  const iat = fields.integer('iat', { min: 0, max: SECONDS_MAX });
  const exp = fields.integer('exp', { min: iat + 1, max: SECONDS_MAX });
  const list = fields.take('revoked');
  if (!Array.isArray(list)) return fields.fail('revoked', 'must be a list');
  const revoked = new Map(list.map(readRevocation));
  if (revoked.size !== list.length) fields.fail('revoked', 'names a node twice');
  fields.end();
  return { seq, jwt, issuedAt: iat * 1000, expiresAt: exp * 1000, revoked };
}

function readRevocation(entry: unknown): [string, number] {
  const fields = new Fields(entry, 'roster: revoked[]', 'ROSTER_INVALID');
  const before = fields.integer('before', { min: 0, max: SECONDS_MAX }) * 1000;
  const [peer, node] = [fields.string('peer', undefined), fields.string('node', undefined)];
  fields.end();
  if ((peer === undefined) === (node === undefined)) return fields.fail('', 'needs either node or peer');
  try {
    return [peer === undefined ? parseNodeName(node!) : parsePeerId(peer), before];
  } catch (error) {
    throw new MirrorError('ROSTER_INVALID', asMirrorError(error, 'ROSTER_INVALID', 'roster').message);
  }
}

/** True where the roster takes back the credential under which `node` is known. */
export const revokes = (roster: Pick<Roster, 'revoked'>, node: Pick<Node, 'name' | 'peer' | 'issuedAt'>): boolean =>
  node.issuedAt <= Math.max(roster.revoked.get(node.name) ?? -1, roster.revoked.get(node.peer) ?? -1);

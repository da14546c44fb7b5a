/**
 * The roster: the issuer's signed list of whom it takes back, who the issuer is, and what it demands of policies. Promises:
 * every roster has a number, higher is newer, in the epoch of its signer alone; it is proved from an issuer that the reader
 * trusts; fields that this version does not know are refused, as they might forbid something. Refuses to know which roster
 * is in force (members.ts). Spec: IDENTITY.md; RFC 7519.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { type Node, parseNodeName, parsePeerId } from '../oci/oci.ts';
import { Fields } from '../yaml.ts';
import {
  EPOCH_MAX,
  EPOCH_SEQS,
  epochOf,
  follow,
  HANDOVERS_MAX,
  SECONDS_MAX,
  sameKey,
  type Step,
  type Way,
} from './handover.ts';
import type { Cluster } from './identity.ts';
import type { Issuer } from './issuer.ts';
import { publicKeyFrom } from './key.ts';
import { formatDemand, type PolicyDemand, readDemand } from './policy-demand.ts';
import { claimsOf, type Form, isSignedBy, type Sealed, signDocument, unseal, urnOf } from './signed.ts';

/** The longest roster, in bytes. */
export const ROSTER_MAX_BYTES = 256 << 10;
/** How long a roster holds, in milliseconds: 90 days. */
export const ROSTER_LIFETIME_MS = 90 * 86_400_000;

const FORM: Form = {
  typ: 'pinnace-roster+jwt',
  maxBytes: ROSTER_MAX_BYTES,
  code: 'ROSTER_INVALID',
  what: 'roster',
  handovers: HANDOVERS_MAX,
};

/** A roster proved from an issuer that the reader trusts. */
export interface Roster {
  readonly seq: number;
  readonly jwt: string;
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** By node name or peer id: the latest moment of issue that is taken back. */
  readonly revoked: ReadonlyMap<string, number>;
  /** What it demands of policies; nothing where it is missing. */
  readonly policy?: PolicyDemand;
  /** Who signed it, a raw public key: the issuer that counts. */
  readonly signer: Uint8Array;
  /** The issuer that it names after itself, whose word counts too. */
  readonly next?: Uint8Array;
  /** Issuers whose time is over, as far as it tells. */
  readonly former: readonly Uint8Array[];
  /** The handovers in its header, oldest first. */
  readonly handovers: readonly string[];
}

/** What a roster is signed over. */
export type RosterDraft = Pick<Roster, 'seq' | 'issuedAt' | 'revoked' | 'policy'> & {
  readonly expiresAt?: number;
  readonly handovers?: readonly string[];
};

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
    ...(draft.policy ? { policy: formatDemand(draft.policy) } : {}),
  };
  return signDocument(FORM, claims, issuer.key, draft.handovers);
}

/** Proves and reads a roster from the issuer that `cluster` names, whatever its age. @throws ROSTER_INVALID */
export async function readRoster(jwt: string, cluster: Cluster): Promise<Roster> {
  const sealed = unseal(FORM, jwt);
  const way = await follow(sealed.handovers, cluster);
  const by = await signerOf(sealed, way);
  const urn = urnOf(cluster.id);
  const fields = new Fields(claimsOf(FORM, sealed), 'roster: ', 'ROSTER_INVALID');
  if (fields.string('iss') !== urn || fields.string('aud') !== urn) fields.fail('iss', 'is another cluster');
  const seq = fields.integer('seq', { min: 1, max: (EPOCH_MAX + 1) * EPOCH_SEQS - 1 });
  if (epochOf(seq) !== by.signer.epoch) fields.fail('seq', `is of epoch ${epochOf(seq)}, its signer is of another`);
  const iat = fields.integer('iat', { min: 0, max: SECONDS_MAX });
  const exp = fields.integer('exp', { min: iat + 1, max: SECONDS_MAX });
  const revoked = readRevoked(fields);
  const policy = readDemand(fields);
  fields.end();
  return {
    seq,
    jwt,
    issuedAt: iat * 1000,
    expiresAt: exp * 1000,
    revoked,
    signer: by.signer.key,
    former: by.former,
    handovers: sealed.handovers,
    ...(policy ? { policy } : {}),
    ...(by.next ? { next: by.next.key } : {}),
  };
}

/** Who of the way signed: the newest issuer, or the one before it, which then names it as the next. @throws ROSTER_INVALID */
async function signerOf(
  sealed: Sealed,
  { steps, earlier }: Way,
): Promise<{ readonly signer: Step; readonly next?: Step; readonly former: readonly Uint8Array[] }> {
  const newest = steps.at(-1)!;
  const before = steps.at(-2);
  const formerTo = (...counting: Step[]): Uint8Array[] =>
    distinct([...earlier, ...steps.map(({ key }) => key)], counting);
  if (await isSignedBy(sealed, publicKeyFrom(newest.key))) return { signer: newest, former: formerTo(newest) };
  // Whom the recovery key names is not one that the issuer before may hold back.
  if (before?.epoch === newest.epoch && (await isSignedBy(sealed, publicKeyFrom(before.key))))
    return { signer: before, next: newest, former: formerTo(before, newest) };
  throw new MirrorError('ROSTER_INVALID', "roster: is not signed by this cluster's issuer");
}

/** Each key once, and none of those that count. */
const distinct = (keys: readonly Uint8Array[], counting: readonly Step[]): Uint8Array[] =>
  keys.filter(
    (key, at) => !counting.some(step => sameKey(step.key, key)) && keys.findIndex(other => sameKey(other, key)) === at,
  );

function readRevoked(fields: Fields): ReadonlyMap<string, number> {
  const list = fields.take('revoked');
  if (!Array.isArray(list)) return fields.fail('revoked', 'must be a list');
  const revoked = new Map(list.map(readRevocation));
  if (revoked.size !== list.length) fields.fail('revoked', 'names a node twice');
  return revoked;
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

/** The cluster as a node trusts it under `roster`: its signer rules, in its epoch. */
export const under = (cluster: Cluster, { signer, seq }: Pick<Roster, 'signer' | 'seq'>): Cluster => ({
  ...cluster,
  issuer: signer,
  epoch: epochOf(seq),
});

/** Whose credentials count under `roster`, the next issuer first. */
export const issuersOf = ({ signer, next }: Pick<Roster, 'signer' | 'next'>): readonly Uint8Array[] =>
  next ? [next, signer] : [signer];

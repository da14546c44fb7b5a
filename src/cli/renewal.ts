/**
 * New credentials for the nodes on record. Promises: each keeps its key, name, zone and roles; nobody who was taken back is
 * renewed, and nobody whose roles are not known; all is on record before it exists. Refuses to know commands and files.
 * Spec: identity/IDENTITY.md.
 */
import { issueCredential, proveCredential } from '../identity/credential.ts';
import type { Issuer } from '../identity/issuer.ts';
import { issuersOf, type Roster, revokes } from '../identity/roster.ts';
import { type Node, ROLES } from '../oci/oci.ts';
import { type Book, type Issued, newestOf } from './issued.ts';

const SECOND_MS = 1000;

/** A node that is not renewed, and why. */
export interface LeftOut {
  readonly node: string;
  readonly why: 'revoked' | 'roles not on record';
}

export interface Renewal {
  /** What to put on record. */
  readonly issued: readonly Issued[];
  readonly leftOut: readonly LeftOut[];
  /** Renewed by the key of a token that nothing here shows in use, after another: who runs with that is shut out. */
  readonly rekeyed: readonly string[];
}

/** Credentials that a node knows, as far as issuers of the cluster signed them. */
export interface KnownNodes {
  /** By an issuer that counts. */
  readonly counting: readonly Node[];
  /** By any that ever did: good for what is on record and not said there. */
  readonly all: readonly Node[];
}

/** Proves what a node keeps in its credentials.json; what does not hold is left. */
export async function knownNodes(jwts: readonly string[], clusterId: string, roster: Roster): Promise<KnownNodes> {
  const counting: Node[] = [];
  const all: Node[] = [];
  const ever = [...issuersOf(roster), ...roster.former];
  for (const jwt of jwts)
    for (const signer of ever) {
      const proved = await proveCredential(jwt, clusterId, { signer, former: [] }).catch(() => undefined);
      if (!proved) continue;
      all.push(proved.node);
      if (issuersOf(roster).includes(signer)) counting.push(proved.node);
      break;
    }
  return { counting, all };
}

const issuedOf = ({ name, peer, issuedAt, roles, zone }: Node): Issued => ({
  node: name,
  peer,
  issuedAt,
  roles: [...roles],
  ...(zone === undefined ? {} : { zone }),
});

/** Who is to be renewed at `now`, in milliseconds since 1970; all, or `only` one. */
export function planRenewal(book: Book, roster: Roster, known: KnownNodes, now: number, only?: string): Renewal {
  const newest = newestOf([...book.issued, ...known.counting.map(issuedOf)]);
  const issued: Issued[] = [];
  const leftOut: LeftOut[] = [];
  const rekeyed: string[] = [];
  for (const one of [...newest.values()].sort((a, b) => (a.node < b.node ? -1 : 1))) {
    if (only !== undefined && one.node !== only) continue;
    const said = one.roles ? one : saidOf(one, known);
    if (isTakenBack(one, book, roster)) leftOut.push({ node: one.node, why: 'revoked' });
    else if (!said?.roles) leftOut.push({ node: one.node, why: 'roles not on record' });
    else {
      const { node, peer, roles, zone } = said;
      const place = zone === undefined ? {} : { zone };
      issued.push({ node, peer, issuedAt: laterThan(one.issuedAt, now), roles, ...place });
      if (one.token !== undefined && followsAnother(one, book, roster)) rekeyed.push(one.node);
    }
  }
  return { issued, leftOut, rekeyed };
}

/** True where another key of that name was issued, and not taken back. */
const followsAnother = ({ node, peer }: Issued, book: Book, roster: Roster): boolean =>
  book.issued.some(other => other.node === node && other.peer !== peer && !isTakenBack(other, book, roster));

/** What the newest known credential says of a key whose record says little. */
function saidOf(one: Issued, { all }: KnownNodes): Issued | undefined {
  const [node] = all
    .filter(({ name, peer }) => name === one.node && peer === one.peer)
    .sort((a, b) => b.issuedAt - a.issuedAt);
  return node && issuedOf(node);
}

function isTakenBack({ node: name, peer, issuedAt }: Issued, { takenBack }: Book, roster: Roster): boolean {
  if (revokes(roster, { name, peer, issuedAt })) return true;
  return takenBack.some(({ revoked, before }) => (revoked === name || revoked === peer) && issuedAt <= before);
}

/** Whole seconds, as a credential has them, and later than what it takes the place of. */
const laterThan = (last: number, now: number): number =>
  Math.floor(Math.max(now, last + SECOND_MS) / SECOND_MS) * SECOND_MS;

/** Signs what was planned and is on record, in that order. */
export async function signRenewal(issuer: Issuer, issued: readonly Issued[]): Promise<readonly string[]> {
  const jwts: string[] = [];
  for (const { node: name, peer, issuedAt, zone, roles = [] } of issued)
    jwts.push(
      await issueCredential(issuer, {
        peer,
        name,
        ...(zone === undefined ? {} : { zone }),
        roles: ROLES.filter(role => roles.includes(role)),
        issuedAt,
      }),
    );
  return jwts;
}

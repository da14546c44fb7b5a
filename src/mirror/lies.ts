/**
 * What happens when a peer's word turns out false. Bytes that do not fit an honest proof are experience: the peer is
 * named, asked last for a while, and told, for its disk may have rotted. A signed root that is false is evidence: kept,
 * and its signer's roots count no more here. Nobody acts on another's accusation; the operator may revoke.
 */
import type { Code } from '../errors.ts';
import type { Digest } from '../oci/oci.ts';
import type { Holder } from '../peers/peers.ts';
import { type Proof, type Root, rootOf } from '../proof/proof.ts';
import { type Claim, type Evidence, type EvidenceBook, vouch, type Vouching } from '../trust/trust.ts';
import type { Rooms } from './rooms.ts';

const claimOf = (holder: Holder): Claim => ({
  peer: holder.node.peer,
  digest: holder.digest,
  size: holder.size,
  root: holder.root,
  attests: holder.node.roles.has('attest'),
});

/** True while what this holder signs does not count here. */
export const isRefuted = (rooms: Pick<Rooms, 'evidence'>, holder: Holder): boolean =>
  rooms.evidence.refuted(holder.node.peer, holder.node.issuedAt);

/** What `vouchers` distinct holders of `digest` vouch for, refuted ones left out; `own` is this node's root, if it hashed the whole. */
export function vouchingFor(
  rooms: Pick<Rooms, 'peers' | 'evidence'>,
  digest: Digest,
  vouchers: number,
  own?: Root,
): Vouching {
  const holders = rooms.peers.holders(digest);
  const refuted = new Set(holders.filter(holder => isRefuted(rooms, holder)).map(holder => holder.node.peer));
  return vouch(holders.map(claimOf), vouchers, own, claim => refuted.has(claim.peer));
}

/** Records a lie with the liar's name, and asks the liar last from now on. */
export async function nameLiar(
  rooms: Pick<Rooms, 'audit' | 'peers' | 'log'>,
  holder: Holder,
  kind: 'chunk' | 'proof',
  code: Code,
): Promise<void> {
  const { peer, name } = holder.node;
  await rooms.audit.record({ event: 'lie.found', peer, node: name, digest: holder.digest, kind, code });
  rooms.log.warn(
    { peer, node: name, digest: holder.digest, code },
    `${name} told a lie about a ${kind} of ${holder.digest}`,
  );
  rooms.peers.shun(peer, kind === 'chunk' ? holder.digest : undefined);
}

/** Keeps evidence against everybody who signed `claimed`, once; `own` is this node's root, if it hashed the whole. */
export async function refuteSigners(
  rooms: Pick<Rooms, 'audit' | 'peers' | 'evidence' | 'world' | 'log'>,
  digest: Digest,
  claimed: Root,
  own?: Root,
): Promise<void> {
  for (const holder of rooms.peers.holders(digest)) {
    const { peer, issuedAt } = holder.node;
    const found = { peer, credentialIssuedAt: issuedAt, digest, claimed };
    if (holder.root !== claimed || isKept(rooms.evidence, found)) continue;
    // Refuting it is the effect: the record comes first.
    await nameLiar(rooms, holder, 'proof', 'PROOF_REFUTED');
    const { id } = await rooms.evidence.add({
      ...found,
      ...(own === undefined ? {} : { own }),
      foundAt: rooms.world.now(),
      statement: Buffer.from(holder.statement).toString('base64'),
    });
    // Of one signer no more is kept than refutes it.
    if (isKept(rooms.evidence, found)) await rooms.audit.record({ event: 'evidence.kept', id, peer, digest });
  }
}

const isKept = (
  book: EvidenceBook,
  found: Pick<Evidence, 'peer' | 'credentialIssuedAt' | 'digest' | 'claimed'>,
): boolean =>
  book
    .list()
    .some(
      one =>
        one.peer === found.peer &&
        one.digest === found.digest &&
        one.claimed === found.claimed &&
        one.credentialIssuedAt >= found.credentialIssuedAt,
    );

/** Compares every signed root of a digest with the proof that this node made by hashing the whole. */
export async function compareRoots(
  rooms: Pick<Rooms, 'audit' | 'peers' | 'evidence' | 'world' | 'log'>,
  proof: Proof,
): Promise<void> {
  const own = rootOf(proof);
  const others = new Set(rooms.peers.holders(proof.digest).map(holder => holder.root));
  others.delete(own);
  for (const claimed of others) await refuteSigners(rooms, proof.digest, claimed, own);
}

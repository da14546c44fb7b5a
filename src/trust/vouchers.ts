/**
 * Vouchers: under which root may a content be handed on chunk by chunk? Promises: fewer than k nodes that lie together
 * never make a root that is answered here; one that signs another root only makes it slower (whole first). Pure.
 */
import { assert } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import type { Root } from '../proof/proof.ts';
import type { Claim, Vouching } from './claims.ts';

/**
 * What `claims` about one digest amount to: the root that `k` distinct attesting nodes name while none of them names
 * another. `own` is the root that this node got by hashing the whole: enough alone, and others are then simply wrong.
 * `refuted` says whose claims count neither way.
 */
export function vouch(
  claims: readonly Claim[],
  k: number,
  own: Root | undefined,
  refuted: (claim: Claim) => boolean,
): Vouching {
  assert(Number.isSafeInteger(k) && k >= 1, 'a content needs at least one voucher');
  if (own !== undefined) return { root: own, conflict: false };
  const vouchers = new Map<Root, Set<PeerId>>();
  for (const claim of claims) {
    if (!claim.attests || refuted(claim)) continue;
    const peers = vouchers.get(claim.root) ?? new Set();
    vouchers.set(claim.root, peers.add(claim.peer));
  }
  if (vouchers.size > 1) return { conflict: true };
  for (const [root, peers] of vouchers) if (peers.size >= k) return { root, conflict: false };
  return { conflict: false };
}

/** What signed statements amount to here: the words in which vouchers and tags are judged. */
import type { Digest, PeerId } from '../oci/oci.ts';
import type { Root } from '../proof/proof.ts';

/** A node's valid holding: it hashed this digest whole and got this root. */
export interface Claim {
  readonly peer: PeerId;
  readonly digest: Digest;
  readonly size: number;
  readonly root: Root;
  /** Whether the node has the role `attest`, without which its root neither vouches nor conflicts. */
  readonly attests: boolean;
}

/** What the claims about one digest amount to. */
export interface Vouching {
  /** The one root under which chunks may be handed on at once; undefined: only the whole may be. */
  readonly root?: Root;
  /** True when roots differ among those that count. */
  readonly conflict: boolean;
}

/** A node's statement about a tag. */
export interface TagClaim {
  readonly peer: PeerId;
  readonly digest: Digest;
  /** When the tag was seen to be this digest; milliseconds since 1970. Never moves. */
  readonly observedAt: number;
  /** When the signer last renewed it. */
  readonly renewedAt: number;
}

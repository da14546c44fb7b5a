/**
 * Who said so, and does it hold? Vouchers of proof roots, tag statements, evidence against signers, what a node may state of
 * a tag itself, and sigstore signatures of images. Refuses to know the policy's file format and where statements came from.
 */
import type { Digest, PeerId, TagReference } from '../oci/oci.ts';
import type { Root } from '../proof/proof.ts';

/** How a name came to be on this node; `mirrored` and `unknown` are never stated. */
export type Origin = 'local' | 'observed' | 'adopted' | 'mirrored' | 'unknown';

/** A signed root that this node found false, with all that shows it. */
export interface Evidence {
  readonly id: string;
  readonly peer: PeerId;
  /** `iat` of the credential under which it was signed; a newer one ends the refutation. */
  readonly credentialIssuedAt: number;
  readonly digest: Digest;
  readonly claimed: Root;
  /** This node's own root, where it hashed the whole; undefined where the proof contradicted itself. */
  readonly own?: Root;
  readonly foundAt: number;
  /** The signed statement, base64, as it came; empty where newer evidence needed the room. */
  readonly statement: string;
}

/** Evidence on disk. */
export interface EvidenceBook {
  list(): readonly Evidence[];
  /** Keeps it; one per (peer, digest, claimed), and of one peer's no more than refute it. @throws FILE_UNREADABLE */
  add(evidence: Omit<Evidence, 'id'>): Promise<Evidence>;
  /** True while the peer's roots neither vouch nor conflict here. */
  refuted(peer: PeerId, credentialIssuedAt: number): boolean;
  /** Removes one, or all of a peer. True if there was any. */
  clear(idOrPeer: string): Promise<boolean>;
}

/** What this node's mirror answered for tags, and what it decided to state, on disk since `born`. */
export interface OriginBook {
  readonly born: number;
  /** Before the mirror answers a tag with a digest. */
  mirrored(reference: TagReference, digest: Digest): Promise<void>;
  /** Decides once how an image came here, when it appears; later calls answer the same. */
  decide(image: { reference: TagReference; digest: Digest; createdAt: number; fetched: boolean }): Promise<Origin>;
  /** The operator's word that this name is right. */
  adopt(reference: TagReference, digest: Digest): Promise<void>;
  /**
   * The operator's word that this node shall not state a name: what it is now becomes `unknown` until it is adopted, other
   * content under that name is judged anew. True if any of it could be stated before.
   */
  forget(reference: TagReference): Promise<boolean>;
}

export type { Claim, TagClaim, Vouching } from './claims.ts';
export type { Authority, Candidate, Judgement, Signed, Signers } from './signatures.ts';
export { decideTag } from './tags.ts';
export { openSigners } from './signers.ts';
export { vouch } from './vouchers.ts';

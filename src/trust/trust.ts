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

/** Who may sign: the part of policy's words that this room judges. PEM keys and roots come as bytes, checked at `openSigners`. */
export type Authority = {
  /** Certificate transparency logs, transparency logs and proven times that are needed. */
  readonly ctlog: number;
  readonly tlog: number;
  readonly timestamps: number;
  readonly trustRoot?: string;
} & (
  | { readonly kind: 'key'; readonly pem: string; readonly notBefore?: number; readonly notAfter?: number }
  | {
      readonly kind: 'keyless';
      readonly identities: readonly { readonly issuer: string; readonly subject: string | RegExp }[];
      readonly extensions: ReadonlyMap<string, string>;
    }
);

/**
 * Something that may sign a digest: a sigstore bundle, or cosign's older payload with the annotations of its layer. Bytes
 * are unjudged. `artifact` is the content itself, which a bundle whose signature is over it (and no statement) needs.
 */
export type Candidate =
  | { readonly format: 'bundle'; readonly bytes: Uint8Array; readonly artifact?: Uint8Array }
  | {
      readonly format: 'legacy';
      readonly payload: Uint8Array;
      readonly annotations: Readonly<Record<string, string>>;
    };

/** What a candidate shows about the digest, for one authority. */
export interface Signed {
  readonly authority: string;
  readonly format: 'bundle' | 'legacy';
  /** The earliest time that a log or timestamp proves; ms since 1970. */
  readonly signedAt?: number;
  /** The authority's own end; ms since 1970. */
  readonly until?: number;
  /** Who signed, for people: the identity in the certificate, or the key's SHA-256. */
  readonly signer: string;
  /** The in-toto predicate type; undefined for a plain signature. */
  readonly predicateType?: string;
  readonly predicate?: unknown;
}

/** What became of one candidate: for whom it holds; empty with the reason where for nobody. */
export interface Judgement {
  readonly signed: readonly Signed[];
  /** Why it holds for none of the authorities. */
  readonly reason?: string;
  readonly code?: 'BUNDLE_INVALID' | 'SIGNATURE_UNTRUSTED';
}

/** The authorities of one policy. */
export interface Signers {
  /** Judges a candidate about `subject` at `now`, for every authority. Offline, bounded, never throws but a defect. */
  judge(candidate: Candidate, subject: Digest, now: number): Judgement;
}

export type { Claim, TagClaim, Vouching } from './claims.ts';
export { decideTag } from './tags.ts';
export { openSigners } from './signers.ts';
export { vouch } from './vouchers.ts';

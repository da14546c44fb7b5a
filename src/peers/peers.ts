/**
 * Who else has it, how do bytes cross? The port. Statements are signed, spread and looked up here; bytes cross on lanes.
 * Refuses to know who is trusted: it is given `members`, and functions that judge what is given away. Spec: PROTOCOL.md.
 */
import type { Code } from '../errors.ts';
import type { Digest, Node, PeerId, TagReference } from '../oci/oci.ts';
import type { Proof, Root } from '../proof/proof.ts';

/** A connected or known node that says it holds a digest, by a statement that is valid now. */
export interface Holder {
  readonly node: Node;
  readonly digest: Digest;
  readonly size: number;
  readonly root: Root;
  /** The signed statement, as it came; for evidence. */
  readonly statement: Uint8Array;
}

/** The most artifacts that one answer names. */
export const REFERRERS_MAX = 32;

/** What this node says it holds. */
export interface Holding {
  readonly digest: Digest;
  readonly size: number;
  readonly root: Root;
  /** Who may know of it; everybody where it is missing. Nodes that may not are never told, by nobody. */
  readonly audience?: (node: Node) => boolean;
}

/** An artifact about a digest that a peer says it has. It proves nothing: the manifest is fetched by digest and judged. */
export interface Referrer {
  readonly bond: 'subject' | 'sig' | 'att';
  /** Of its manifest. */
  readonly digest: Digest;
  readonly size: number;
}

/** What a node says of a tag. */
export interface TagStatement {
  readonly reference: TagReference;
  readonly digest: Digest;
  readonly observedAt: number;
  readonly renewedAt: number;
}

/** One chunk from a lane: at most CHUNK_BYTES, all of them but the last full. Its memory is used again after `release`. */
export interface Chunk {
  readonly bytes: Uint8Array;
  release(): void;
}

export interface PeerStatus {
  readonly node: Node;
  readonly connected: boolean;
  readonly address?: string;
  /** Digests it says it holds. */
  readonly holdings: number;
  readonly lanes: number;
  /** Milliseconds since 1970 until which it is asked last, after it lied or stalled. */
  readonly shunnedUntil?: number;
}

/** A node key that signed in two places at once: somebody has a copy of the node's token or state. */
export interface Clone {
  readonly peer: PeerId;
  /** The starts of the two; equal where both came of one start. */
  readonly start: number;
  readonly other: number;
  /** When it was told last, ms since 1970. */
  readonly at: number;
}

/** What this node gives to others; joined in the daemon. Absent and not shared look the same to a peer. */
export interface Giver {
  /** Opens content for `node`; it was judged and recorded before the answer. @throws CONTENT_ABSENT, AUDIT_UNAVAILABLE */
  give(node: Node, digest: Digest, offset: number, length: number): Promise<Gift>;
  /** The proof that this node signed. @throws CONTENT_ABSENT */
  proof(node: Node, digest: Digest): Promise<Proof>;
  /** What this node has about a digest that `node` may have, at most REFERRERS_MAX; empty where not here or not for that node. */
  referrers(node: Node, subject: Digest): Promise<readonly Referrer[]>;
  /** A peer says that bytes of this digest did not fit their proof: hash it again. */
  doubt(node: Node, digest: Digest): void;
}

/** Content on its way to a peer. */
export interface Gift {
  read(into: Uint8Array, position: number): Promise<number>;
  /** Call once: how many bytes went out. */
  done(bytes: number): Promise<void>;
}

export interface Peers {
  /** Nodes other than this one that hold `digest` now and may serve; the best to ask first. Local memory only. */
  holders(digest: Digest): readonly Holder[];
  /** Other nodes' newest statements about a tag, whether or not they are alive. */
  tagStatements(reference: TagReference): readonly (TagStatement & { readonly node: Node })[];
  /** All that other nodes state of tags. */
  statedTags(): readonly (TagStatement & { readonly node: Node })[];
  /** Says what this node holds from now on: signed and spread as snapshot, delta or renewal. */
  hold(holdings: readonly Holding[]): Promise<void>;
  /** Says what tags this node states from now on. */
  stateTags(tags: readonly TagStatement[]): Promise<void>;
  /** Asks `peer` for its proof. @throws PEER_UNREACHABLE, CONTENT_ABSENT, PROOF_INVALID, TIMED_OUT */
  proof(peer: PeerId, digest: Digest, size: number, signal: AbortSignal): Promise<Proof>;
  /** Asks `peer` what it has about `subject`. @throws PEER_UNREACHABLE, FRAME_INVALID, LIMIT_EXCEEDED, TIMED_OUT, ROLE_MISSING, STOPPED */
  referrers(peer: PeerId, subject: Digest, signal: AbortSignal): Promise<readonly Referrer[]>;
  /**
   * Bytes of `digest` from chunk boundary `offset` to `offset + length`, in order, over a lane. Ends the lane's request
   * when the loop is left. @throws PEER_UNREACHABLE, CONTENT_ABSENT, LANE_STALLED, LANE_CLOSED, FRAME_INVALID
   */
  read(peer: PeerId, digest: Digest, offset: number, length: number, signal: AbortSignal): AsyncIterable<Chunk>;
  /** Tells `peer` that its bytes were wrong, where `doubt` is set, and asks it last for a while. */
  shun(peer: PeerId, doubt?: Digest): void;
  /** Every node known, connected or not. */
  status(): readonly PeerStatus[];
  /** Keys that signed in two places at once within the last day, this node's own included. */
  clones(): readonly (Clone & { readonly node: Node })[];
}

/** What this room needs of the node's own identity. */
export interface OwnKey {
  readonly peer: PeerId;
  /** Counts the starts of this node; one more at every start. */
  readonly start: number;
  /** Signs with the node key (Ed25519). */
  sign(bytes: Uint8Array): Uint8Array;
  /** The newest own credential, at most 4 KiB. */
  credential(): string;
}

/** What this room needs of the judge of members; everything that it throws is a MirrorError. */
export interface Membership {
  readonly roster: { readonly seq: number; readonly jwt: string; readonly expiresAt: number };
  /** @throws CREDENTIAL_*, ROSTER_EXPIRED */
  admit(credential: string, peer: PeerId): Promise<Node>;
  node(peer: PeerId): Node | undefined;
  nodes(): readonly Node[];
  credentials(): ReadonlyMap<PeerId, string>;
  offerRoster(jwt: string): Promise<boolean>;
  offerCredential(jwt: string): Promise<boolean>;
  /** The policy bundle in force, as it travels (packed, at most 4 MiB); undefined: none. */
  readonly policy: { readonly serial: number; readonly bytes: Uint8Array } | undefined;
  /** Takes a policy bundle from anybody: true where it is new and in force now. @throws BUNDLE_INVALID, POLICY_ROLLBACK and others */
  offerPolicy(bytes: Uint8Array): Promise<boolean>;
  /** Calls `listener` after each change of roster, credentials or policy bundle. */
  onChange(listener: (revoked: readonly PeerId[]) => void): void;
}

/** True when `signature` over `bytes` is by the key that `peer` carries. */
export type Verify = (peer: PeerId, bytes: Uint8Array, signature: Uint8Array) => boolean;

/** What the control plane records; the answer is awaited before the effect. */
export type ControlEvent =
  | { readonly event: 'peer.admitted'; readonly peer: PeerId; readonly node: string; readonly address: string }
  | { readonly event: 'peer.refused'; readonly peer?: PeerId; readonly address: string; readonly code: Code }
  | { readonly event: 'peer.revoked'; readonly peer: PeerId }
  | { readonly event: 'roster.accepted'; readonly seq: number; readonly expiresAt: number }
  | { readonly event: 'roster.refused'; readonly source: string; readonly code: Code }
  | {
      readonly event: 'identity.cloned';
      readonly peer: PeerId;
      readonly node: string;
      readonly start: number;
      readonly other: number;
    }
  | { readonly event: 'statement.signed'; readonly kind: string; readonly seq: number }
  | { readonly event: 'statement.refused'; readonly peer: PeerId; readonly kind: string; readonly code: Code };

/** Writes an event. @throws AUDIT_UNAVAILABLE */
export type RecordEvent = (event: ControlEvent) => Promise<void>;

/** Says something to the operator; nothing depends on it. */
export type Log = (
  level: 'debug' | 'info' | 'warn',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

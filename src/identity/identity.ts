/**
 * Who is this node, who are the others? The port: this node's own key and credential, and the judge of everybody's.
 * Refuses to know transport. Spec: IDENTITY.md; RFC 7519, RFC 8037.
 */
import type { Node, PeerId } from '../oci/oci.ts';
import type { PolicyDemand } from './policy-demand.ts';

/** The audience and issuer of everything that this cluster signs, as somebody trusts it. */
export interface Cluster {
  /** 32 lower-case hex digits. */
  readonly id: string;
  /** The issuer's raw Ed25519 public key, 32 bytes. */
  readonly issuer: Uint8Array;
  /** The recovery key's, 32 bytes; who trusts none cannot follow a recovery. */
  readonly recovery?: Uint8Array | undefined;
  /** How many recoveries lie before this issuer; 0 unless given. */
  readonly epoch?: number;
}

/** This node: what its token and its state folder made of it. */
export interface Self {
  readonly cluster: Cluster;
  readonly peer: PeerId;
  readonly name: string;
  /** The 32-byte Ed25519 seed of the node key; secret, for the wire alone. */
  readonly seed: Uint8Array;
  /** Counts the starts of this node; from a file in stateDir, one more at every start. Never below an earlier one. */
  readonly start: number;
  /** Signs with the node key (Ed25519). */
  sign(bytes: Uint8Array): Uint8Array;
  /** This node's newest credential, a JWT of at most 4 KiB. */
  credential(): string;
}

/** What is known of the cluster's members; everything in it was proved against the issuer's key. */
export interface Members {
  /** The roster in force. */
  readonly roster: {
    readonly seq: number;
    readonly jwt: string;
    /** Milliseconds since 1970, as is `expiresAt`. */
    readonly issuedAt: number;
    readonly expiresAt: number;
    readonly policy?: PolicyDemand;
  };
  /** The signed policy in force, packed, as `Policies` says; undefined until it is joined. */
  readonly policy: Policies['policy'];
  /** As `Policies` says; false until they are joined. */
  offerPolicy(bytes: Uint8Array): Promise<boolean>;
  /** From now on these judge policies; their changes are told to `onChange`, too. */
  joinPolicies(policies: Policies): void;
  /**
   * Who `peer` is, by the credential it shows; where that one has ended, by the newest that is known of it: it may have
   * been renewed while it was away. Also remembers the newest credential of each peer.
   * @throws CREDENTIAL_INVALID, CREDENTIAL_EXPIRED, CREDENTIAL_FOREIGN (another cluster), CREDENTIAL_STOLEN (another's),
   * CREDENTIAL_REVOKED (also where the node name has a newer key), ROSTER_EXPIRED (nobody new under an expired roster),
   * LIMIT_EXCEEDED (4,096 members are known)
   */
  admit(credential: string, peer: PeerId): Promise<Node>;
  /** The node behind `peer`, if its credential is known and holds right now. */
  node(peer: PeerId): Node | undefined;
  /** All nodes whose credential is known and holds right now, this one included. */
  nodes(): readonly Node[];
  /** The newest credential of each known peer, this node's own included. */
  credentials(): ReadonlyMap<PeerId, string>;
  /**
   * Takes a roster from anybody. True when it is newer and now in force, false when it is the one in force. A newer one
   * that has expired is taken too: what it revokes stays revoked, and the cluster freezes. @throws ROSTER_INVALID,
   * ROSTER_ROLLBACK, FILE_UNREADABLE (in force, but not on disk)
   */
  offerRoster(jwt: string): Promise<boolean>;
  /** Takes a credential from anybody, by `sub`. True when it is newer than the one known. @throws as `admit` */
  offerCredential(jwt: string): Promise<boolean>;
  /**
   * Calls `listener` after each change of roster or credentials; `revoked` names whom the change shut out, `accepted` whose
   * newer credential is in force.
   */
  onChange(listener: (revoked: readonly PeerId[], accepted: readonly Node[]) => void): void;
}

/** The signed policy of the cluster as it goes from node to node; judged elsewhere, against what the roster demands. */
export interface Policies {
  /** The bundle in force, packed; undefined where none is, or the one that was holds no more. */
  readonly policy: { readonly serial: number; readonly bytes: Uint8Array } | undefined;
  /** Takes a packed bundle from anybody. True when it is newer and now in force. @throws BUNDLE_INVALID, POLICY_* */
  offer(bytes: Uint8Array): Promise<boolean>;
  /** Calls `listener` after each change of `policy`. */
  onChange(listener: () => void): void;
}

/** Verifies an Ed25519 signature by the key that a peer id carries. */
export type VerifyPeer = (peer: PeerId, bytes: Uint8Array, signature: Uint8Array) => boolean;

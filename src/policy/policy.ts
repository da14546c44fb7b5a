/**
 * What is allowed? One strict file, default deny, one rule decides. Promises: pure; the same question has the same answer.
 * Refuses to know the clock, keys and the network: times are handed in, and who signed is told by others. Spec: POLICY.md.
 */
import type { Digest, Node, Reference, Registry, Repository, TagReference } from '../oci/oci.ts';
import type { Code } from '../errors.ts';

export type Mode = 'enforce' | 'audit';
export type Format = 'bundle' | 'legacy';

/** How a tag without a pin becomes a digest under a rule. */
export type TagRule =
  | { readonly by: 'statements'; readonly min: number; readonly keepMs: number }
  | { readonly by: 'pins' };

/** `n` distinct authorities among `of`. */
export interface Quorum {
  readonly n: number;
  readonly of: readonly string[];
  /** The oldest proven time, in ms before now. */
  readonly maxAgeMs?: number;
}

export interface SignatureRule extends Quorum {
  readonly formats: ReadonlySet<Format>;
}

/** What a place in a predicate must be. */
export type Condition = { readonly pointer: string } & (
  | { readonly in: readonly (string | number | boolean)[] }
  | { readonly exists: boolean }
  | { readonly min: number }
  | { readonly max: number }
);

export interface AttestationRule extends Quorum {
  readonly predicateType: string;
  readonly where: readonly Condition[];
}

/** Whom an image may be told and given to; no bound where a field is missing. */
export interface ShareRule {
  readonly zones?: ReadonlySet<string>;
  readonly roles?: ReadonlySet<string>;
  /** Larger contents are left out, in bytes. */
  readonly maxBytes?: number;
}

export interface Rule {
  readonly name: string;
  /** As written; empty for `defaults`. */
  readonly pattern: string;
  readonly action: 'allow' | 'deny';
  readonly mode: Mode;
  readonly vouchers: number;
  readonly tags: TagRule;
  readonly pins: { readonly require: boolean; readonly moves: 'denied' | 'reported' };
  readonly signatures?: SignatureRule;
  readonly attestations: readonly AttestationRule[];
  /** Undefined: never. */
  readonly share?: ShareRule;
}

/** Who may sign; what the file says, its keys and roots as bytes. */
export type Authority = {
  /** Certificate transparency logs, transparency logs and proven times that are needed. */
  readonly ctlog: number;
  readonly tlog: number;
  readonly timestamps: number;
  /** Name of a trust root. */
  readonly trustRoot?: string;
} & (
  | { readonly kind: 'key'; readonly pem: string; readonly notBefore?: number; readonly notAfter?: number }
  | {
      readonly kind: 'keyless';
      readonly identities: readonly { readonly issuer: string; readonly subject: string | RegExp }[];
      readonly extensions: ReadonlyMap<string, string>;
    }
);

/** A signature or attestation about one digest that holds for `authority`. Its making was checked by who hands it in. */
export interface Signed {
  readonly authority: string;
  readonly format: Format;
  /** The time that a log or timestamp proves, ms since 1970. */
  readonly signedAt?: number;
  /** Until when it holds: the authority's own end, ms since 1970. */
  readonly until?: number;
  /** Who signed, for people. */
  readonly signer: string;
  /** Undefined for a plain signature. */
  readonly predicateType?: string;
  readonly predicate?: unknown;
}

/** A yes or no, the rule that decided, and why. */
export interface Ruling {
  readonly allowed: boolean;
  readonly rule: string;
  /** Why not; also where `mode: audit` let it through. */
  readonly code?: Code;
  /** For people: what is missing, or what was found. */
  readonly detail: string;
  /** Until when it holds, ms since 1970; none: until the policy changes. */
  readonly until?: number;
  /** The exception that was used. */
  readonly exception?: { readonly reason: string; readonly approvedBy: string };
}

export interface Policy {
  /** SHA-256, hex, over the policy and the files it names; stands in every event. */
  readonly hash: string;
  readonly name: string;
  readonly serial: number;
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
  readonly expiresAt?: number;
  readonly onExpiry: 'freeze' | 'deny';
  readonly authorities: ReadonlyMap<string, Authority>;
  /** The bytes of each trust root, whose SHA-256 was compared. */
  readonly trustRoots: ReadonlyMap<string, Uint8Array>;
  /** The registry that a host or alias in a request names, if it is mirrored. */
  registry(name: Registry): Registry | undefined;
  /** The rule that decides for a repository. */
  rule(registry: Registry, repository: Repository): Rule;
  /** The digest to which a tag is pinned, by the rule that decides for it. */
  pin(reference: TagReference): Digest | undefined;
  /** All digests to which tags of the repository are pinned. */
  pinned(registry: Registry, repository: Repository): ReadonlySet<Digest>;
  /** May this be pulled through this node's mirror? By the reference alone. */
  pull(reference: Reference, now: number): Ruling;
  /** True where the rule asks for signatures or attestations of that digest: they must be looked for before `admit`. */
  needsSignatures(reference: Reference, digest: Digest, now: number): boolean;
  /**
   * May this manifest be used under that name, with what is signed about it? For indexes and images that nothing lists.
   * `refused` is how many candidates were found that hold for no authority; 0 where it is left out.
   */
  admit(reference: Reference, digest: Digest, signed: readonly Signed[], now: number, refused?: number): Ruling;
  /** May content of that size, in an admitted image of that name, be told and given to `node`? */
  shares(rule: Rule, node: Pick<Node, 'zone' | 'roles'>, size: number): boolean;
}

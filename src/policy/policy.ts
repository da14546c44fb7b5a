/**
 * What is allowed? One strict file, default deny; `decide` is pure: no clock, no keys, no network. Spec: POLICY.md.
 */
import type { Digest, Reference, Registry, Repository, TagReference } from '../oci/oci.ts';

/** How a tag becomes a digest under a rule. */
export type TagRule =
  | { readonly by: 'pin'; readonly digest: Digest }
  | { readonly by: 'statements'; readonly min: number; readonly keepMs: number }
  | { readonly by: 'nobody' };

/** A yes or no, and the rule (as written) that decided it. */
export interface Decision {
  readonly allowed: boolean;
  readonly rule: string;
}

export interface Policy {
  /** SHA-256 of the file's bytes, hex; stands in every event. */
  readonly hash: string;
  /** Distinct nodes that must vouch for one root before a content is handed on chunk by chunk. */
  readonly vouchers: number;
  /** The registry that a host or alias in a request names, if it is mirrored. */
  registry(name: Registry): Registry | undefined;
  /** May this content be pulled through this node's mirror under that name? */
  pull(registry: Registry, repository: Repository): Decision;
  /** May an image of that name be told and given to other nodes? */
  share(reference: Reference): Decision;
  /** What makes a digest of this tag. */
  tag(reference: TagReference): TagRule;
}

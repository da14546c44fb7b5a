/**
 * What the stories need of the rooms below, joined in the daemon. Each story's signature picks from it what it uses, so
 * that a reader sees the story's reach, and a test builds no more.
 */
import type { Audit } from '../audit/audit.ts';
import type { Peers } from '../peers/peers.ts';
import type { Policy } from '../policy/policy.ts';
import type { Attachments, Hashes, Spool, Store } from '../store/store.ts';
import type { EvidenceBook, OriginBook, Signers } from '../trust/trust.ts';
import type { World } from '../world.ts';
import type { Admitted } from './admitted.ts';
import type { Catalogue } from './catalogue.ts';
import type { Fetches } from './fetches.ts';
import type { Pulls } from './pulls.ts';
import type { StatedTags } from './stated.ts';
import type { Verdicts } from './verdicts.ts';

export interface Rooms {
  readonly world: World;
  readonly store: Store;
  readonly spool: Spool;
  readonly hashes: Hashes;
  readonly attachments: Attachments;
  readonly peers: Peers;
  /** The policy in force; a reload replaces it. */
  readonly policy: () => Policy;
  /** The authorities of the policy in force. */
  readonly signers: () => Signers;
  readonly evidence: EvidenceBook;
  readonly origins: OriginBook;
  readonly audit: Audit;
  readonly catalogue: Catalogue;
  readonly verdicts: Verdicts;
  readonly admitted: Admitted;
  readonly fetches: Fetches;
  readonly pulls: Pulls;
  readonly stated: StatedTags;
  /** True while bytes move for others: what nobody waits for makes way. */
  readonly busy: () => boolean;
  /** For people; nothing depends on it. */
  readonly log: Log;
  /** The daemon's life. */
  readonly life: AbortSignal;
}

/** Structured lines for a person; `fields` names the peer or file and the code. */
export interface Log {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
}

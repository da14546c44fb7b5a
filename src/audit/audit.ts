/**
 * What did we decide? One closed union of events and a writer that answers before the effect. Refuses to know every room
 * but oci and errors. Spec: FORMAT.md.
 */
import type { Code } from '../errors.ts';
import type { Digest, PeerId } from '../oci/oci.ts';

/** Everything that is recorded. `reference` is registry/repository[:tag][@digest]; times and sizes are ms and bytes. */
export type Event =
  // The log's own: what was half-written when it was opened, and how many records could not be written since the last.
  | { readonly event: 'audit.resumed'; readonly torn: boolean; readonly refused: number }
  | {
      readonly event: 'node.started';
      readonly peer: PeerId;
      readonly node: string;
      readonly version: string;
      readonly start: number;
    }
  | { readonly event: 'node.stopped'; readonly reason: string }
  | { readonly event: 'peer.admitted'; readonly peer: PeerId; readonly node: string; readonly address: string }
  | {
      readonly event: 'peer.refused';
      readonly peer?: PeerId;
      readonly address: string;
      readonly code: Code;
      readonly count?: number;
    }
  | { readonly event: 'peer.revoked'; readonly peer: PeerId }
  // One key signed under two starts at once; equal where both came of one start.
  | {
      readonly event: 'identity.cloned';
      readonly peer: PeerId;
      readonly node: string;
      readonly start: number;
      readonly other: number;
    }
  | { readonly event: 'roster.accepted'; readonly seq: number; readonly expiresAt: number }
  // Keys are base64url; `next` is the issuer that counts beside the one that signed the roster.
  | { readonly event: 'issuer.changed'; readonly seq: number; readonly issuer: string; readonly next?: string }
  | { readonly event: 'credential.accepted'; readonly peer: PeerId; readonly node: string; readonly expiresAt: number }
  | {
      readonly event: 'identity.expiring';
      readonly what: 'roster' | 'credential' | 'policy';
      readonly stage: 'ending' | 'ended';
      readonly expiresAt: number;
    }
  | { readonly event: 'roster.refused'; readonly source: string; readonly code: Code; readonly count?: number }
  // `hash` is of the policy that is in force from then on; the envelope's is of the one before.
  // `signers`: the first 16 digits of the ids of the keys that signed it, with spaces between; none where it is not signed.
  | {
      readonly event: 'policy.loaded';
      readonly file: string;
      readonly hash: string;
      readonly serial: number;
      readonly signers?: string;
    }
  | { readonly event: 'policy.refused'; readonly file: string; readonly code: Code }
  | {
      readonly event: 'tag.resolved';
      readonly reference: string;
      readonly digest: Digest;
      readonly by: 'pin' | 'statements';
    }
  | { readonly event: 'tag.stated'; readonly reference: string; readonly digest: Digest; readonly origin: string }
  | { readonly event: 'tag.adopted'; readonly reference: string; readonly digest: Digest }
  | { readonly event: 'tag.forgotten'; readonly reference: string }
  | { readonly event: 'image.removed'; readonly reference: string }
  | { readonly event: 'pull.refused'; readonly reference: string; readonly code: Code; readonly count?: number }
  | {
      readonly event: 'pull.started';
      readonly id: string;
      readonly reference: string;
      readonly digest: Digest;
      readonly size: number;
    }
  | {
      readonly event: 'pull.ended';
      readonly id: string;
      readonly digest: Digest;
      readonly bytes: number;
      readonly outcome: 'whole' | 'cut' | 'failed';
      readonly source: 'store' | 'spool' | 'peer';
      readonly code?: Code;
    }
  // What policy said of a digest under a name, when that is new; `passed`: `mode: audit` let through what would be refused.
  | {
      readonly event: 'image.admitted';
      readonly reference: string;
      readonly digest: Digest;
      readonly rule: string;
      readonly detail: string;
    }
  | {
      readonly event: 'image.passed';
      readonly reference: string;
      readonly digest: Digest;
      readonly rule: string;
      readonly code: Code;
      readonly detail: string;
    }
  | {
      readonly event: 'image.refused';
      readonly reference: string;
      readonly digest: Digest;
      readonly rule: string;
      readonly code: Code;
      readonly detail: string;
      readonly count?: number;
    }
  | {
      readonly event: 'exception.used';
      readonly reference: string;
      readonly digest: Digest;
      readonly rule: string;
      readonly reason: string;
      readonly approvedBy: string;
    }
  | {
      readonly event: 'attachment.kept';
      readonly subject: Digest;
      readonly digest: Digest;
      readonly source: 'store' | 'peer';
    }
  | { readonly event: 'share.offered'; readonly reference: string; readonly digest: Digest; readonly rule: string }
  | { readonly event: 'share.withdrawn'; readonly reference: string; readonly digest: Digest }
  | {
      readonly event: 'serve.started';
      readonly id: string;
      readonly peer: PeerId;
      readonly digest: Digest;
      readonly offset: number;
      readonly length: number;
    }
  | {
      readonly event: 'serve.ended';
      readonly id: string;
      readonly peer: PeerId;
      readonly digest: Digest;
      readonly bytes: number;
      readonly code?: Code;
    }
  | { readonly event: 'serve.proof'; readonly peer: PeerId; readonly digest: Digest }
  | {
      readonly event: 'serve.refused';
      readonly peer: PeerId;
      readonly digest: Digest;
      readonly code: Code;
      readonly count?: number;
    }
  | { readonly event: 'statement.signed'; readonly kind: string; readonly seq: number }
  | {
      readonly event: 'statement.refused';
      readonly peer: PeerId;
      readonly kind: string;
      readonly code: Code;
      readonly count?: number;
    }
  | {
      readonly event: 'lie.found';
      readonly peer: PeerId;
      readonly node: string;
      readonly digest: Digest;
      readonly kind: 'chunk' | 'proof';
      readonly code: Code;
    }
  | { readonly event: 'evidence.kept'; readonly id: string; readonly peer: PeerId; readonly digest: Digest }
  | { readonly event: 'evidence.cleared'; readonly id: string }
  | { readonly event: 'store.corrupt'; readonly digest: Digest; readonly detail: string };

/** The writer. */
export interface Audit {
  /** Answers when the record is with the system; only then may the effect happen. @throws AUDIT_UNAVAILABLE */
  record(event: Event): Promise<void>;
}

/**
 * What a signature of an image is here: the words in which authorities and candidates are judged. Refuses to know how
 * (signers.ts), and the policy's file. Spec: policy/POLICY.md, "Authorities".
 */
import type { Digest } from '../oci/oci.ts';

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
  /** The same for the same authorities and trust roots, whatever policy has them: SHA-256, hex. */
  readonly id: string;
  /** Judges a candidate about `subject` at `now`, for every authority. Offline, bounded, never throws but a defect. */
  judge(candidate: Candidate, subject: Digest, now: number): Judgement;
}

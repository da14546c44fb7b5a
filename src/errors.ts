/**
 * Every way in which Pinnace says no. Promises: a closed table of codes, each of one kind, and the kind is all that
 * outer rooms look at. Refuses to know: HTTP statuses (http/) and exit codes (cli/), which are derived from the kind.
 */

/** What a caller may do about it: fix the input, give up, look elsewhere, distrust the source, or try later. */
export type Kind = 'invalid' | 'denied' | 'absent' | 'hostile' | 'unavailable';

const CODES = {
  // oci: the words themselves are wrong
  DIGEST_INVALID: 'invalid',
  NAME_INVALID: 'invalid',
  TAG_INVALID: 'invalid',
  REFERENCE_INVALID: 'invalid',
  REQUEST_INVALID: 'invalid',
  RANGE_INVALID: 'invalid',
  METHOD_UNSUPPORTED: 'invalid',
  MANIFEST_INVALID: 'hostile',
  MANIFEST_TOO_LARGE: 'hostile',
  // configuration and state
  USAGE: 'invalid',
  YAML_INVALID: 'invalid',
  CONFIG_INVALID: 'invalid',
  POLICY_INVALID: 'invalid',
  STATE_INVALID: 'invalid',
  STATE_NEWER: 'invalid',
  STATE_LOCKED: 'unavailable',
  FILE_UNREADABLE: 'unavailable',
  FILE_EXISTS: 'invalid',
  PORT_TAKEN: 'unavailable',
  SECRET_EXPOSED: 'invalid',
  PASSPHRASE_WRONG: 'invalid',
  // identity
  TOKEN_INVALID: 'invalid',
  CREDENTIAL_INVALID: 'hostile',
  CREDENTIAL_EXPIRED: 'denied',
  CREDENTIAL_FOREIGN: 'denied',
  CREDENTIAL_STOLEN: 'hostile',
  CREDENTIAL_REVOKED: 'denied',
  ROLE_MISSING: 'denied',
  ROSTER_INVALID: 'hostile',
  ROSTER_ROLLBACK: 'hostile',
  ROSTER_EXPIRED: 'denied',
  // peers
  PEER_REFUSED: 'denied',
  PEER_UNREACHABLE: 'unavailable',
  HANDSHAKE_TIMEOUT: 'hostile',
  FRAME_INVALID: 'hostile',
  STATEMENT_INVALID: 'hostile',
  STATEMENT_REPLAYED: 'hostile',
  STATEMENT_FUTURE: 'hostile',
  LANE_REFUSED: 'denied',
  LANE_STALLED: 'hostile',
  LANE_CLOSED: 'unavailable',
  LIMIT_EXCEEDED: 'hostile',
  // content
  CONTENT_ABSENT: 'absent',
  CONTENT_TRUNCATED: 'hostile',
  CHUNK_MISMATCH: 'hostile',
  DIGEST_MISMATCH: 'hostile',
  SIZE_MISMATCH: 'hostile',
  PROOF_INVALID: 'hostile',
  PROOF_REFUTED: 'hostile',
  STORE_CORRUPT: 'hostile',
  STORE_UNAVAILABLE: 'unavailable',
  ARCHIVE_INVALID: 'invalid',
  SPOOL_FULL: 'absent',
  // policy and names
  DENIED: 'denied',
  TAG_UNPINNED: 'absent',
  TAG_UNDECIDED: 'absent',
  NOT_SHARED: 'absent',
  NOT_MIRRORED: 'absent',
  PIN_MISSING: 'denied',
  PIN_MISMATCH: 'denied',
  SIGNATURE_MISSING: 'denied',
  SIGNATURE_UNTRUSTED: 'denied',
  ATTESTATION_MISSING: 'denied',
  ATTESTATION_UNTRUSTED: 'denied',
  POLICY_EXPIRED: 'denied',
  POLICY_ROLLBACK: 'hostile',
  POLICY_UNSIGNED: 'denied',
  BUNDLE_INVALID: 'hostile',
  PINS_INVALID: 'invalid',
  CLIENT_UNAUTHORIZED: 'absent',
  // the rest
  AUDIT_UNAVAILABLE: 'unavailable',
  TIMED_OUT: 'unavailable',
  STOPPED: 'unavailable',
  UPSTREAM_UNAVAILABLE: 'unavailable',
} as const satisfies Record<string, Kind>;

/** One of the closed table of reason codes; it stands in logs, audit events and `--json` output. */
export type Code = keyof typeof CODES;

/** The kind of a code. */
export const kindOf = (code: Code): Kind => CODES[code];

/** The only error that rooms throw on purpose: a code, and a message saying what happened, to what, and what to do. */
export class MirrorError extends Error {
  readonly code: Code;
  readonly kind: Kind;
  /** Facts beside the code that a client may be told. */
  readonly detail: Readonly<Record<string, string>> | undefined;

  constructor(code: Code, message: string, options?: { cause?: unknown; detail?: Readonly<Record<string, string>> }) {
    super(message, options);
    this.name = 'MirrorError';
    this.code = code;
    this.kind = CODES[code];
    this.detail = options?.detail;
  }
}

/** True when `error` is a MirrorError with one of `codes`. */
export const hasCode = (error: unknown, ...codes: Code[]): error is MirrorError =>
  error instanceof MirrorError && codes.includes(error.code);

/** `error` itself when it is a MirrorError, else a MirrorError of `code` that carries it as its cause. */
export function asMirrorError(error: unknown, code: Code, what: string): MirrorError {
  if (error instanceof MirrorError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new MirrorError(code, `${what}: ${text}`, { cause: error });
}

/** A defect, not a condition: throws a plain Error, which nothing catches. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(`defect: ${what}`);
}

/**
 * How much of a life is left. Promises: one judge for rosters and credentials, wherever it is said. Refuses to know clocks
 * and where a warning goes. Spec: IDENTITY.md, "Judging".
 */

/** Less than this share of a life left is worth a warning. */
export const WARN_LIFE = 0.3;

/** What ends: milliseconds since 1970. */
export interface Life {
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** Where a life stands at `now`, in milliseconds since 1970. */
export function stageOf({ issuedAt, expiresAt }: Life, now: number): 'good' | 'ending' | 'ended' {
  if (now > expiresAt) return 'ended';
  return expiresAt - now < (expiresAt - issuedAt) * WARN_LIFE ? 'ending' : 'good';
}

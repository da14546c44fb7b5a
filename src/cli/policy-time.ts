/** Times as a person writes them, and durations as a person reads them. */
import { MirrorError } from '../errors.ts';

const UTC = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}Z)?$/;

/** Milliseconds since 1970 of an RFC 3339 time in UTC, or of the beginning of a day. @throws USAGE */
export function timeOf(text: string): number {
  const at = UTC.test(text) ? Date.parse(text) : Number.NaN;
  // 31 February parses as 3 March.
  if (!Number.isFinite(at) || !new Date(at).toISOString().startsWith(text.replace(/Z$/, '')))
    throw new MirrorError(
      'USAGE',
      `write a time as 2026-11-20T12:00:00Z, in UTC, not ${JSON.stringify(text.slice(0, 80))}`,
    );
  return at;
}

/** The time that a command line means, in ms: `--at`, or the present. @throws USAGE */
export const momentOf = ({ at }: Readonly<Record<string, unknown>>, now: number): number =>
  typeof at === 'string' ? timeOf(at) : now;
export const AT_OPTION = { at: { type: 'string' } } as const;
export const AT_USAGE = `  --at TIME     as of then, e.g. 2026-11-20T12:00:00Z (default: the present)
`;

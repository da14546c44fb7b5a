/**
 * Exceptions: one digest, under one pattern, until an end. Promises: none without an end, none for longer than 90 days.
 * Refuses to know what is excused by them. Spec: POLICY.md, "Exceptions".
 */
import { type Digest, parseDigest, type Registry, type Repository } from '../oci/oci.ts';
import type { Fields } from '../yaml.ts';
import { readPattern, readText, readTime } from './parse-values.ts';
import { parsePattern, Patterns } from './patterns.ts';

/** The most exceptions of a policy. */
export const EXCEPTIONS_MAX = 1_000;
/** The longest life of an exception after the policy was issued, in milliseconds. */
export const EXCEPTION_MAX_MS = 90 * 24 * 3_600_000;

export interface Exception {
  /** The pattern, as written. */
  readonly match: string;
  readonly digest: Digest;
  readonly reason: string;
  readonly approvedBy: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** Reads `exceptions`, at most 90 days after `issuedAt`. @throws POLICY_INVALID */
export function readExceptions(
  fields: Fields,
  issuedAt: number,
  hosts: ReadonlyMap<string, Registry>,
): readonly Exception[] {
  const exceptions = fields.list('exceptions', EXCEPTIONS_MAX).map(one => {
    const { text } = one.parse('match', () => readPattern(one.string('match'), hosts));
    const digest = one.parse('digest', () => parseDigest(one.string('digest')));
    const exception = { match: text, digest, reason: readText(one, 'reason'), approvedBy: readText(one, 'approvedBy') };
    const expiresAt = readTime(one, 'expiresAt') ?? one.fail('expiresAt', 'must be there: no exception is for ever');
    if (expiresAt > issuedAt + EXCEPTION_MAX_MS)
      one.fail('expiresAt', `must be at most ${EXCEPTION_MAX_MS / 86_400_000} days after metadata.issuedAt`);
    one.end();
    return { ...exception, expiresAt };
  });
  const seen = new Set<string>();
  for (const { match, digest } of exceptions) {
    if (seen.has(`${match} ${digest}`)) fields.fail('exceptions', `${match} with ${digest} stands twice`);
    seen.add(`${match} ${digest}`);
  }
  return exceptions;
}

/** Exceptions that can be looked up. */
export class Exceptions {
  readonly #list: readonly { readonly exception: Exception; readonly pattern: Patterns<true> }[];

  constructor(list: readonly Exception[]) {
    this.#list = list
      .toSorted((a, b) => b.expiresAt - a.expiresAt)
      .map(exception => ({
        exception,
        pattern: new Patterns([{ pattern: parsePattern(exception.match), value: true }]),
      }));
  }

  /** One that holds at `now` for the name, of that digest; of any where none is given. The one that lasts longest. */
  find(registry: Registry, repository: Repository, digest: Digest | undefined, now: number): Exception | undefined {
    return this.#list.find(
      ({ exception, pattern }) =>
        now < exception.expiresAt &&
        (digest === undefined || exception.digest === digest) &&
        pattern.find(registry, repository),
    )?.exception;
  }
}

/**
 * Tags by agreement: which digest do signed statements make of a tag? Promises: never fewer than `min` distinct signers;
 * a tag never goes back behind a newer observation; an invented digest neither answers nor blocks. Pure but for the
 * question whether a manifest can be had.
 */
import { assert } from '../errors.ts';
import type { Digest, PeerId } from '../oci/oci.ts';
import type { TagClaim } from './claims.ts';
import { CLOCK_SKEW_MS } from '../world.ts';

interface Candidate {
  readonly digest: Digest;
  /** When the `min`-th newest of its statements was observed. */
  readonly since: number;
}

/**
 * The digest that `claims` about one tag make at `now` (ms since 1970), if any: `min` distinct signers state it, it
 * exists, and no countable statement for another digest that exists was observed later than the `min`-th newest of those.
 * A statement counts while it was renewed within `keepMs`. `exists` is asked only about digests that would matter, once
 * each; it should answer true only for a manifest that was fetched and proved.
 */
export async function decideTag(
  claims: readonly TagClaim[],
  min: number,
  keepMs: number,
  now: number,
  exists: (digest: Digest) => Promise<boolean>,
): Promise<Digest | undefined> {
  assert(Number.isSafeInteger(min) && min >= 1, 'a tag needs at least one signer');
  const counted = countable(claims, keepMs, now);
  const known = new Map<Digest, Promise<boolean>>();
  const there = (digest: Digest): Promise<boolean> => {
    const answer = known.get(digest) ?? exists(digest);
    known.set(digest, answer);
    return answer;
  };
  for (const { digest, since } of candidates(counted, min)) {
    if ((await there(digest)) && !(await isContested(counted, digest, since, there))) return digest;
  }
  return undefined;
}

/** Each signer's newest statement, where it was renewed lately and is not dated ahead. */
function countable(claims: readonly TagClaim[], keepMs: number, now: number): readonly TagClaim[] {
  const newest = new Map<PeerId, TagClaim>();
  for (const claim of claims) {
    if (Math.max(claim.observedAt, claim.renewedAt) > now + CLOCK_SKEW_MS) continue;
    const other = newest.get(claim.peer);
    if (!other || isNewer(claim, other)) newest.set(claim.peer, claim);
  }
  return [...newest.values()].filter(claim => claim.renewedAt + keepMs >= now);
}

function isNewer(a: TagClaim, b: TagClaim): boolean {
  if (a.observedAt !== b.observedAt) return a.observedAt > b.observedAt;
  if (a.renewedAt !== b.renewedAt) return a.renewedAt > b.renewedAt;
  return a.digest > b.digest;
}

/** Digests with enough signers, the newest first; of two as new the greater digest, the same on every node. */
function candidates(claims: readonly TagClaim[], min: number): readonly Candidate[] {
  const times = new Map<Digest, number[]>();
  for (const { digest, observedAt } of claims) times.set(digest, [...(times.get(digest) ?? []), observedAt]);
  const found: Candidate[] = [];
  for (const [digest, observed] of times) {
    const since = observed.sort((a, b) => b - a)[min - 1];
    if (since !== undefined) found.push({ digest, since });
  }
  return found.sort((a, b) => b.since - a.since || (a.digest < b.digest ? 1 : -1));
}

async function isContested(
  claims: readonly TagClaim[],
  digest: Digest,
  since: number,
  there: (digest: Digest) => Promise<boolean>,
): Promise<boolean> {
  const later = claims.filter(claim => claim.digest !== digest && claim.observedAt > since);
  for (const other of new Set(later.map(claim => claim.digest))) if (await there(other)) return true;
  return false;
}

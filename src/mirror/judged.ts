/**
 * Everything that this node has or has learnt, judged by the policy in force: which images may be used under their names,
 * which of them others may know of, and when to judge again. Promises: what is refused is in neither. Runs at each look at
 * the store and at each reload.
 */
import { formatReference, parseReference } from '../oci/oci.ts';
import type { Policy, Rule } from '../policy/policy.ts';
import { type AdmitRooms, rulingOn } from './admit.ts';
import type { Closure, Shared } from './catalogue.ts';
import type { Pace } from './pace.ts';
import type { Rooms } from './rooms.ts';

/** What was refused for want of signatures is judged again after so many ms: they may have come to another node. */
const AGAIN_MS = 60_000;

export interface Judged {
  readonly admitted: readonly Closure[];
  readonly shared: readonly Shared[];
  /** When a verdict ends or may become another; ms since 1970, Infinity where none does. */
  readonly againAt: number;
}

/** Judges one after the other, at `pace`. @throws AUDIT_UNAVAILABLE */
export async function judgeAll(rooms: AdmitRooms, closures: readonly Closure[], pace: Pace): Promise<Judged> {
  const policy = rooms.policy();
  const admitted: Closure[] = [];
  const shared: Shared[] = [];
  let againAt = Infinity;
  for (const closure of closures) {
    const { registry, repository } = closure.reference;
    // What is not mirrored is nobody's business, whatever a rule says of it.
    if (policy.registry(registry) !== registry) continue;
    const named = { ...closure.reference, digest: closure.target.digest };
    const ruling = await pace.after(() => rulingOn(rooms, named));
    againAt = Math.min(againAt, ruling.until ?? Infinity, ruling.allowed ? Infinity : rooms.world.now() + AGAIN_MS);
    if (!ruling.allowed) continue;
    admitted.push(closure);
    const image = sharedBy(policy, policy.rule(registry, repository), closure);
    if (image) shared.push(image);
  }
  return { admitted, shared, againAt };
}

function sharedBy(policy: Policy, rule: Rule, closure: Closure): Shared | undefined {
  const { share } = rule;
  if (!share) return undefined;
  const { zones, roles, maxBytes = Infinity } = share;
  const contents = closure.contents.filter(({ size }) => size <= maxBytes);
  const limited = zones !== undefined || roles !== undefined;
  return {
    ...closure,
    contents,
    rule: rule.name,
    ...(limited ? { audience: node => policy.shares(rule, node, 0) } : {}),
  };
}

/**
 * What was learnt through the mirror and is no longer allowed is forgotten, with all that only it lists. What an image in
 * the store lists has inherited. Answers when to look again, as `judgeAll`. @throws AUDIT_UNAVAILABLE
 */
export async function judgeLearnt(rooms: AdmitRooms & Pick<Rooms, 'catalogue'>, pace: Pace): Promise<number> {
  const { catalogue, policy, world } = rooms;
  let againAt = Infinity;
  for (const { owner, digest } of catalogue.roots()) {
    if (catalogue.holds(owner, digest)) continue;
    const named = { ...parseReference(owner), digest };
    const byName = policy().pull(named, world.now());
    const { allowed, until = Infinity } = byName.allowed ? await pace.after(() => rulingOn(rooms, named)) : byName;
    if (allowed) againAt = Math.min(againAt, until);
    else {
      rooms.log.info({ reference: formatReference(named) }, `${owner}: ${digest} is no longer allowed`);
      catalogue.forget(owner, digest);
    }
  }
  return againAt;
}

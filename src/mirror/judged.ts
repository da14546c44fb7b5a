/**
 * Everything that this node has or has learnt, judged by the policy in force: which images may be used under their names,
 * which of them others may know of, and when to judge again. Promises: what is refused is in neither. Runs at each look at
 * the store and at each reload.
 */
import { formatReference, parseReference } from '../oci/oci.ts';
import type { Policy, Rule, Ruling } from '../policy/policy.ts';
import { type AdmitRooms, type Named, rulingHere, rulingOn } from './admit.ts';
import type { Closure, Shared } from './catalogue.ts';
import type { Pace } from './pace.ts';
import type { Rooms } from './rooms.ts';

/** What was refused for want of signatures is judged again after so many ms: they may have come to another node. */
const AGAIN_MS = 60_000;
/** In one look others are asked for signatures for so many ms: what is refused must not stay while somebody lets us wait. */
export const SEARCHES_MS = 10_000;
/** Searches at once: each may have a MiB of each of many nodes in memory. */
const SEARCHES_AT_ONCE = 4;

export interface Judged {
  readonly admitted: readonly Closure[];
  readonly shared: readonly Shared[];
  /** When a verdict ends or may become another; ms since 1970, Infinity where none does. */
  readonly againAt: number;
}

/** How a look judges: at `pace`, and it asks others until `until`, monotonic ms. */
export interface Look {
  readonly pace: Pace;
  readonly until: number;
}

/** Judges all. @throws AUDIT_UNAVAILABLE */
export async function judgeAll(rooms: AdmitRooms, closures: readonly Closure[], look: Look): Promise<Judged> {
  const policy = rooms.policy();
  const admitted: Closure[] = [];
  const shared: Shared[] = [];
  let againAt = Infinity;
  // What is not mirrored is nobody's business, whatever a rule says of it.
  const mirrored = closures.filter(({ reference: { registry } }) => policy.registry(registry) === registry);
  const rulings = await rulingsOn(
    rooms,
    mirrored.map(({ reference, target }) => ({ ...reference, digest: target.digest })),
    look,
  );
  for (const [at, closure] of mirrored.entries()) {
    const { registry, repository } = closure.reference;
    const ruling = rulings[at]!;
    againAt = Math.min(againAt, ruling.until ?? Infinity, ruling.allowed ? Infinity : rooms.world.now() + AGAIN_MS);
    if (!ruling.allowed) continue;
    admitted.push(closure);
    const image = sharedBy(policy, policy.rule(registry, repository), closure);
    if (image) shared.push(image);
  }
  return { admitted, shared, againAt };
}

/** The ruling on each, first by what is here: who lets us wait for some holds no others up, and none for long. */
async function rulingsOn(rooms: AdmitRooms, names: readonly Named[], { pace, until }: Look): Promise<Ruling[]> {
  const { world } = rooms;
  const rulings: Ruling[] = [];
  const open: number[] = [];
  for (const [at, named] of names.entries()) {
    const ruling = await pace.after(() => rulingHere(rooms, named, false));
    if (ruling) rulings[at] = ruling;
    else open.push(at);
  }
  const next = async (): Promise<void> => {
    while (open.length) {
      // By chance: in the next look others are the first.
      const drawn = new DataView(world.random(4).buffer).getUint32(0) % open.length;
      const [at] = open.splice(drawn, 1) as [number];
      const late = world.monotonic() >= until ? await rulingHere(rooms, names[at]!, true) : undefined;
      rulings[at] = late ?? (await rulingOn(rooms, names[at]!));
    }
  };
  await Promise.all(Array.from({ length: SEARCHES_AT_ONCE }, next));
  return rulings;
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
export async function judgeLearnt(rooms: AdmitRooms & Pick<Rooms, 'catalogue'>, look: Look): Promise<number> {
  const { catalogue, policy, world } = rooms;
  let againAt = Infinity;
  const judge = ({ named, owner }: (typeof learnt)[number], { allowed, until = Infinity }: Ruling): void => {
    if (allowed) againAt = Math.min(againAt, until);
    else {
      rooms.log.info({ reference: formatReference(named) }, `${owner}: ${named.digest} is no longer allowed`);
      catalogue.forget(owner, named.digest);
    }
  };
  const learnt = catalogue
    .roots()
    .filter(({ owner, digest }) => !catalogue.holds(owner, digest))
    .map(({ owner, digest }) => ({ owner, named: { ...parseReference(owner), digest } }));
  const byName = learnt.map(one => ({ ...one, ruling: policy().pull(one.named, world.now()) }));
  for (const one of byName) if (!one.ruling.allowed) judge(one, one.ruling);
  const open = byName.filter(({ ruling }) => ruling.allowed);
  const rulings = await rulingsOn(
    rooms,
    open.map(({ named }) => named),
    look,
  );
  for (const [at, one] of open.entries()) judge(one, rulings[at]!);
  return againAt;
}

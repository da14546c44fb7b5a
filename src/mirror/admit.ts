/**
 * Does a digest show what policy asks for under that name? Its signatures are looked for here, in the store and at the
 * nodes that hold it, and judged; policy then decides. Promises: judged by digest alone, before any of its bytes is looked
 * for; recorded before it counts; asked again it costs nothing while it holds. What an index lists inherits through the
 * index, by the catalogue. Refuses to know formats of signatures. Spec: policy/POLICY.md.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { type Digest, formatReference, type Reference } from '../oci/oci.ts';
import type { Policy, Ruling } from '../policy/policy.ts';
import type { Attachment } from '../store/store.ts';
import type { Judgement, Signers } from '../trust/trust.ts';
import { artifactsAt, type Fetched } from './artifacts.ts';
import { candidatesIn, type Read, readAttachment } from './candidates.ts';
import type { Rooms } from './rooms.ts';
import { type Bonded, bondedKey, type Named } from './verdicts.ts';

export type AdmitRooms = Pick<
  Rooms,
  'world' | 'policy' | 'signers' | 'attachments' | 'verdicts' | 'admitted' | 'peers' | 'audit' | 'log' | 'life'
>;

export type { Named } from './verdicts.ts';

/** Judging hands others their turn after so many ms: what a stranger offers may be much work. */
const TURN_MS = 10;

/** Policy's ruling on a digest under a name. Who asks at once shares one search. @throws AUDIT_UNAVAILABLE */
export function rulingOn(rooms: AdmitRooms, named: Named): Promise<Ruling> {
  const policy = rooms.policy();
  const known = rooms.verdicts.of(named, policy.hash, rooms.world.now());
  if (known) return Promise.resolve(known);
  return rooms.verdicts.share(named, policy.hash, () => decide(rooms, named, policy));
}

/**
 * The ruling by what is here: undefined where others must be asked, unless it is to be the `last` word for now. A no of that
 * kind is no verdict: it is neither kept nor recorded. @throws AUDIT_UNAVAILABLE
 */
export async function rulingHere(rooms: AdmitRooms, named: Named, last: boolean): Promise<Ruling | undefined> {
  const policy = rooms.policy();
  const known = rooms.verdicts.of(named, policy.hash, rooms.world.now());
  if (known) return known;
  if (!policy.needsSignatures(named, named.digest, rooms.world.now())) return rulingOn(rooms, named);
  const here = await judge(rooms, named, policy, false);
  if (isPlain(here)) return rulingOn(rooms, named);
  return last ? rooms.admitted.over(here, named, policy, rooms.world.now()) : undefined;
}

/** @throws what policy refuses it with: DENIED, PIN_MISMATCH, SIGNATURE_*, ATTESTATION_*, POLICY_EXPIRED; AUDIT_UNAVAILABLE */
export async function admit(rooms: AdmitRooms, named: Named): Promise<void> {
  refuse(named, await rulingOn(rooms, named));
}

/** @throws the ruling's code, where it is a no */
export function refuse(reference: Reference, { allowed, code, rule, detail }: Ruling): void {
  if (!allowed)
    throw new MirrorError(code ?? 'DENIED', `${formatReference(reference)} is refused by ${rule}: ${detail}`, {
      detail: { rule },
    });
}

async function decide(rooms: AdmitRooms, named: Named, policy: Policy): Promise<Ruling> {
  const { world, verdicts, admitted } = rooms;
  const before = verdicts.last(named);
  const ruling = admitted.over(await judge(rooms, named, policy), named, policy, world.now());
  await record(rooms, named, ruling, before);
  verdicts.keep(named, ruling, policy.hash, world.now());
  return ruling;
}

/** Whom to ask about signatures of what. */
interface Asking {
  readonly subject: Digest;
  readonly signers: Signers;
  /** What names these signers: authorities and roots, and how many of the keys have begun to count. */
  readonly by: string;
  /** When others had their turn last; monotonic ms. */
  turnAt: number;
}

function askingOf(rooms: AdmitRooms, subject: Digest, { authorities }: Policy): Asking {
  const { world } = rooms;
  const signers = rooms.signers();
  const begun = [...authorities.values()].filter(one => one.kind === 'key' && (one.notBefore ?? 0) <= world.now());
  return { subject, signers, by: `${signers.id} ${begun.length}`, turnAt: world.monotonic() };
}

/** Looks for signatures only where policy asks for some, and no further than to the first yes. */
async function judge(rooms: AdmitRooms, named: Named, policy: Policy, askOthers = true): Promise<Ruling> {
  const { world, attachments, verdicts } = rooms;
  const { digest } = named;
  if (!policy.needsSignatures(named, digest, world.now())) return policy.admit(named, digest, [], world.now());
  const asking = askingOf(rooms, digest, policy);
  const found = new Map<string, readonly Judgement[]>();
  const ruling = (): Ruling => {
    const all = [...found.values()].flat();
    const refused = all.filter(({ signed }) => !signed.length).length;
    const signed = all.flatMap(one => one.signed);
    return policy.admit(named, digest, signed, world.now(), refused);
  };
  for (const attachment of attachments.of(digest)) {
    const artifact = { bond: attachment.bond, digest: attachment.manifest.digest };
    found.set(bondedKey(artifact), await ofAttachment(rooms, artifact, attachment, asking));
  }
  const here = ruling();
  if (isPlain(here) || !askOthers) return here;
  const known = (artifact: Bonded): boolean => {
    if (found.get(bondedKey(artifact))?.length) return true;
    const before = verdicts.known(artifact, digest, asking.by);
    if (before) found.set(bondedKey(artifact), before);
    return before !== undefined;
  };
  for await (const fetched of artifactsAt(rooms, digest, known)) {
    const artifact = { bond: fetched.bond, digest: fetched.digest };
    const shown = await shownBy(rooms, artifact, fetched, asking);
    found.set(bondedKey(artifact), shown);
    if (!shown.some(({ signed }) => signed.length)) continue;
    await keep(rooms, fetched);
    const now = ruling();
    if (isPlain(now)) return now;
  }
  return ruling();
}

/** True where an artifact is signed by an authority of the policy in force; judged once. */
export async function holdsForSome(rooms: AdmitRooms, fetched: Fetched): Promise<boolean> {
  const { bond, digest, subject } = fetched;
  const shown = await shownBy(rooms, { bond, digest }, fetched, askingOf(rooms, subject, rooms.policy()));
  return shown.some(({ signed }) => signed.length > 0);
}

/** A yes that asks for nothing more. */
const isPlain = ({ allowed, code }: Ruling): boolean => allowed && code === undefined;

async function ofAttachment(
  rooms: AdmitRooms,
  artifact: Bonded,
  attachment: Attachment,
  asking: Asking,
): Promise<readonly Judgement[]> {
  const { verdicts, attachments, log } = rooms;
  const before = verdicts.known(artifact, asking.subject, asking.by);
  if (before) return before;
  try {
    return await shownBy(rooms, artifact, await readAttachment(attachments, attachment), asking);
  } catch (error) {
    const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', `reading ${artifact.digest}`);
    log.warn({ digest: artifact.digest, code }, message);
    return [];
  }
}

/** What an artifact shows, judged now if it was not before. */
async function shownBy(
  { world, verdicts, life }: AdmitRooms,
  artifact: Bonded,
  read: Read,
  asking: Asking,
): Promise<readonly Judgement[]> {
  const { subject, signers, by } = asking;
  const before = verdicts.known(artifact, subject, by);
  if (before) return before;
  const found: Judgement[] = [];
  for (const candidate of candidatesIn(read)) {
    if (world.monotonic() > asking.turnAt + TURN_MS) {
      await world.sleep(0, life);
      asking.turnAt = world.monotonic();
    }
    found.push(signers.judge(candidate, subject, world.now()));
  }
  return verdicts.judged(artifact, subject, by, () => found);
}

/** Keeps an artifact, so that this node can show it to others. That it cannot be kept changes no verdict. */
export async function keep({ attachments, audit, log }: AdmitRooms, fetched: Fetched): Promise<void> {
  const { subject, digest } = fetched;
  try {
    await attachments.keep(fetched, fetched.contents);
    await audit.record({ event: 'attachment.kept', subject, digest, source: 'peer' });
  } catch (error) {
    const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', `keeping ${fetched.digest}`);
    log.warn({ digest: fetched.digest, code }, message);
  }
}

/** A verdict is recorded when it is new: what is asked every second is not told every second. */
async function record({ audit }: AdmitRooms, named: Named, ruling: Ruling, before: Ruling | undefined): Promise<void> {
  if (before && before.allowed === ruling.allowed && before.code === ruling.code && before.rule === ruling.rule) return;
  const { allowed, code, rule, detail, exception } = ruling;
  const common = { reference: formatReference(named), digest: named.digest, rule };
  if (exception) await audit.record({ event: 'exception.used', ...common, ...exception });
  else if (!allowed) await audit.record({ event: 'image.refused', ...common, code: code ?? 'DENIED', detail });
  else if (code !== undefined) await audit.record({ event: 'image.passed', ...common, code, detail });
  else await audit.record({ event: 'image.admitted', ...common, detail });
}

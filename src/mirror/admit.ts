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
import type { Candidate, Judgement, Signed, Signers } from '../trust/trust.ts';
import { artifactsAt, type Fetched } from './artifacts.ts';
import { candidatesIn, readAttachment } from './candidates.ts';
import { ownerOf } from './catalogue.ts';
import type { Rooms } from './rooms.ts';

export type AdmitRooms = Pick<
  Rooms,
  'world' | 'policy' | 'signers' | 'attachments' | 'verdicts' | 'peers' | 'audit' | 'log' | 'life'
>;

/** A reference whose digest is known: asked for, or what its tag was resolved to. */
export type Named = Reference & { readonly digest: Digest };

/** Policy's ruling on a digest under a name. Who asks at once shares one search. @throws AUDIT_UNAVAILABLE */
export function rulingOn(rooms: AdmitRooms, named: Named): Promise<Ruling> {
  const policy = rooms.policy();
  const known = rooms.verdicts.of(ownerOf(named), named.digest, policy.hash, rooms.world.now());
  if (known) return Promise.resolve(known);
  return rooms.verdicts.share(ownerOf(named), named.digest, policy.hash, () => decide(rooms, named, policy));
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
  const { world, verdicts } = rooms;
  const before = verdicts.last(ownerOf(named), named.digest);
  const ruling = await judge(rooms, named, policy);
  await record(rooms, named, ruling, before);
  verdicts.keep(ownerOf(named), named.digest, ruling, policy.hash, world.now());
  return ruling;
}

/** Looks for signatures only where policy asks for some, and no further than to the first yes. */
async function judge(rooms: AdmitRooms, named: Named, policy: Policy): Promise<Ruling> {
  const { world, attachments } = rooms;
  const { digest } = named;
  if (!policy.needsSignatures(named, digest, world.now())) return policy.admit(named, digest, [], world.now());
  const signers = rooms.signers();
  const signed: Signed[] = [];
  const ruling = (): Ruling => policy.admit(named, digest, signed, world.now());
  for (const attachment of attachments.of(digest))
    signed.push(...(await ofAttachment(rooms, attachment, signers, policy)));
  let latest = ruling();
  if (latest.allowed && latest.code === undefined) return latest;
  const known = (artifact: Digest): boolean => rooms.verdicts.knows(artifact, digest, policy.hash);
  for await (const fetched of artifactsAt(rooms, digest, known)) {
    const found = shown(rooms, fetched.digest, digest, candidatesIn(fetched), signers, policy);
    if (!found.length) continue;
    await keep(rooms, fetched);
    signed.push(...found);
    latest = ruling();
    if (latest.allowed && latest.code === undefined) return latest;
  }
  return latest;
}

async function ofAttachment(
  rooms: AdmitRooms,
  attachment: Attachment,
  signers: Signers,
  policy: Policy,
): Promise<readonly Signed[]> {
  try {
    const read = await readAttachment(rooms.attachments, attachment);
    return shown(rooms, attachment.manifest.digest, attachment.subject, candidatesIn(read), signers, policy);
  } catch (error) {
    const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', `reading ${attachment.manifest.digest}`);
    rooms.log.warn({ digest: attachment.manifest.digest, code }, message);
    return [];
  }
}

function shown(
  { verdicts, world }: AdmitRooms,
  artifact: Digest,
  subject: Digest,
  candidates: readonly Candidate[],
  signers: Signers,
  policy: Policy,
): readonly Signed[] {
  const judge = (): Judgement[] => candidates.map(candidate => signers.judge(candidate, subject, world.now()));
  return verdicts.judged(artifact, subject, policy.hash, judge).flatMap(({ signed }) => signed);
}

/** What holds is kept, so that this node can show it to others. That it cannot be kept changes no verdict. */
async function keep({ attachments, log }: AdmitRooms, fetched: Fetched): Promise<void> {
  try {
    await attachments.keep(fetched, fetched.contents);
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

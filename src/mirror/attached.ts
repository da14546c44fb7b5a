/**
 * What is attached to an image, for clients that verify it themselves: the referrers API, its fallback tag, cosign's `.sig`
 * and `.att` tags, and what these list. Promises: only of a subject that may be pulled under that name; these tags are never
 * decided by `tags` or pins. Refuses to know what a signature shows. Spec: OCI distribution-spec, "Listing Referrers".
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import {
  attachmentTag,
  type Descriptor,
  type Digest,
  digestOf,
  formatReference,
  formatReferrers,
  OCI_INDEX,
  type PullRequest,
  type Reference,
} from '../oci/oci.ts';
import { ATTACHMENT_MAX_BYTES, type Attachment } from '../store/store.ts';
import { holdsForSome, keep, refuse } from './admit.ts';
import { artifactsAt } from './artifacts.ts';
import { ownerOf } from './catalogue.ts';
import { manifestOf } from './manifests.ts';
import { readProved } from './read-proved.ts';
import type { Rooms } from './rooms.ts';

/** Artifacts that are taken from others unjudged, for one subject, where policy asks for no signatures. */
const UNJUDGED_MAX = 32;
/** Nothing more is taken unjudged once so much of the room is used: the rest is for what counts. */
const UNJUDGED_FILL = 0.5;
/** Subjects that are looked for because an artifact about them has the content that is asked for: many have the empty one. */
const SUBJECTS_MAX = 4;

/** A small content in memory, and its descriptor. */
export interface Attached {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

type AttachedRooms = Parameters<typeof manifestOf>[0] & Pick<Rooms, 'attachments'>;

/** True where a request asks for something that is attached to an image; `name` has the registry's own name. */
export function asksForAttached(
  rooms: Pick<Rooms, 'attachments' | 'catalogue'>,
  { kind }: PullRequest,
  name: Reference,
): boolean {
  if (kind === 'referrers') return true;
  const { tag, digest } = name;
  if (digest === undefined) return tag !== undefined && attachmentTag(tag) !== undefined;
  return rooms.attachments.owners(digest).length > 0 && !rooms.catalogue.describe(ownerOf(name), digest);
}

/** Answers such a request; `name` has the registry's own name. @throws what policy refuses the subject with, CONTENT_ABSENT */
export async function attached(rooms: AttachedRooms, request: PullRequest, name: Reference): Promise<Attached> {
  const { registry, repository } = name;
  const subject = { registry, repository };
  if (request.kind === 'referrers') {
    const listed = await listOf(rooms, { ...subject, digest: request.reference.digest });
    const wanted = request.artifactType;
    return listing(wanted === undefined ? listed : listed.filter(({ artifactType }) => artifactType === wanted));
  }
  const tag = name.tag && attachmentTag(name.tag);
  if (!tag) return part(rooms, request, { ...subject, digest: name.digest! });
  const attachments = await listOf(
    rooms,
    { ...subject, digest: tag.subject },
    tag.bond === 'index' ? 'subject' : tag.bond,
  );
  if (!attachments.length) throw absent(name);
  return tag.bond === 'index' ? listing(attachments) : whole(rooms, attachments[0]!.manifest);
}

type Subject = Pick<Reference, 'registry' | 'repository'> & { readonly digest: Digest };

const absent = (reference: Reference): MirrorError =>
  new MirrorError('CONTENT_ABSENT', `${formatReference(reference)}: nothing of the kind is attached here`);

/** What is attached to a subject that may be pulled under its name. */
async function listOf(rooms: AttachedRooms, subject: Subject, bond = 'subject'): Promise<readonly Attachment[]> {
  await pullable(rooms, subject);
  await collect(rooms, subject);
  return rooms.attachments.of(subject.digest).filter(one => one.bond === bond);
}

/** @throws what policy refuses it with, CONTENT_ABSENT where the name does not reach it */
async function pullable(rooms: AttachedRooms, subject: Subject): Promise<void> {
  refuse(subject, rooms.policy().pull(subject, rooms.world.now()));
  if (!rooms.catalogue.describe(ownerOf(subject), subject.digest)) await manifestOf(rooms, subject);
}

/**
 * What other nodes have: where policy asks for signatures, what its authorities signed, also beyond what the verdict needed;
 * else some, as it is. At most once in a while: a client asks several times.
 */
async function collect(rooms: AttachedRooms, subject: Subject): Promise<void> {
  const { attachments, policy, verdicts, world } = rooms;
  if (!verdicts.mayCollect(subject.digest, world.monotonic())) return;
  const judged = policy().needsSignatures(subject, subject.digest, world.now());
  if (!judged && attachments.fill >= UNJUDGED_FILL) return;
  let left = UNJUDGED_MAX;
  const here = ({ digest }: { readonly digest: Digest }): boolean => attachments.owners(digest).length > 0;
  for await (const fetched of artifactsAt(rooms, subject.digest, here)) {
    if (judged && !(await holdsForSome(rooms, fetched))) continue;
    await keep(rooms, fetched);
    left -= 1;
    if (left === 0) return;
  }
}

/** A manifest or blob of an attachment whose subject may be pulled under that name. */
async function part(rooms: AttachedRooms, request: PullRequest, name: Subject): Promise<Attached> {
  const { registry, repository, digest } = name;
  const kind = request.kind === 'manifest';
  const owners = rooms.attachments.owners(digest);
  const isKnown = ({ subject }: Attachment): boolean => rooms.catalogue.describe(ownerOf(name), subject) !== undefined;
  const others = owners.filter(one => !isKnown(one)).slice(0, SUBJECTS_MAX);
  for (const { subject, manifest, contents } of [...owners.filter(isKnown), ...others]) {
    const descriptor = kind ? manifest : contents.find(content => content.digest === digest);
    if (!descriptor || descriptor.digest !== digest) continue;
    try {
      await pullable(rooms, { registry, repository, digest: subject });
    } catch (error) {
      if (asMirrorError(error, 'CONTENT_ABSENT', 'a subject').kind === 'unavailable') throw error;
      continue;
    }
    return whole(rooms, descriptor);
  }
  throw absent(name);
}

async function whole(rooms: AttachedRooms, descriptor: Descriptor): Promise<Attached> {
  const content = await rooms.attachments.open(descriptor.digest);
  if (!content) throw new MirrorError('CONTENT_ABSENT', `${descriptor.digest} is not among the attachments any more`);
  const { mediaType, digest, size } = descriptor;
  return { descriptor: { mediaType, digest, size }, bytes: await readProved(content, ATTACHMENT_MAX_BYTES) };
}

function listing(attachments: readonly Attachment[]): Attached {
  const bytes = formatReferrers(attachments);
  return { descriptor: { mediaType: OCI_INDEX, digest: digestOf(bytes, 'sha256'), size: bytes.length }, bytes };
}

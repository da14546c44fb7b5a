/**
 * The attachments in what is imported: artifacts with a subject, what stands under the tags of attachments, what cosign
 * saved. Promises: a manifest's own words decide what it is about, wherever a tag alone cannot say so; every byte is hashed
 * when it is kept. Refuses to know archives and folders.
 */
import { hasCode, MirrorError } from '../errors.ts';
import {
  type Artifact,
  attachmentTag,
  type Descriptor,
  type Digest,
  DOCKER_CONFIG,
  isImageType,
  OCI_CONFIG,
  parseArtifact,
  parseManifest,
} from '../oci/oci.ts';
import { type Bound, readAttachment } from './attachments-checked.ts';
import type { Contents } from './layout-walk.ts';
import { ATTACHMENT_MAX_BYTES, type Attachment, type Attachments } from './store.ts';

/** How `cosign save` annotates the entries of its layouts. */
const COSIGN = 'dev.cosignproject.cosign/';

/** What a source says that it has: a target, what it is called there, and what cosign says that it is. */
export interface Offered {
  readonly target: Descriptor;
  readonly names: readonly string[];
  readonly kind?: string;
}

/** An entry of a source that is about another content; `index` is a listing of such. */
export interface OfferedAttachment {
  readonly target: Descriptor;
  readonly subject: Digest;
  readonly bond: Bound['bond'] | 'index';
}

/** Tells attachments from images. @throws ARCHIVE_INVALID where cosign's signatures lie beside no image, or several */
export async function sortOffered(
  contents: Contents,
  offered: readonly Offered[],
): Promise<{ readonly images: readonly Offered[]; readonly attachments: readonly OfferedAttachment[] }> {
  const images: Offered[] = [];
  const attachments: OfferedAttachment[] = [];
  for (const one of offered) {
    const about = byName(one.names) ?? bySave(one, offered) ?? (await bySubject(contents, one.target));
    if (about) attachments.push({ target: one.target, ...about });
    else images.push(one);
  }
  return { images, attachments };
}

type About = Omit<OfferedAttachment, 'target'>;

function byName(names: readonly string[]): About | undefined {
  for (const name of names) {
    const about = attachmentTag(name.slice(name.lastIndexOf(':') + 1));
    if (about) return about;
  }
  return undefined;
}

function bySave({ kind }: Offered, offered: readonly Offered[]): About | undefined {
  const bond = kind === `${COSIGN}sigs` ? 'sig' : kind === `${COSIGN}atts` ? 'att' : undefined;
  if (!bond) return undefined;
  const signed = offered.filter(one => one.kind === `${COSIGN}image` || one.kind === `${COSIGN}imageIndex`);
  const [only] = signed;
  if (!only || signed.some(({ target }) => target.digest !== only.target.digest))
    throw new MirrorError(
      'ARCHIVE_INVALID',
      `the source has signatures, and ${signed.length} images that they may be of`,
    );
  return { bond, subject: only.target.digest };
}

async function bySubject(contents: Contents, target: Descriptor): Promise<About | undefined> {
  if (!isImageType(target.mediaType)) return undefined;
  const artifact = await readSmall(contents, target);
  // An image that says what it was made from, or the like, is an image.
  if (!artifact?.subject || [OCI_CONFIG, DOCKER_CONFIG].includes(artifact.artifactType)) return undefined;
  return { subject: artifact.subject.digest, bond: 'subject' };
}

/** The manifest of a target, where it is there and may be one of an attachment. */
async function readSmall(contents: Contents, target: Descriptor): Promise<Artifact | undefined> {
  if (target.size > ATTACHMENT_MAX_BYTES || !(await contents.find(target))) return undefined;
  try {
    return parseArtifact(await contents.read(target));
  } catch (error) {
    if (!hasCode(error, 'MANIFEST_INVALID')) throw error;
    return undefined;
  }
}

/**
 * Keeps what was offered. Of a listing, what is not there or is about something else is left out.
 * @throws CONTENT_ABSENT, LIMIT_EXCEEDED, MANIFEST_*, SIZE_MISMATCH, DIGEST_MISMATCH, FILE_UNREADABLE
 */
export async function keepOffered(
  contents: Contents,
  attachments: Pick<Attachments, 'keep'>,
  offered: readonly OfferedAttachment[],
): Promise<{ readonly kept: readonly Attachment[]; readonly leftOut: readonly Digest[] }> {
  const kept: Attachment[] = [];
  const leftOut: Digest[] = [];
  for (const { target, subject, bond } of offered) {
    if (bond !== 'index' || isImageType(target.mediaType)) {
      kept.push(await keepOne(contents, attachments, target, subject, bond === 'index' ? 'subject' : bond));
      continue;
    }
    for (const listed of await listedIn(contents, target)) {
      const artifact = await readSmall(contents, listed);
      if (artifact?.subject?.digest === subject)
        kept.push(await keepOne(contents, attachments, listed, subject, 'subject'));
      else leftOut.push(listed.digest);
    }
  }
  return { kept, leftOut };
}

async function listedIn(contents: Contents, target: Descriptor): Promise<readonly Descriptor[]> {
  await mustFind(contents, target);
  const index = parseManifest(await contents.read(target));
  if (index.kind === 'index') return index.manifests;
  throw new MirrorError('MANIFEST_INVALID', `${target.digest} is no index, though it is named as one`);
}

async function keepOne(
  contents: Contents,
  attachments: Pick<Attachments, 'keep'>,
  target: Descriptor,
  subject: Digest,
  bond: Bound['bond'],
): Promise<Attachment> {
  if (target.size > ATTACHMENT_MAX_BYTES)
    throw new MirrorError(
      'LIMIT_EXCEEDED',
      `${target.digest}, about ${subject}, has ${target.size} bytes: at most ${ATTACHMENT_MAX_BYTES} are kept`,
    );
  await mustFind(contents, target);
  const bound = { subject, bond, manifest: await contents.read(target) };
  const bytes = new Map<Digest, Uint8Array>();
  // Read as an attachment first: what it lists is small then.
  for (const listed of readAttachment(bound).contents) {
    await mustFind(contents, listed);
    bytes.set(listed.digest, await contents.read(listed));
  }
  return attachments.keep(bound, bytes);
}

async function mustFind(contents: Contents, descriptor: Descriptor): Promise<void> {
  if (!(await contents.find(descriptor)))
    throw new MirrorError(
      'CONTENT_ABSENT',
      `${descriptor.digest} is not in the source: export it with all that it lists`,
    );
}

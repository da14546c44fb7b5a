/**
 * What may be kept as an attachment. Promises: the manifest names its subject by the bond that is said, everything that it
 * lists is there with its digest and size, all together is small, and no runtime can run it: whatever is attached to an image
 * can be had beside it, and policy judged that image alone. Refuses to know whether any signature in it holds.
 */
import { MirrorError } from '../errors.ts';
import {
  algorithmOf,
  type Artifact,
  type Digest,
  digestOf,
  DOCKER_CONFIG,
  OCI_CONFIG,
  OCI_MANIFEST,
  parseArtifact,
} from '../oci/oci.ts';
import { ATTACHMENT_MAX_BYTES, type Attachment, type Bond } from './store.ts';

/** A layer of these types is what a manifest under cosign's tags must have. */
const LAYER_OF: Readonly<Record<Exclude<Bond, 'subject'>, string>> = {
  sig: 'application/vnd.dev.cosign.simplesigning.v1+json',
  att: 'application/vnd.dsse.envelope.v1+json',
};

/** A manifest, and what it is said to be about. */
export interface Bound {
  readonly subject: Digest;
  readonly bond: Bond;
  readonly manifest: Uint8Array;
}

/** Reads a manifest as an attachment of `subject`; its contents were not looked at. @throws MANIFEST_INVALID, LIMIT_EXCEEDED */
export function readAttachment({ subject, bond, manifest }: Bound): Attachment {
  if (manifest.length > ATTACHMENT_MAX_BYTES) throw tooLarge(subject, manifest.length);
  const artifact = parseArtifact(manifest);
  const { mediaType, artifactType, annotations, config, layers } = artifact;
  if (!isBound(artifact, subject, bond)) throw new MirrorError('MANIFEST_INVALID', notBound(artifact, subject, bond));
  const target = { mediaType, digest: digestOf(manifest), size: manifest.length };
  const contents = [config, ...layers];
  const read = { subject, bond, manifest: target, artifactType, annotations, contents };
  const sizes = sizesOf(read);
  const bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  if (bytes > ATTACHMENT_MAX_BYTES) throw tooLarge(subject, bytes);
  return read;
}

/** As `readAttachment`, with all that the manifest lists. @throws as it, also for images, and DIGEST_MISMATCH, SIZE_MISMATCH, CONTENT_ABSENT */
export function checkAttachment(bound: Bound, contents: ReadonlyMap<Digest, Uint8Array>): Attachment {
  const attachment = readAttachment(bound);
  for (const [digest, size] of sizesOf(attachment)) {
    if (digest === attachment.manifest.digest) continue;
    const bytes = contents.get(digest);
    if (!bytes)
      throw new MirrorError('CONTENT_ABSENT', `${digest}, which an attachment of ${bound.subject} lists, is not there`);
    if (bytes.length !== size)
      throw new MirrorError('SIZE_MISMATCH', `${digest} has ${bytes.length} bytes, but its manifest says ${size}`);
    const found = digestOf(bytes, algorithmOf(digest));
    if (found !== digest) throw new MirrorError('DIGEST_MISMATCH', `what should be ${digest} has the digest ${found}`);
  }
  if (isRunnable(attachment, contents))
    throw new MirrorError('MANIFEST_INVALID', `what is said to be about ${bound.subject} is an image of its own`);
  return attachment;
}

/** Cosign's manifests have the config of an image, too, but their layers are JSON, and that is no file system. */
function isRunnable({ manifest, contents }: Attachment, bytes: ReadonlyMap<Digest, Uint8Array>): boolean {
  const [config, ...layers] = contents;
  const asImage = manifest.mediaType !== OCI_MANIFEST || [OCI_CONFIG, DOCKER_CONFIG].includes(config!.mediaType);
  return asImage && !layers.every(({ digest }) => isJson(bytes.get(digest)));
}

function isJson(bytes: Uint8Array | undefined): boolean {
  try {
    JSON.parse(Buffer.from(bytes ?? []).toString());
    return true;
  } catch {
    return false;
  }
}

/** The manifest and its contents, each once, with their sizes in bytes. @throws MANIFEST_INVALID where one has two sizes */
export function sizesOf({ manifest, contents }: Attachment): ReadonlyMap<Digest, number> {
  const sizes = new Map<Digest, number>();
  for (const { digest, size } of [manifest, ...contents]) {
    const before = sizes.get(digest) ?? size;
    if (before !== size)
      throw new MirrorError('MANIFEST_INVALID', `${digest} is said to have ${before} bytes, and ${size}`);
    sizes.set(digest, size);
  }
  return sizes;
}

const isBound = (artifact: Artifact, subject: Digest, bond: Bond): boolean =>
  bond === 'subject'
    ? artifact.subject?.digest === subject
    : artifact.layers.some(({ mediaType }) => mediaType === LAYER_OF[bond]);

const notBound = (artifact: Artifact, subject: Digest, bond: Bond): string =>
  bond === 'subject'
    ? `the manifest is about ${artifact.subject?.digest ?? 'nothing'}, not about ${subject}`
    : `a manifest under .${bond} has no layer of ${LAYER_OF[bond]}`;

const tooLarge = (subject: Digest, bytes: number): MirrorError =>
  new MirrorError(
    'LIMIT_EXCEEDED',
    `an attachment of ${subject} has ${bytes} bytes or more, at most ${ATTACHMENT_MAX_BYTES} are kept`,
  );

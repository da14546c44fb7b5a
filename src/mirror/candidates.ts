/**
 * What in an artifact may be a signature. Promises: the artifact's own words decide, never those of a list; what is no
 * signature is left out. Refuses to know what it shows. Spec: cosign's BUNDLE_SPEC and SIGNATURE_SPEC.
 */
import { MirrorError } from '../errors.ts';
import { type Artifact, type Digest, parseArtifact } from '../oci/oci.ts';
import { ATTACHMENT_MAX_BYTES, type Attachment, type Attachments, type Bond } from '../store/store.ts';
import type { Candidate } from '../trust/trust.ts';
import { readProved } from './read-proved.ts';

/** The media types of sigstore's bundles. */
export const BUNDLE_TYPE = /^application\/vnd\.dev\.sigstore\.bundle(?:\.v0\.3\+json|\+json;version=0\.[123])$/;

/** Signatures that are looked at in one artifact: the last ones, as cosign adds to the end. Each may be tried with each key. */
export const CANDIDATES_MAX = 32;

/** An artifact, whole and proved. */
export interface Read {
  readonly bond: Bond;
  readonly artifact: Artifact;
  readonly contents: ReadonlyMap<Digest, Uint8Array>;
}

/** What in an artifact may be a signature about its subject, at most CANDIDATES_MAX. */
export function candidatesIn({ bond, artifact, contents }: Read): readonly Candidate[] {
  if (bond === 'subject' && !BUNDLE_TYPE.test(artifact.artifactType)) return [];
  return artifact.layers.slice(-CANDIDATES_MAX).flatMap((layer): Candidate[] => {
    const bytes = contents.get(layer.digest);
    if (!bytes) return [];
    return bond === 'subject'
      ? [{ format: 'bundle', bytes }]
      : [{ format: 'legacy', payload: bytes, annotations: layer.annotations }];
  });
}

/** Reads a kept artifact whole and hashes it. @throws STORE_CORRUPT, FILE_UNREADABLE, MANIFEST_INVALID */
export async function readAttachment(
  attachments: Attachments,
  { bond, manifest, contents }: Attachment,
): Promise<Read> {
  const artifact = parseArtifact(await readPart(attachments, manifest.digest));
  const read = new Map<Digest, Uint8Array>();
  for (const { digest } of contents) read.set(digest, await readPart(attachments, digest));
  return { bond, artifact, contents: read };
}

async function readPart(attachments: Attachments, digest: Digest): Promise<Uint8Array> {
  const content = await attachments.open(digest);
  if (!content) throw new MirrorError('STORE_CORRUPT', `${digest} is listed among the attachments, but not there`);
  return readProved(content, ATTACHMENT_MAX_BYTES);
}

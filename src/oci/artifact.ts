/**
 * Artifacts: manifests about another content, and the three ways in which registries tell of them. Promises: `parseManifest`
 * judges such a manifest first; what comes out is bounded, and only the manifest's own words count, never a listing's.
 * Refuses to know where the bytes came from, and whether a signature holds.
 * Spec: OCI image-spec manifest.md; OCI distribution-spec, "Listing Referrers"; cosign SIGNATURE_SPEC.md.
 */
import { MirrorError } from '../errors.ts';
import { type Descriptor, OCI_INDEX } from './descriptor.ts';
import { algorithmOf, type Digest, hexOf, isDigest } from './digest.ts';
import {
  exactManifestObject,
  type Json,
  MANIFEST_MAX_ENTRIES,
  manifestDescriptor,
  manifestText,
  parseManifest,
} from './manifest.ts';
import type { Tag } from './reference.ts';

/** The most annotations of one object. */
const ANNOTATIONS_MAX = 256;
/** A listing leaves annotations out that are longer, in characters of JSON: with 512 of them it stays below 4 MiB. */
const LISTED_ANNOTATIONS_MAX = 4096;

export type Annotations = Readonly<Record<string, string>>;
/** A descriptor with the annotations that stand beside it. */
export type AnnotatedDescriptor = Descriptor & { readonly annotations: Annotations };

/** An image manifest, read as an artifact. */
export interface Artifact {
  readonly mediaType: string;
  /** The manifest's own, else the type of its config. */
  readonly artifactType: string;
  readonly subject?: Descriptor;
  readonly config: AnnotatedDescriptor;
  readonly layers: readonly AnnotatedDescriptor[];
  readonly annotations: Annotations;
}

const bad = (what: string): never => {
  throw new MirrorError('MANIFEST_INVALID', `artifact: ${what}`);
};

function annotationsOf(value: unknown, what: string): Annotations {
  if (value === undefined) return {};
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return bad(`${what} is not an object`);
  const entries = Object.entries(value);
  if (entries.length > ANNOTATIONS_MAX) bad(`${what} has more than ${ANNOTATIONS_MAX} entries`);
  return Object.fromEntries(
    entries.map(([name, text]): [string, string] =>
      typeof text === 'string' ? [name, text] : bad(`${what} has a value that is not a string`),
    ),
  );
}

/** Parses proved `bytes` as an image manifest about something, or of something else than an image. @throws MANIFEST_INVALID, MANIFEST_TOO_LARGE */
export function parseArtifact(bytes: Uint8Array): Artifact {
  const manifest = parseManifest(bytes);
  if (manifest.kind !== 'image') return bad('an index is none');
  // Judged above: UTF-8, no key twice, not deep. The same decoder, as a mark of the byte order is dropped by it.
  const json = exactManifestObject(JSON.parse(new TextDecoder().decode(bytes)), 'the document', [
    'artifactType',
    'subject',
    'annotations',
  ]);
  const annotated = (descriptor: Descriptor, value: unknown, what: string): AnnotatedDescriptor => {
    const { annotations } = exactManifestObject(value, what, ['annotations']);
    return { ...descriptor, annotations: annotationsOf(annotations, `${what}.annotations`) };
  };
  const { config, layers } = manifest;
  return {
    mediaType: manifest.mediaType,
    artifactType: json.artifactType === undefined ? config.mediaType : manifestText(json.artifactType, 'artifactType'),
    ...(json.subject === undefined ? {} : { subject: manifestDescriptor(json.subject, 'subject') }),
    config: annotated(config, json.config, 'config'),
    layers: layers.map((layer, at) => annotated(layer, (json.layers as Json[])[at], 'layers[]')),
    annotations: annotationsOf(json.annotations, 'annotations'),
  };
}

/** A tag that stands for attachments of `subject`: the listing where a registry has no referrers API, or cosign's own two. */
export interface AttachmentTag {
  readonly subject: Digest;
  readonly bond: 'index' | 'sig' | 'att';
}

const ATTACHMENT_TAG = /^sha256-([a-f0-9]{64})(?:\.(sig|att))?$/;

/** What a tag like `sha256-<hex>`, `….sig` or `….att` stands for; undefined for all others, `.sbom` too. */
export function attachmentTag(tag: string): AttachmentTag | undefined {
  const [, hex, bond = 'index'] = ATTACHMENT_TAG.exec(tag) ?? [];
  const subject = `sha256:${hex}`;
  if (!isDigest(subject) || tag.includes('\n')) return undefined;
  return { subject, bond: bond === 'sig' || bond === 'att' ? bond : 'index' };
}

/** The inverse of `attachmentTag`; undefined for sha512, whose tags are cut and so no digest. */
export function formatAttachmentTag({ subject, bond }: AttachmentTag): Tag | undefined {
  if (algorithmOf(subject) !== 'sha256') return undefined;
  return `sha256-${hexOf(subject)}${bond === 'index' ? '' : `.${bond}`}` as Tag;
}

/** What a listing of referrers says of one manifest; all of it out of the manifest itself. */
export interface ListedReferrer {
  readonly manifest: Descriptor;
  readonly artifactType: string;
  readonly annotations: Annotations;
}

/**
 * The bytes of an OCI index that lists `referrers`: the first 512 of them, each once, in the order of their digests, so that
 * equal sets give equal bytes. Annotations longer than 4,096 characters are left out.
 */
export function formatReferrers(referrers: readonly ListedReferrer[]): Buffer {
  const listed = new Map<Digest, ListedReferrer>();
  for (const referrer of referrers) {
    if (listed.size >= MANIFEST_MAX_ENTRIES) break;
    if (!listed.has(referrer.manifest.digest)) listed.set(referrer.manifest.digest, referrer);
  }
  const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  const manifests = [...listed.values()]
    .sort((a, b) => order(a.manifest.digest, b.manifest.digest))
    .map(({ manifest: { mediaType, digest, size }, artifactType, annotations }) => {
      const sorted = Object.entries(annotations).sort(([a], [b]) => order(a, b));
      const said = sorted.length > 0 && JSON.stringify(sorted).length <= LISTED_ANNOTATIONS_MAX;
      return {
        mediaType,
        digest,
        size,
        ...(artifactType ? { artifactType } : {}),
        ...(said ? { annotations: Object.fromEntries(sorted) } : {}),
      };
    });
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
}

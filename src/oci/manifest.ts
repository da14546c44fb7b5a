/**
 * Manifests and indexes. Promises: what comes out is bounded, unambiguous (never both `layers` and `manifests`,
 * CVE-2021-41190) and its sizes are non-negative whole numbers; descriptor `urls` are dropped, never followed.
 * Refuses to know where the bytes came from and whether their digest was checked: the caller does that first.
 * Spec: OCI image-spec manifest.md, image-index.md; Docker Image Manifest V2 Schema 2.
 */
import { MirrorError } from '../errors.ts';
import { type Descriptor, isImageType, isIndexType, type Platform } from './descriptor.ts';
import { isDigest } from './digest.ts';

/** The largest manifest that is read, in bytes (the distribution-spec's own recommendation). */
export const MANIFEST_MAX_BYTES = 4 << 20;
/** The most layers of an image, and the most manifests of an index. */
export const MANIFEST_MAX_ENTRIES = 512;
/** The deepest nesting of indexes: an index of indexes of images is read, nothing deeper. */
export const INDEX_MAX_DEPTH = 2;
const JSON_MAX_DEPTH = 16;

export interface ImageManifest {
  readonly kind: 'image';
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}
export interface IndexManifest {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
}
export type Manifest = ImageManifest | IndexManifest;

const bad = (what: string): never => {
  throw new MirrorError('MANIFEST_INVALID', `manifest: ${what}`);
};
/** An object of a manifest's JSON. */
export type Json = Record<string, unknown>;
const mapping = (value: unknown, what: string): Json =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? (value as Json)
    : bad(`${what} is not an object`);
/** The fields that are read, anywhere in a manifest. */
const READ = new Set([
  'schemaVersion',
  'mediaType',
  'config',
  'layers',
  'manifests',
  'digest',
  'size',
  'platform',
  'os',
  'architecture',
  'variant',
  'fsLayers',
]);
/** As Go's JSON compares keys: the long s is an s too, the sign of kelvins a k. */
const folded = (name: string): string => name.toLowerCase().toUpperCase();
const READ_FOLDED = new Set([...READ].map(folded));

/** An object whose fields other readers cannot take otherwise: Go's JSON takes `Layers` for `layers`. @throws MANIFEST_INVALID */
export const exactManifestObject = (value: unknown, what: string, more: readonly string[] = []): Json => {
  const object = mapping(value, what);
  for (const key of Object.keys(object)) {
    if (READ.has(key) || more.includes(key)) continue;
    const other = folded(key);
    if (READ_FOLDED.has(other) || more.some(name => folded(name) === other))
      return bad(`${what} has the key ${JSON.stringify(key)}, which others read as another`);
  }
  return object;
};
const exact = exactManifestObject;
const list = (value: unknown, what: string): unknown[] => {
  if (!Array.isArray(value)) return bad(`${what} is not a list`);
  return value.length > MANIFEST_MAX_ENTRIES ? bad(`${what} has more than ${MANIFEST_MAX_ENTRIES} entries`) : value;
};
/** A string of 1–255 characters. @throws MANIFEST_INVALID */
export const manifestText = (value: unknown, what: string): string =>
  typeof value === 'string' && value !== '' && value.length <= 255 ? value : bad(`${what} is not a short string`);

function platform(value: unknown): { platform?: Platform } {
  if (value === undefined) return {};
  const p = exact(value, 'platform');
  const variant = p.variant === undefined || p.variant === '' ? {} : { variant: manifestText(p.variant, 'variant') };
  return {
    platform: {
      os: manifestText(p.os, 'os'),
      architecture: manifestText(p.architecture, 'architecture'),
      ...variant,
    },
  };
}

/** A descriptor, its annotations, urls and data left behind. @throws MANIFEST_INVALID */
export function manifestDescriptor(value: unknown, what: string): Descriptor {
  const d = exact(value, what);
  const digest = manifestText(d.digest, `${what}.digest`);
  if (!isDigest(digest)) return bad(`${what}.digest is not a digest`);
  if (typeof d.size !== 'number' || !Number.isSafeInteger(d.size) || d.size < 0)
    return bad(`${what}.size is not a size`);
  return {
    mediaType: manifestText(d.mediaType, `${what}.mediaType`),
    digest,
    size: d.size,
    ...platform(d.platform),
  };
}

/** Refuses deep nesting and duplicate keys, which JSON.parse would hide. */
function scan(source: string): void {
  const keys: (Set<string> | undefined)[] = [];
  for (let i = 0; i < source.length; i++) {
    const c = source[i];
    if (c === '{' || c === '[') {
      keys.push(c === '{' ? new Set() : undefined);
      if (keys.length > JSON_MAX_DEPTH) bad(`nested deeper than ${JSON_MAX_DEPTH}`);
    } else if (c === '}' || c === ']') keys.pop();
    else if (c === '"') {
      const start = i;
      for (i++; i < source.length && source[i] !== '"'; i++) if (source[i] === '\\') i++;
      let next = i + 1;
      while (' \t\r\n'.includes(source[next] ?? '!')) next++;
      const scope = keys.at(-1);
      if (source[next] !== ':' || !scope) continue;
      const key = JSON.parse(source.slice(start, i + 1)) as string;
      if (scope.has(key)) bad(`the key ${JSON.stringify(key)} stands twice`);
      scope.add(key);
    }
  }
}

/** Parses proved `bytes` as an image manifest or index. @throws MANIFEST_INVALID | MANIFEST_TOO_LARGE */
export function parseManifest(bytes: Uint8Array): Manifest {
  if (bytes.length > MANIFEST_MAX_BYTES)
    throw new MirrorError(
      'MANIFEST_TOO_LARGE',
      `manifest: ${bytes.length} bytes, at most ${MANIFEST_MAX_BYTES} are read`,
    );
  let json: Json;
  try {
    const source = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    json = exact(JSON.parse(source), 'the document');
    scan(source);
  } catch (error) {
    return error instanceof MirrorError ? bad(error.message.replace(/^manifest: /, '')) : bad('is not JSON in UTF-8');
  }
  if (json.schemaVersion !== 2) bad('schemaVersion is not 2');
  const index = json.manifests !== undefined;
  if (index && (json.layers !== undefined || json.config !== undefined || json.fsLayers !== undefined))
    bad('is both an image and an index');
  const mediaType = manifestText(
    json.mediaType ??
      (index ? 'application/vnd.oci.image.index.v1+json' : 'application/vnd.oci.image.manifest.v1+json'),
    'mediaType',
  );
  if (index) {
    if (!isIndexType(mediaType)) bad(`mediaType ${mediaType} is not an index's`);
    return {
      kind: 'index',
      mediaType,
      manifests: list(json.manifests, 'manifests').map(d => manifestDescriptor(d, 'manifests[]')),
    };
  }
  if (!isImageType(mediaType)) bad(`mediaType ${mediaType} is not an image manifest's`);
  return {
    kind: 'image',
    mediaType,
    config: manifestDescriptor(json.config, 'config'),
    layers: list(json.layers, 'layers').map(d => manifestDescriptor(d, 'layers[]')),
  };
}

/** What a manifest names directly, in the order in which it stands there. */
export const childrenOf = (manifest: Manifest): readonly Descriptor[] =>
  manifest.kind === 'index' ? manifest.manifests : [manifest.config, ...manifest.layers];

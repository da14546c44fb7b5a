/**
 * What `docker save` wrote, as an OCI image. Promises: one archive gives one manifest, always the same; plain layers have
 * the digests that the image's own config lists. Spec: Docker image spec v1.2, OCI image-spec manifest.md, config.md.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import {
  type Descriptor,
  type Digest,
  digestOf,
  hexOf,
  isDigest,
  MANIFEST_MAX_ENTRIES,
  OCI_CONFIG,
  OCI_LAYER,
  OCI_LAYER_GZIP,
  OCI_MANIFEST,
} from '../oci/oci.ts';

const OCI_LAYER_ZSTD = 'application/vnd.oci.image.layer.v1.tar+zstd';
const GZIP_MAGIC = '1f8b';
const ZSTD_MAGIC = '28b52ffd';
/** Images of one archive. */
const IMAGES_MAX = 512;
/** A config that is named after its digest. */
const NAMED_BY_DIGEST = /(?:^|\/)([a-f0-9]{64})(?:\.json)?$/;

/** One image of `manifest.json`, with names of entries. */
export interface DockerImage {
  readonly config: string;
  readonly layers: readonly string[];
  readonly tags: readonly string[];
}

/** A file of the archive, hashed. */
export interface HashedFile {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** The first bytes, four where there are as many. */
  readonly head: Uint8Array;
}

const invalid = (what: string): MirrorError => new MirrorError('ARCHIVE_INVALID', `the archive’s ${what}`);
const texts = (value: unknown, what: string): readonly string[] => {
  if (!Array.isArray(value) || value.length > MANIFEST_MAX_ENTRIES || !value.every(item => typeof item === 'string'))
    throw invalid(`${what} is not a list of at most ${MANIFEST_MAX_ENTRIES} texts`);
  return value;
};

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw asMirrorError(error, 'ARCHIVE_INVALID', `the archive’s ${what} is not JSON in UTF-8`);
  }
}

/** Reads `manifest.json`. @throws ARCHIVE_INVALID */
export function parseDockerImages(bytes: Uint8Array): readonly DockerImage[] {
  const json = parseJson(bytes, 'manifest.json');
  if (!Array.isArray(json) || json.length > IMAGES_MAX)
    throw invalid(`manifest.json is not a list of at most ${IMAGES_MAX} images`);
  return json.map((value: unknown) => {
    const image = (value ?? {}) as Record<string, unknown>;
    if (typeof image.Config !== 'string') throw invalid('manifest.json names no Config');
    return {
      config: image.Config,
      layers: texts(image.Layers, 'Layers'),
      tags: texts(image.RepoTags ?? [], 'RepoTags'),
    };
  });
}

/**
 * The manifest of an image and its descriptor, from its hashed files; `configBytes` have the digest of `config`.
 * @throws ARCHIVE_INVALID, DIGEST_MISMATCH where a layer or the config is not what the archive itself says
 */
export function manifestOfDocker(
  image: DockerImage,
  config: HashedFile,
  configBytes: Uint8Array,
  layers: readonly HashedFile[],
): { readonly target: Descriptor; readonly bytes: Uint8Array } {
  const [, named] = NAMED_BY_DIGEST.exec(image.config) ?? [];
  if (named !== undefined && named !== hexOf(config.digest))
    throw new MirrorError('DIGEST_MISMATCH', `the archive’s config ${image.config} has the digest ${config.digest}`);
  const { rootfs } = (parseJson(configBytes, 'config') ?? {}) as { rootfs?: { diff_ids?: unknown } };
  const diffIds = texts(rootfs?.diff_ids ?? [], 'rootfs.diff_ids');
  if (diffIds.length !== layers.length)
    throw invalid(`config lists ${diffIds.length} layers, manifest.json ${layers.length}`);
  const descriptors = layers.map((layer, at) => layerOf(layer, diffIds[at] ?? ''));
  const described = { mediaType: OCI_CONFIG, digest: config.digest, size: config.size };
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: described, layers: descriptors };
  const bytes = Buffer.from(JSON.stringify(manifest));
  return { bytes, target: { mediaType: OCI_MANIFEST, digest: digestOf(bytes), size: bytes.length } };
}

function layerOf({ digest, size, head }: HashedFile, diffId: string): Descriptor {
  const magic = Buffer.from(head).toString('hex');
  if (magic.startsWith(GZIP_MAGIC)) return { mediaType: OCI_LAYER_GZIP, digest, size };
  if (magic.startsWith(ZSTD_MAGIC)) return { mediaType: OCI_LAYER_ZSTD, digest, size };
  if (!isDigest(diffId)) throw invalid('config lists a layer without a digest');
  if (diffId !== digest)
    throw new MirrorError('DIGEST_MISMATCH', `the archive’s layer ${digest} should be ${diffId}, as its config says`);
  return { mediaType: OCI_LAYER, digest, size };
}

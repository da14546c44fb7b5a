/**
 * Images in memory for the stories: real manifests over bytes that follow from a seed. Promises: the same name and
 * specification give the same digests.
 */
import {
  type Descriptor,
  type Digest,
  digestOf,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  parseReference,
  type Reference,
} from '../../src/oci/oci.ts';
import { seededBytes } from '../support/image-layers.ts';

export const MIB = 1 << 20;

export interface StoryImage {
  readonly reference: Reference;
  /** The reference as text. */
  readonly name: string;
  readonly target: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  /** Every content, the target first. */
  readonly contents: ReadonlyMap<Digest, Uint8Array>;
  /** An index over one image for each platform, where there are any. */
  readonly images: readonly {
    readonly platform: string;
    readonly manifest: Descriptor;
    readonly layers: readonly Descriptor[];
  }[];
}

export interface StoryImageSpec {
  /** Bytes of each layer. */
  readonly layers?: readonly number[];
  readonly platforms?: readonly string[];
  /** Another seed, other bytes. */
  readonly seed?: string;
}

/** An image in memory; the same specification and name give the same digests. */
export function storyImage(
  name: string,
  { layers = [3 * MIB], platforms, seed = name }: StoryImageSpec = {},
): StoryImage {
  const contents = new Map<Digest, Uint8Array>();
  const put = (mediaType: string, bytes: Uint8Array): Descriptor => {
    const digest = digestOf(bytes);
    // A view of its own: a store in which it rots must not change that of others.
    contents.set(digest, new Uint8Array(bytes));
    return { mediaType, digest, size: bytes.length };
  };
  const json = (mediaType: string, value: object): Descriptor =>
    put(mediaType, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...value })));
  const one = (platform: string) => {
    const list = layers.map((size, at) =>
      put(OCI_LAYER, Buffer.concat([...seededBytes(`${seed} ${platform} ${at}`, size)])),
    );
    const config = put(OCI_CONFIG, Buffer.from(JSON.stringify({ platform, seed })));
    return { platform, manifest: json(OCI_MANIFEST, { config, layers: list }), config, layers: list };
  };
  const images = (platforms ?? ['']).map(one);
  const [first] = images;
  const manifests = images.map(({ platform, manifest }) => {
    const [os, architecture] = platform.split('/');
    return { ...manifest, platform: { os, architecture } };
  });
  const target = platforms ? json(OCI_INDEX, { manifests }) : first!.manifest;
  return {
    reference: parseReference(name),
    name,
    target,
    config: first!.config,
    layers: first!.layers,
    contents,
    images,
  };
}

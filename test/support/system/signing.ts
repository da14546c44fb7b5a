/**
 * Where images are built, signed and published: a registry, cosign beside it, and the way from there into a containerd,
 * with everything that is signed about an image. Refuses to know nodes and policies.
 */
import { join } from 'node:path';
import { parseTagReference } from '../../../src/oci/oci.ts';
import type { BuiltImage } from '../images.ts';
import type { Containerd } from './containerd.ts';
import { type Cosign, openCosign, signatureTag } from './cosign.ts';
import { graft } from './grafting.ts';
import { request } from './http.ts';
import type { Lab } from './lab.ts';
import type { Host } from './netns.ts';
import type { Registry } from './registry.ts';

export interface Signing {
  readonly host: Host;
  readonly registry: Registry;
  readonly cosign: Cosign;
  /** Builds an image that shares no content with another and publishes it. */
  publish(reference: string, seed?: string): Promise<BuiltImage>;
  /** The image as cosign is told of it: `host:port/repository@digest`. */
  readonly at: (image: BuiltImage) => string;
  /** Tags of the repository of `image` that say something about its digest. */
  about(image: BuiltImage): Promise<readonly string[]>;
  /** Brings the image, by its tag, into `containerd`, past all mirrors. */
  bring(containerd: Containerd, image: BuiltImage): Promise<void>;
  /** The same by its digest: whatever its tag is now. */
  bringByDigest(containerd: Containerd, image: BuiltImage): Promise<void>;
  /** The same for all that is signed about it. */
  bringSignatures(containerd: Containerd, image: BuiltImage): Promise<void>;
  /** Publishes what is signed about `from` in both formats as if it were about `onto`. */
  graft(from: BuiltImage, onto: BuiltImage): Promise<void>;
}

const repositoryOf = ({ reference }: BuiltImage): string => parseTagReference(reference).repository;

/** A registry and a cosign on the machine `label` of the lab. */
export async function openSigning(lab: Lab, label = 'origin'): Promise<Signing> {
  const registry = await lab.registry(label);
  const host = await lab.host(label);
  const cosign = await openCosign(host, join(lab.folder, 'cosign'));
  const base = (image: BuiltImage): string => `http://${registry.endpoint}/v2/${repositoryOf(image)}`;
  const about = async (image: BuiltImage): Promise<string[]> => {
    const listed = await request(host.netns, `${base(image)}/tags/list`);
    const { tags } = JSON.parse(listed.body.toString()) as { tags: string[] };
    return tags.filter(tag => tag.startsWith(signatureTag(image.digest, 'bundle')));
  };
  const bringTags = async (containerd: Containerd, image: BuiltImage, tags: readonly string[]): Promise<void> => {
    const { registry: name, repository } = parseTagReference(image.reference);
    for (const tag of tags) await containerd.fetch(`${name}/${repository}:${tag}`, registry.endpoint);
  };
  return {
    host,
    registry,
    cosign,
    async publish(reference, seed = reference) {
      const image = await lab.image({ reference, layers: [{ randomBytes: 1 << 20, seed }, { files: { name: seed } }] });
      await registry.push(image);
      return image;
    },
    at: image => `${registry.endpoint}/${repositoryOf(image)}@${image.digest}`,
    about,
    bring: (containerd, image) => bringTags(containerd, image, [parseTagReference(image.reference).tag]),
    bringByDigest: (containerd, image) =>
      containerd.fetch(`${image.reference.replace(/:[^:/]*$/, '')}@${image.digest}`, registry.endpoint),
    bringSignatures: async (containerd, image) => bringTags(containerd, image, await about(image)),
    graft: (from, onto) => graft({ host, folder: lab.folder, from: base(from), onto: base(onto) }, from, onto),
  };
}

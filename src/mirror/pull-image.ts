/**
 * A whole image, pulled by this node for itself into the embedded store: `pinnace pull`. The same rules as a client's pull:
 * policy, pins and statements, proofs.
 */
import { MirrorError } from '../errors.ts';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  formatReference,
  INDEX_MAX_DEPTH,
  isManifestType,
  type Reference,
  type TagReference,
} from '../oci/oci.ts';
import { ownerOf } from './catalogue.ts';
import { fetchContent } from './fetch.ts';
import { manifestOf } from './manifests.ts';
import { isHere } from './read-ahead.ts';
import { resolve } from './resolve.ts';
import type { Rooms } from './rooms.ts';
import { settle } from './settle.ts';

/** How far a pull is; `done` of `size` bytes of one content came from `from`. */
export interface PullProgress {
  readonly digest: Digest;
  readonly size: number;
  readonly done: number;
  readonly from: string;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
}

type ImageRooms = Parameters<typeof resolve>[0] & Pick<Rooms, 'pulls'>;

/**
 * Pulls `asked` for one platform, or for all that are to be had where `platform` is undefined. Resolves when all is in
 * the spool and on its way into the store. @throws STORE_UNAVAILABLE where Pinnace does not own the store; as `pull`
 */
export async function pullImage(
  rooms: ImageRooms,
  asked: Reference,
  platform: Platform | undefined,
  progress: (at: PullProgress) => void,
): Promise<{ digest: Digest; bytes: number; contents: number }> {
  if (!rooms.store.keeping)
    throw new MirrorError(
      'STORE_UNAVAILABLE',
      'the store is containerd’s: pull with your container runtime, through the mirror',
    );
  const registry = rooms.policy().registry(asked.registry);
  if (!registry)
    throw new MirrorError('NOT_MIRRORED', `${asked.registry} is not among the registries that policy mirrors`);
  const reference: Reference = { ...asked, registry };
  const { allowed, rule } = rooms.policy().pull(registry, reference.repository);
  if (!allowed) throw new MirrorError('DENIED', `${formatReference(reference)} may not be pulled here: ${rule}`);
  const owner = ownerOf(reference);
  const root = reference.digest
    ? await manifestOf(rooms, owner, reference.digest)
    : await resolve(rooms, reference as TagReference);
  rooms.pulls.began(formatReference(reference), { reference, target: root.descriptor });
  const total = { bytes: root.bytes.length, contents: 1 };
  const taken = new Set([root.descriptor.digest]);
  const take = async (descriptor: Descriptor, depth: number): Promise<void> => {
    // Each content once, however often manifests name it.
    if (taken.has(descriptor.digest)) return;
    taken.add(descriptor.digest);
    total.bytes += descriptor.size;
    total.contents += 1;
    if (isManifestType(descriptor.mediaType)) {
      const { manifest } = await manifestOf(rooms, owner, descriptor.digest);
      if (manifest.kind === 'index' && depth >= INDEX_MAX_DEPTH)
        throw new MirrorError(
          'MANIFEST_INVALID',
          `${formatReference(reference)} nests indexes deeper than ${INDEX_MAX_DEPTH}`,
        );
      for (const child of childrenOf(manifest)) await take(child, depth + 1);
    } else if (!(await isHere(rooms, descriptor.digest))) await takeBlob(rooms, descriptor, progress);
  };
  const { manifest } = root;
  const children = manifest.kind === 'index' ? choose(manifest.manifests, platform, reference) : childrenOf(manifest);
  for (const child of children) await take(child, 1);
  settle(rooms);
  return { digest: root.descriptor.digest, ...total };
}

function choose(
  manifests: readonly Descriptor[],
  platform: Platform | undefined,
  reference: Reference,
): readonly Descriptor[] {
  if (!platform) return manifests;
  const fit = manifests.filter(({ platform: p }) => p?.os === platform.os && p.architecture === platform.architecture);
  if (!fit.length)
    throw new MirrorError(
      'CONTENT_ABSENT',
      `${formatReference(reference)} has no image for ${platform.os}/${platform.architecture}`,
    );
  return fit;
}

async function takeBlob(
  rooms: ImageRooms,
  { digest, size }: Descriptor,
  progress: (at: PullProgress) => void,
): Promise<void> {
  const fetch = await fetchContent(rooms, digest, size);
  while (fetch.state === 'running') {
    progress({ digest, size, done: fetch.checked, from: fetch.source });
    await fetch.changed();
  }
  await fetch.whole();
  progress({ digest, size, done: size, from: fetch.source });
}

/**
 * A whole image, pulled by this node for itself into the embedded store: `pinnace pull`. The same rules as a client's pull:
 * policy, pins and statements, proofs.
 */
import { asMirrorError, type Code, MirrorError } from '../errors.ts';
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
import { refuse } from './admit.ts';
import { fetchContent } from './fetch.ts';
import { manifestOf, type ProvedManifest } from './manifests.ts';
import type { Pull } from './pulls.ts';
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

type ImageRooms = Parameters<typeof resolve>[0] & Parameters<typeof fetchContent>[0] & Pick<Rooms, 'pulls'>;

export interface Pulled {
  readonly digest: Digest;
  /** Of all contents of the image that were taken, each counted once. */
  readonly bytes: number;
  readonly contents: number;
}

/**
 * Pulls `asked` for one platform, or for all that are to be had where `platform` is undefined. Resolves when all is in
 * the spool and on its way into the store. Recorded as a client's pull is: refused, or its start and its end.
 * @throws STORE_UNAVAILABLE where Pinnace does not own the store; as `pull`
 */
export async function pullImage(
  rooms: ImageRooms,
  asked: Reference,
  platform: Platform | undefined,
  progress: (at: PullProgress) => void,
): Promise<Pulled> {
  let target: Target;
  try {
    target = await targetOf(rooms, asked);
  } catch (error) {
    const { code } = asMirrorError(error, 'STORE_UNAVAILABLE', formatReference(asked));
    await rooms.audit.record({ event: 'pull.refused', reference: formatReference(asked), code });
    throw error;
  }
  return inRecords(rooms, target, entry =>
    takeImage(rooms, target, platform, at => {
      entry.from = at.from || entry.from;
      progress(at);
    }),
  );
}

/** What is to be pulled, and its manifest or index. */
interface Target {
  readonly reference: Reference;
  readonly root: ProvedManifest;
}

async function targetOf(rooms: ImageRooms, asked: Reference): Promise<Target> {
  if (!rooms.store.keeping)
    throw new MirrorError(
      'STORE_UNAVAILABLE',
      'the store is containerd’s: pull with your container runtime, through the mirror',
    );
  const registry = rooms.policy().registry(asked.registry);
  if (!registry)
    throw new MirrorError('NOT_MIRRORED', `${asked.registry} is not among the registries that policy mirrors`);
  const reference: Reference = { ...asked, registry };
  refuse(reference, rooms.policy().pull(reference, rooms.world.now()));
  const root = reference.digest
    ? await manifestOf(rooms, { ...reference, digest: reference.digest })
    : await resolve(rooms, reference as TagReference);
  return { reference, root };
}

/** Runs `work` between the two records of a transfer; its entry stands among the last pulls. */
async function inRecords(
  rooms: ImageRooms,
  { reference, root: { descriptor, from } }: Target,
  work: (entry: Pull) => Promise<Pulled>,
): Promise<Pulled> {
  const { audit, pulls, world } = rooms;
  const { digest, size } = descriptor;
  const id = Buffer.from(world.random(8)).toString('hex');
  const name = formatReference(reference);
  await audit.record({ event: 'pull.started', id, reference: name, digest, size });
  const entry = pulls.add({ id, reference: name, digest, size, startedAt: world.now(), bytes: 0, from });
  const end = async (outcome: 'whole' | 'failed', code?: Code): Promise<void> => {
    Object.assign(entry, { outcome, endedAt: world.now() });
    const why = code === undefined ? {} : { code };
    await audit.record({ event: 'pull.ended', id, digest, bytes: entry.bytes, outcome, source: 'peer', ...why });
  };
  let pulled: Pulled;
  try {
    pulled = await work(entry);
  } catch (error) {
    await end('failed', asMirrorError(error, 'STORE_UNAVAILABLE', name).code);
    throw error;
  }
  entry.bytes = pulled.bytes;
  await end('whole');
  return pulled;
}

async function takeImage(
  rooms: ImageRooms,
  { reference, root }: Target,
  platform: Platform | undefined,
  progress: (at: PullProgress) => void,
): Promise<Pulled> {
  const { registry, repository } = reference;
  const { vouchers } = rooms.policy().rule(registry, repository);
  const { manifest, descriptor: top } = root;
  rooms.pulls.began(formatReference(reference), { reference, target: top });
  const total = { bytes: root.bytes.length, contents: 1 };
  const taken = new Set([top.digest]);
  const take = async (descriptor: Descriptor, depth: number): Promise<void> => {
    // Each content once, however often manifests name it.
    if (taken.has(descriptor.digest)) return;
    taken.add(descriptor.digest);
    total.bytes += descriptor.size;
    total.contents += 1;
    if (isManifestType(descriptor.mediaType)) {
      const below = (await manifestOf(rooms, { registry, repository, digest: descriptor.digest })).manifest;
      if (below.kind === 'index' && depth >= INDEX_MAX_DEPTH)
        throw new MirrorError(
          'MANIFEST_INVALID',
          `${formatReference(reference)} nests indexes deeper than ${INDEX_MAX_DEPTH}`,
        );
      for (const child of childrenOf(below)) await take(child, depth + 1);
    } else if (!(await isHere(rooms, descriptor.digest))) await takeBlob(rooms, descriptor, vouchers, progress);
  };
  const children = manifest.kind === 'index' ? choose(manifest.manifests, platform, reference) : childrenOf(manifest);
  for (const child of children) await take(child, 1);
  settle(rooms);
  return { digest: top.digest, ...total };
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
  descriptor: Descriptor,
  vouchers: number,
  progress: (at: PullProgress) => void,
): Promise<void> {
  const { digest, size } = descriptor;
  const fetch = await fetchContent(rooms, descriptor, vouchers);
  while (fetch.state === 'running') {
    progress({ digest, size, done: fetch.checked, from: fetch.source });
    await fetch.changed();
  }
  await fetch.whole();
  progress({ digest, size, done: size, from: fetch.source });
}

/**
 * How a tag becomes a digest: by a pin, or by signed statements where the operator allows it; never by what a peer says
 * here and now. Promises: what is answered is recorded first, and remembered, so that it is never stated as this node's
 * own observation.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { type Digest, formatReference, type TagReference } from '../oci/oci.ts';
import { decideTag, type TagClaim } from '../trust/trust.ts';
import { ownerOf } from './catalogue.ts';
import { manifestOf, proveManifest, type ProvedManifest } from './manifests.ts';
import type { Rooms } from './rooms.ts';

type ResolveRooms = Parameters<typeof manifestOf>[0] & Pick<Rooms, 'policy' | 'stated' | 'origins'>;

/** What is stated about a tag, by others and by this node. */
export const claimsAbout = (rooms: Pick<Rooms, 'peers' | 'stated'>, reference: TagReference): readonly TagClaim[] => [
  ...rooms.peers.tagStatements(reference).map(({ node, digest, observedAt, renewedAt }) => ({
    peer: node.peer,
    digest,
    observedAt,
    renewedAt,
  })),
  ...rooms.stated.claims(reference),
];

/**
 * The manifest that a tag names now. @throws TAG_UNPINNED where policy leaves the tag to pins and has none,
 * TAG_UNDECIDED where statements do not decide, CONTENT_ABSENT where nobody has the manifest
 */
export async function resolve(rooms: ResolveRooms, reference: TagReference): Promise<ProvedManifest> {
  const pin = rooms.policy().pin(reference);
  const stated = pin ? undefined : await byStatements(rooms, reference);
  const digest = pin ?? stated!.descriptor.digest;
  const manifest = await manifestOf(rooms, { ...reference, digest }, stated);
  await rooms.audit.record({
    event: 'tag.resolved',
    reference: formatReference(reference),
    digest,
    by: pin ? 'pin' : 'statements',
  });
  await rooms.origins.mirrored(reference, digest);
  return manifest;
}

async function byStatements(rooms: ResolveRooms, reference: TagReference): Promise<ProvedManifest> {
  const name = formatReference(reference);
  const { tags } = rooms.policy().rule(reference.registry, reference.repository);
  if (tags.by === 'pins')
    throw new MirrorError('TAG_UNPINNED', `${name} has no pin, and policy lets nothing else decide it`);
  // That it exists is all that is asked: whether it may be used under this name is judged of the one that wins.
  const proved = new Map<Digest, ProvedManifest>();
  const exists = async (digest: Digest): Promise<boolean> => {
    try {
      proved.set(digest, await proveManifest(rooms, ownerOf(reference), digest));
      return true;
    } catch (error) {
      rooms.log.info(
        { digest, code: asMirrorError(error, 'CONTENT_ABSENT', name).code },
        `${name}: a stated digest is not to be had`,
      );
      return false;
    }
  };
  const digest = await decideTag(claimsAbout(rooms, reference), tags.min, tags.keepMs, rooms.world.now(), exists);
  const manifest = digest && proved.get(digest);
  if (!manifest)
    throw new MirrorError('TAG_UNDECIDED', `${name}: fewer than ${tags.min} nodes state one digest for it`);
  return manifest;
}

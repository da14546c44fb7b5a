/**
 * What an image in the store reaches. Promises: every manifest in it was read and its bytes hashed; what cannot be read
 * ends the walk there, not the look at the store. Refuses to know what is shared.
 */
import { asMirrorError } from '../errors.ts';
import { childrenOf, type Descriptor, type Digest, isManifestType } from '../oci/oci.ts';
import type { Image } from '../store/store.ts';
import type { Closure } from './catalogue.ts';
import { storedManifest } from './manifests.ts';
import type { Rooms } from './rooms.ts';

/** What manifests list, by their digests: it never changes, so each is read once. */
export type Listed = Map<Digest, readonly Descriptor[]>;

/**
 * Walks down from an image as far as its manifests are in the store; `listed` knows those that were read before, and
 * learns the others. @throws STORE_UNAVAILABLE
 */
export async function closureOf(
  rooms: Pick<Rooms, 'store' | 'log'>,
  { reference, target }: Pick<Image, 'reference' | 'target'>,
  listed: Listed,
): Promise<Closure> {
  const contents = new Map<Digest, Descriptor>();
  const children = async (digest: Digest): Promise<readonly Descriptor[]> => {
    const known = listed.get(digest);
    if (known) return known;
    const stored = await storedManifest(rooms, digest);
    if (!stored) return [];
    const found = childrenOf(stored.manifest);
    listed.set(digest, found);
    return found;
  };
  const walk = async (descriptor: Descriptor): Promise<void> => {
    if (contents.has(descriptor.digest)) return;
    contents.set(descriptor.digest, descriptor);
    if (!isManifestType(descriptor.mediaType)) return;
    try {
      for (const child of await children(descriptor.digest)) await walk(child);
    } catch (error) {
      const { code, message, kind } = asMirrorError(error, 'STORE_UNAVAILABLE', 'walking an image');
      if (kind === 'unavailable') throw error;
      rooms.log.warn({ digest: descriptor.digest, code }, message);
    }
  };
  await walk(target);
  return { reference, target, contents: [...contents.values()] };
}

/**
 * Reading ahead: a client that asks for an image's config will ask for its layers next. Promises: two at a time, at most
 * half of what is free in the spool; it never fails a pull.
 */
import { asMirrorError } from '../errors.ts';
import { type Descriptor, type Digest, type ImageManifest, isImageType, type Reference } from '../oci/oci.ts';
import { ownerOf } from './catalogue.ts';
import { fetchContent } from './fetch.ts';
import { manifestOf } from './manifests.ts';
import type { Rooms } from './rooms.ts';
import { settle } from './settle.ts';

const READ_AHEAD_AT_ONCE = 2;
const READ_AHEAD_SPOOL_SHARE = 0.5;
/** Manifests of a name that are looked through for a config. */
const LOOK_THROUGH_MAX = 64;

type Name = Pick<Reference, 'registry' | 'repository'>;
type AheadRooms = Parameters<typeof manifestOf>[0] & Parameters<typeof fetchContent>[0] & Parameters<typeof settle>[0];

/** Begins to fetch the layers of the image whose config is `config`, if it is one; answers at once. */
export function readAhead(rooms: AheadRooms, name: Name, config: Digest): void {
  void ahead(rooms, name, config).catch((error: unknown) => {
    const { code, message } = asMirrorError(error, 'CONTENT_ABSENT', 'reading ahead');
    rooms.log.info({ digest: config, code }, message);
  });
}

async function ahead(rooms: AheadRooms, name: Name, config: Digest): Promise<void> {
  const image = await imageWithConfig(rooms, name, config);
  if (!image) return;
  const { vouchers } = rooms.policy().rule(name.registry, name.repository);
  let room = rooms.spool.free * READ_AHEAD_SPOOL_SHARE;
  const wanted: Descriptor[] = [];
  for (const layer of image.layers) {
    if (layer.size > room || (await isHere(rooms, layer.digest))) continue;
    room -= layer.size;
    wanted.push(layer);
  }
  const next = async (): Promise<void> => {
    for (let layer = wanted.shift(); layer && !rooms.life.aborted; layer = wanted.shift()) {
      try {
        const fetch = await fetchContent(rooms, layer, vouchers);
        await fetch.whole();
        settle(rooms);
      } catch (error) {
        const { code, message } = asMirrorError(error, 'CONTENT_ABSENT', 'reading ahead');
        rooms.log.info({ digest: layer.digest, code }, message);
      }
    }
  };
  await Promise.all(Array.from({ length: READ_AHEAD_AT_ONCE }, next));
}

async function imageWithConfig(rooms: AheadRooms, name: Name, config: Digest): Promise<ImageManifest | undefined> {
  const images = rooms.catalogue.under(ownerOf(name)).filter(({ mediaType }) => isImageType(mediaType));
  for (const { digest } of images.slice(-LOOK_THROUGH_MAX)) {
    // Only manifests that are here: those of other platforms are not worth a journey.
    if (!(await isHere(rooms, digest))) continue;
    const { manifest } = await manifestOf(rooms, { ...name, digest });
    if (manifest.kind === 'image' && manifest.config.digest === config) return manifest;
  }
  return undefined;
}

/** True where the store or the spool has the content whole. */
export async function isHere(rooms: Pick<Rooms, 'store' | 'spool'>, digest: Digest): Promise<boolean> {
  const content = (await rooms.spool.open(digest)) ?? (await rooms.store.open(digest));
  await content?.close();
  return content !== undefined;
}

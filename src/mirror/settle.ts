/**
 * What becomes of fetched content. With the embedded store, an image that was pulled and is complete moves from the spool
 * into the layout, by rename, and gets its name there; with containerd, a spool copy goes once containerd holds it.
 */
import { asMirrorError } from '../errors.ts';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  INDEX_MAX_DEPTH,
  isManifestType,
  MANIFEST_MAX_BYTES,
  parseManifest,
} from '../oci/oci.ts';
import type { Content, Keeping } from '../store/store.ts';
import type { Root } from './pulls.ts';
import type { Rooms } from './rooms.ts';

type SettleRooms = Pick<Rooms, 'store' | 'spool' | 'pulls' | 'log'>;

const running = new WeakMap<object, { again: boolean }>();

/** Moves every pulled image that is complete into the embedded store; answers at once, one run at a time. */
export function settle(rooms: SettleRooms): void {
  const { keeping } = rooms.store;
  const current = running.get(rooms.pulls);
  if (!keeping || current) {
    if (current) current.again = true;
    return;
  }
  const state = { again: true };
  running.set(rooms.pulls, state);
  void (async () => {
    while (state.again) {
      state.again = false;
      for (const [key, root] of rooms.pulls.roots()) await settleOne(rooms, keeping, key, root);
    }
    running.delete(rooms.pulls);
  })();
}

async function settleOne(rooms: SettleRooms, keeping: Keeping, key: string, root: Root): Promise<void> {
  try {
    const found = await wholeOf(rooms, root.target, new Map());
    if (!found) return;
    let moved = false;
    for (const digest of found.contents) {
      const move = moveOne(rooms, keeping, digest);
      rooms.pulls.moving = move.then(
        () => undefined,
        () => undefined,
      );
      moved = (await move) || moved;
    }
    if (moved || !root.named) await keeping.name(root.reference, root.target);
    root.named = true;
    // Where nothing was new and a platform is not here, that one may be what is being pulled.
    if (!moved && found.lacks) return;
    rooms.pulls.settled(key);
    rooms.log.info({ reference: key, digest: root.target.digest }, `${key} is complete in the store`);
  } catch (error) {
    const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', key);
    rooms.log.warn({ reference: key, code }, `could not keep ${key}: ${message}`);
    rooms.pulls.settled(key);
  }
}

/** True where the content was in the spool, and is in the store now. */
async function moveOne(rooms: SettleRooms, keeping: Keeping, digest: Digest): Promise<boolean> {
  const path = await rooms.spool.take(digest);
  if (path) await keeping.adopt(digest, path);
  return path !== undefined;
}

const openHere = async (rooms: SettleRooms, digest: Digest): Promise<Content | undefined> =>
  (await rooms.spool.open(digest)) ?? (await rooms.store.open(digest));

/** What is here of an image: its whole contents, and whether a platform of an index is not here. */
interface Found {
  readonly contents: ReadonlySet<Digest>;
  readonly lacks: boolean;
}

/**
 * `target` with all that it needs, of an index one platform; undefined where that is not here. Each content is looked at
 * once, however often manifests name it: `walked` has what was found before.
 */
async function wholeOf(
  rooms: SettleRooms,
  target: Descriptor,
  walked: Map<Digest, Found | undefined>,
  depth = 0,
): Promise<Found | undefined> {
  if (walked.has(target.digest)) return walked.get(target.digest);
  walked.set(target.digest, undefined);
  const bytes = await bytesHere(rooms, target);
  const found = bytes && (await withChildren(rooms, target.digest, bytes, walked, depth));
  walked.set(target.digest, found);
  return found;
}

/** The bytes of a manifest, none of anything else; undefined where it is not here, or too large for a manifest. */
async function bytesHere(rooms: SettleRooms, { digest, mediaType }: Descriptor): Promise<Uint8Array | undefined> {
  const content = await openHere(rooms, digest);
  if (!content) return undefined;
  try {
    if (!isManifestType(mediaType)) return new Uint8Array(0);
    if (content.size > MANIFEST_MAX_BYTES) return undefined;
    const bytes = new Uint8Array(content.size);
    await content.read(bytes, 0);
    return bytes;
  } finally {
    await content.close();
  }
}

async function withChildren(
  rooms: SettleRooms,
  digest: Digest,
  bytes: Uint8Array,
  walked: Map<Digest, Found | undefined>,
  depth: number,
): Promise<Found | undefined> {
  const contents = new Set([digest]);
  if (bytes.length === 0) return { contents, lacks: false };
  const manifest = parseManifest(bytes);
  if (manifest.kind === 'index' && depth >= INDEX_MAX_DEPTH) return undefined;
  let lacks = false;
  for (const child of childrenOf(manifest)) {
    const below = await wholeOf(rooms, child, walked, depth + 1);
    if (!below && manifest.kind === 'image') return undefined;
    lacks ||= !below || below.lacks;
    for (const one of below?.contents ?? []) contents.add(one);
  }
  return manifest.kind === 'index' && contents.size === 1 ? undefined : { contents, lacks };
}

/** Drops what containerd holds by now from the spool. */
export async function dropDuplicates(rooms: Pick<Rooms, 'store' | 'spool'>): Promise<void> {
  for (const digest of rooms.spool.list()) {
    const stored = await rooms.store.open(digest);
    if (!stored) continue;
    await stored.close();
    await rooms.spool.drop(digest);
  }
}

/**
 * What becomes of fetched content. With the embedded store, an image that was pulled and is complete moves from the spool
 * into the layout, by rename, and gets its name there; with containerd, a spool copy goes once containerd holds it.
 */
import { asMirrorError } from '../errors.ts';
import { childrenOf, type Descriptor, type Digest, isManifestType, parseManifest } from '../oci/oci.ts';
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
    const contents = await completeClosure(rooms, root.target);
    if (!contents) return;
    for (const digest of contents) {
      const path = await rooms.spool.take(digest);
      if (path) await keeping.adopt(digest, path);
    }
    await keeping.name(root.reference, root.target);
    rooms.pulls.settled(key);
    rooms.log.info({ reference: key, digest: root.target.digest }, `${key} is complete in the store`);
  } catch (error) {
    const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', key);
    rooms.log.warn({ reference: key, code }, `could not keep ${key}: ${message}`);
    rooms.pulls.settled(key);
  }
}

const openHere = async (rooms: SettleRooms, digest: Digest): Promise<Content | undefined> =>
  (await rooms.spool.open(digest)) ?? (await rooms.store.open(digest));

/** All digests of an image that is here whole: of an index, the platforms that are; undefined while something lacks. */
async function completeClosure(rooms: SettleRooms, target: Descriptor): Promise<Set<Digest> | undefined> {
  const content = await openHere(rooms, target.digest);
  if (!content) return undefined;
  const closure = new Set([target.digest]);
  if (!isManifestType(target.mediaType)) {
    await content.close();
    return closure;
  }
  const bytes = new Uint8Array(content.size);
  await content.read(bytes, 0).finally(() => content.close());
  const manifest = parseManifest(bytes);
  let complete = 0;
  for (const child of childrenOf(manifest)) {
    const below = await completeClosure(rooms, child);
    if (below) {
      complete += 1;
      for (const digest of below) closure.add(digest);
    } else if (manifest.kind === 'image') return undefined;
  }
  return manifest.kind === 'image' || complete > 0 ? closure : undefined;
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

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
    const found = { contents: new Set<Digest>(), lacks: false };
    if (!(await isComplete(rooms, root.target, found))) return;
    let moved = false;
    for (const digest of found.contents) {
      const path = await rooms.spool.take(digest);
      if (path) await keeping.adopt(digest, path);
      moved ||= path !== undefined;
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

const openHere = async (rooms: SettleRooms, digest: Digest): Promise<Content | undefined> =>
  (await rooms.spool.open(digest)) ?? (await rooms.store.open(digest));

/** What was found of an image: its whole contents, and whether a platform of an index is not here. */
interface Found {
  readonly contents: Set<Digest>;
  lacks: boolean;
}

/** True where `target` is here with all that it needs, of an index one platform; what it needs is added to `found`. */
async function isComplete(rooms: SettleRooms, target: Descriptor, found: Found): Promise<boolean> {
  const content = await openHere(rooms, target.digest);
  if (!content) return false;
  const bytes = new Uint8Array(isManifestType(target.mediaType) ? content.size : 0);
  try {
    await content.read(bytes, 0);
  } finally {
    await content.close();
  }
  const contents = new Set([target.digest]);
  if (bytes.length > 0) {
    const manifest = parseManifest(bytes);
    let complete = 0;
    for (const child of childrenOf(manifest)) {
      const below = { contents, lacks: false };
      if (await isComplete(rooms, child, below)) complete += 1;
      else if (manifest.kind === 'image') return false;
      else below.lacks = true;
      found.lacks ||= below.lacks;
    }
    if (manifest.kind === 'index' && complete === 0) return false;
  }
  for (const digest of contents) found.contents.add(digest);
  return true;
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

/**
 * Manifests, proved and parsed: from this node's store or spool where the name reaches them, else from peers. Promises:
 * what is parsed here was hashed before; what an admitted one lists is remembered under the name that it was asked by, and
 * nothing else is: so what the catalogue lists under a name is admitted there.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  MANIFEST_MAX_BYTES,
  type Manifest,
  parseManifest,
} from '../oci/oci.ts';
import { admit, type AdmitRooms, type Named } from './admit.ts';
import { type Owner, ownerOf } from './catalogue.ts';
import { fetchManifest } from './fetch-manifest.ts';
import { readProved } from './read-proved.ts';
import type { Rooms } from './rooms.ts';

/** Manifests that are read to find out where a blob belongs. */
const EXPAND_MAX = 64;
/** Pinned indexes of a name that are looked into for a manifest. */
const PARENTS_MAX = 16;

export interface ProvedManifest {
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
  readonly descriptor: Descriptor;
  readonly from: string;
}

type ManifestRooms = Parameters<typeof fetchManifest>[0] & Pick<Rooms, 'store' | 'catalogue'> & AdmitRooms;

/** A manifest in the store, read and proved, whatever name it belongs to; undefined where it is absent or no manifest. */
export async function storedManifest(
  rooms: Pick<Rooms, 'store'>,
  digest: Digest,
): Promise<{ bytes: Uint8Array; manifest: Manifest } | undefined> {
  const content = await rooms.store.open(digest);
  if (!content) return undefined;
  const bytes = await readProved(content, MANIFEST_MAX_BYTES);
  return { bytes, manifest: parseManifest(bytes) };
}

/**
 * The manifest that `named` names, admitted: by itself, or by an index that was. What is refused is not looked for.
 * `had` is the same manifest, where it was proved before. @throws what `admit` throws, CONTENT_ABSENT, MANIFEST_*
 */
export async function manifestOf(rooms: ManifestRooms, named: Named, had?: ProvedManifest): Promise<ProvedManifest> {
  const owner = ownerOf(named);
  const { hash } = rooms.policy();
  const known = rooms.catalogue.describe(owner, named.digest) !== undefined;
  if (!known && !had) await mustExist(rooms, named);
  // A tag is judged with its digest, whatever lists that: it may be pinned to another.
  if (named.tag !== undefined) await admit(rooms, named);
  else if (!known) await admitOrInherit(rooms, named);
  const proved = had ?? (await proveManifest(rooms, owner, named.digest));
  // Another policy came into force meanwhile, and what was learnt is judged by it already: this is not among it.
  if (rooms.policy().hash !== hash) return manifestOf(rooms, named, proved);
  rooms.catalogue.learn(owner, proved.descriptor, childrenOf(proved.manifest));
  return proved;
}

/** Digests can be asked for without end: where policy has nothing against one that nobody has, nothing is decided of it. */
async function mustExist(rooms: ManifestRooms, named: Named): Promise<void> {
  const { digest } = named;
  if (rooms.catalogue.reaches(ownerOf(named), digest) || rooms.peers.holders(digest).length > 0) return;
  if (!rooms.policy().admit(named, digest, [], rooms.world.now()).allowed) return;
  const spooled = await rooms.spool.open(digest);
  await spooled?.close();
  if (!spooled)
    throw new MirrorError('CONTENT_ABSENT', `${digest}: no reachable node says that it holds this manifest`);
}

/** A manifest, proved and parsed, that nobody has admitted; nothing is remembered of it. @throws CONTENT_ABSENT, MANIFEST_* */
export async function proveManifest(rooms: ManifestRooms, owner: Owner, digest: Digest): Promise<ProvedManifest> {
  const local = rooms.catalogue.reaches(owner, digest) && (await readLocal(rooms, digest));
  const { bytes, from } = local || (await fromPeers(rooms, owner, digest));
  const manifest = parseManifest(bytes);
  return { bytes, manifest, descriptor: { mediaType: manifest.mediaType, digest, size: bytes.length }, from };
}

/** A client that has an index itself asks for a platform's manifest alone: the pinned indexes of that name are looked into. */
async function admitOrInherit(rooms: ManifestRooms, named: Named): Promise<void> {
  try {
    await admit(rooms, named);
  } catch (error) {
    if (!(error instanceof MirrorError) || error.kind !== 'denied') throw error;
    const { registry, repository, digest } = named;
    for (const pinned of [...rooms.policy().pinned(registry, repository)].slice(-PARENTS_MAX)) {
      if (pinned === digest) continue;
      await manifestOf(rooms, { registry, repository, digest: pinned }).catch(() => undefined);
      if (rooms.catalogue.describe(ownerOf(named), digest)) return;
    }
    throw error;
  }
}

interface Read {
  readonly bytes: Uint8Array;
  readonly from: string;
}

/** What cannot be read here, or rotted, may still be had elsewhere. */
async function readLocal(rooms: ManifestRooms, digest: Digest): Promise<Read | undefined> {
  for (const from of ['store', 'spool'] as const)
    try {
      const content = await rooms[from].open(digest);
      if (content) return { bytes: await readProved(content, MANIFEST_MAX_BYTES), from };
    } catch (error) {
      const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', `reading ${digest} from the ${from}`);
      rooms.log.warn({ digest, code }, message);
      if (code !== 'STORE_CORRUPT') continue;
      await rooms.audit.record({ event: 'store.corrupt', digest, detail: message });
      if (from === 'spool') await rooms.spool.drop(digest);
    }
  return undefined;
}

async function fromPeers(rooms: ManifestRooms, owner: Owner, digest: Digest): Promise<Read> {
  const fetch = await fetchManifest(rooms, digest, rooms.catalogue.describe(owner, digest)?.size);
  await fetch.whole();
  const content = await rooms.spool.open(digest);
  if (!content) throw new MirrorError('CONTENT_ABSENT', `${digest} left the spool at once`);
  return { bytes: await readProved(content, MANIFEST_MAX_BYTES), from: fetch.source };
}

/**
 * The descriptor of a blob under a name, where need be by reading manifests of that name that this node has: a client
 * that has them itself does not ask for them again. @throws CONTENT_ABSENT where no proved manifest lists it
 */
export async function describe(
  rooms: Pick<Rooms, 'store' | 'catalogue' | 'log'>,
  owner: Owner,
  digest: Digest,
): Promise<Descriptor> {
  const known = rooms.catalogue.describe(owner, digest);
  if (known) return known;
  for (const descriptor of rooms.catalogue.unopened(owner).slice(-EXPAND_MAX)) {
    try {
      const stored = await storedManifest(rooms, descriptor.digest);
      if (stored) rooms.catalogue.learn(owner, descriptor, childrenOf(stored.manifest));
    } catch (error) {
      // One that rotted must not hide what the others list.
      const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', `reading ${descriptor.digest}`);
      rooms.log.warn({ digest: descriptor.digest, code }, message);
    }
  }
  const found = rooms.catalogue.describe(owner, digest);
  if (!found) throw new MirrorError('CONTENT_ABSENT', `${owner} has no manifest here that lists ${digest}`);
  return found;
}

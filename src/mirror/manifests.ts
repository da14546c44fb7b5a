/**
 * Manifests, proved and parsed: from this node's store or spool where the name reaches them, else from peers. Promises:
 * what is parsed here was hashed before; what it lists is remembered under the name that it was asked by.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  digestOf,
  algorithmOf,
  MANIFEST_MAX_BYTES,
  type Manifest,
  parseManifest,
} from '../oci/oci.ts';
import type { Content } from '../store/store.ts';
import { type Owner } from './catalogue.ts';
import { fetchManifest } from './fetch-manifest.ts';
import type { Rooms } from './rooms.ts';

/** Manifests that are read to find out where a blob belongs. */
const EXPAND_MAX = 64;

export interface ProvedManifest {
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
  readonly descriptor: Descriptor;
  readonly from: string;
}

type ManifestRooms = Parameters<typeof fetchManifest>[0] & Pick<Rooms, 'store' | 'catalogue'>;

/** Reads a small content whole and hashes it. @throws DIGEST_MISMATCH, MANIFEST_TOO_LARGE */
async function readProved(content: Content): Promise<Uint8Array> {
  try {
    if (content.size > MANIFEST_MAX_BYTES)
      throw new MirrorError(
        'MANIFEST_TOO_LARGE',
        `${content.digest} has ${content.size} bytes; a manifest has at most ${MANIFEST_MAX_BYTES}`,
      );
    const bytes = new Uint8Array(content.size);
    for (let at = 0; at < bytes.length; ) {
      const read = await content.read(bytes.subarray(at), at);
      if (read === 0) throw new MirrorError('STORE_CORRUPT', `${content.digest}: the file ends at byte ${at}`);
      at += read;
    }
    if (digestOf(bytes, algorithmOf(content.digest)) !== content.digest)
      throw new MirrorError('STORE_CORRUPT', `${content.digest}: the bytes on this disk have another digest`);
    return bytes;
  } finally {
    await content.close();
  }
}

/** A manifest in the store, read and proved, whatever name it belongs to; undefined where it is absent or no manifest. */
export async function storedManifest(
  rooms: Pick<Rooms, 'store'>,
  digest: Digest,
): Promise<{ bytes: Uint8Array; manifest: Manifest } | undefined> {
  const content = await rooms.store.open(digest);
  if (!content) return undefined;
  const bytes = await readProved(content);
  return { bytes, manifest: parseManifest(bytes) };
}

/** The manifest `digest` under a name. @throws CONTENT_ABSENT, MANIFEST_INVALID, MANIFEST_TOO_LARGE */
export async function manifestOf(rooms: ManifestRooms, owner: Owner, digest: Digest): Promise<ProvedManifest> {
  const local = rooms.catalogue.describe(owner, digest) && (await readLocal(rooms, digest));
  const { bytes, from } = local || (await fromPeers(rooms, owner, digest));
  const manifest = parseManifest(bytes);
  const descriptor = { mediaType: manifest.mediaType, digest, size: bytes.length };
  rooms.catalogue.learn(owner, descriptor, childrenOf(manifest));
  return { bytes, manifest, descriptor, from };
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
      if (content) return { bytes: await readProved(content), from };
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
  return { bytes: await readProved(content), from: fetch.source };
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

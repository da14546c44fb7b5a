/**
 * What is in a source of images: a tar of `docker save`, a tar of an OCI layout, or a layout folder. Promises: every byte is
 * hashed on its way into a staged file; what is offered is told as the source says it. Refuses to know stores and names.
 */
import { join } from 'node:path';
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import { algorithmOf, type Descriptor, hexOf, isDigest, MANIFEST_MAX_BYTES } from '../oci/oci.ts';
import { readArchive } from './archive.ts';
import { type DockerImage, manifestOfDocker, parseDockerImages } from './archive-docker.ts';
import type { Offered } from './attachments-import.ts';
import { closeAfter, type Disk, type OpenFile, readWhole } from './disk.ts';
import { checkLayoutVersion } from './layout-folder.ts';
import { INDEX_MAX_BYTES, parseIndex } from './layout-index.ts';
import type { Staged, Supply } from './layout-supply.ts';

const PIECE_BYTES = 1 << 20;
const BLOB_NAME = /^blobs\/(sha256|sha512)\/([a-f0-9]+)$/;

/** The images that an `index.json` offers. @throws ARCHIVE_INVALID */
function offeredBy(index: Uint8Array): readonly Offered[] {
  try {
    return parseIndex(index).map(({ target, names, raw }) => {
      if (!target) throw new MirrorError('STATE_INVALID', 'an entry of index.json is not a descriptor');
      const { kind } = (raw.annotations ?? {}) as { readonly kind?: unknown };
      return { target, names, ...(typeof kind === 'string' ? { kind } : {}) };
    });
  } catch (error) {
    throw new MirrorError(
      'ARCHIVE_INVALID',
      `the source’s ${asMirrorError(error, 'STATE_INVALID', 'index.json').message}`,
      { cause: error },
    );
  }
}

/** What a layout folder offers. @throws ARCHIVE_INVALID, FILE_UNREADABLE */
export async function readFolder(disk: Disk, folder: string): Promise<readonly Offered[]> {
  const read = async (name: string): Promise<Uint8Array> => {
    const path = join(folder, name);
    const file = await disk.openRead(path);
    if (!file) throw new MirrorError('ARCHIVE_INVALID', `${path} is not there: is ${folder} an OCI image layout?`);
    return closeAfter(file, () => readWhole(file, path, INDEX_MAX_BYTES));
  };
  checkVersion(await read('oci-layout'), join(folder, 'oci-layout'));
  return offeredBy(await read('index.json'));
}

function checkVersion(bytes: Uint8Array, path: string): void {
  try {
    checkLayoutVersion(bytes, path);
  } catch (error) {
    if (!hasCode(error, 'STATE_INVALID', 'STATE_NEWER')) throw error;
    throw new MirrorError('ARCHIVE_INVALID', error.message, { cause: error });
  }
}

/** Stages a blob of a layout folder. @throws DIGEST_MISMATCH, SIZE_MISMATCH */
export async function bringFrom(
  disk: Disk,
  folder: string,
  supply: Supply,
  { digest, size }: Descriptor,
): Promise<boolean> {
  const file = await disk.openRead(join(folder, 'blobs', algorithmOf(digest), hexOf(digest)));
  if (!file) return false;
  await closeAfter(file, () => supply.stage(digest, size, piecesOf(file), digest));
  return true;
}

async function* piecesOf(file: OpenFile): AsyncGenerator<Uint8Array> {
  const piece = new Uint8Array(PIECE_BYTES);
  for (let at = 0; ; ) {
    const count = await file.read(piece, at);
    if (count === 0) return;
    at += count;
    yield piece.subarray(0, count);
  }
}

/**
 * Stages the files of a tar, then reads what it offers; where images are not taken, small files alone, and nothing of
 * `docker save`, which knows no attachments. @throws ARCHIVE_INVALID, DIGEST_MISMATCH, SIZE_MISMATCH, FILE_UNREADABLE, STOPPED
 */
export async function readTar(
  disk: Disk,
  path: string,
  supply: Supply,
  signal: AbortSignal,
  images: boolean,
): Promise<readonly Offered[]> {
  const files = new Map<string, Staged>();
  const links = await readArchive(
    disk,
    path,
    async ({ name, size, bytes }) => {
      // What is not read is passed over.
      if (!images && size > MANIFEST_MAX_BYTES) return;
      const [, algorithm, hex] = BLOB_NAME.exec(name) ?? [];
      const claimed = `${algorithm}:${hex}`;
      files.set(
        name,
        await supply.stage(isDigest(claimed) ? claimed : name, size, bytes, isDigest(claimed) ? claimed : undefined),
      );
    },
    signal,
  );
  const find = (name: string): Staged | undefined => files.get(links.follow(name));
  const small = async (file: Staged): Promise<Uint8Array> => supply.bytes(supply.get(file.digest) ?? file);
  const [version, index, docker] = [find('oci-layout'), find('index.json'), find('manifest.json')];
  if (version && index) {
    checkVersion(await small(version), 'oci-layout');
    return offeredBy(await small(index));
  }
  if (!docker)
    throw new MirrorError('ARCHIVE_INVALID', `${path} has neither an OCI layout nor a manifest.json of docker save`);
  const offered: Offered[] = [];
  if (!images) return offered;
  for (const image of parseDockerImages(await small(docker)))
    offered.push(...(await offerDocker(image, find, small, supply)));
  return offered;
}

/** Makes a manifest for an image of `docker save`; it is offered under each of its tags. */
async function offerDocker(
  image: DockerImage,
  find: (name: string) => Staged | undefined,
  small: (file: Staged) => Promise<Uint8Array>,
  supply: Supply,
): Promise<readonly Offered[]> {
  const need = (name: string): Staged => {
    const file = find(name);
    if (!file)
      throw new MirrorError(
        'ARCHIVE_INVALID',
        `the archive’s manifest.json names ${JSON.stringify(name.slice(0, 160))}, which it does not have`,
      );
    return file;
  };
  const config = need(image.config);
  const { target, bytes } = manifestOfDocker(image, config, await small(config), image.layers.map(need));
  await supply.stage(target.digest, target.size, [bytes], target.digest);
  return image.tags.length ? image.tags.map(tag => ({ target, names: [tag] })) : [{ target, names: [] }];
}

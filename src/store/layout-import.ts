/**
 * Imports images into the embedded store: from a tar of `docker save`, a tar of an OCI layout, or a layout folder.
 * Promises: every byte that gets into the store was hashed on its way; an image gets its name only whole; after an error
 * no name is there, and no staged file. Refuses to know who may import.
 */
import { join } from 'node:path';
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  formatReference,
  hexOf,
  isDigest,
  type Reference,
} from '../oci/oci.ts';
import { readArchive } from './archive.ts';
import { type DockerImage, manifestOfDocker, parseDockerImages } from './archive-docker.ts';
import { closeAfter, type Disk, type OpenFile, readWhole } from './disk.ts';
import type { Layout } from './layout.ts';
import { checkLayoutVersion } from './layout-folder.ts';
import { fullName, INDEX_MAX_BYTES, parseIndex } from './layout-index.ts';
import { type Progress, type Staged, Supply } from './layout-supply.ts';
import { walkImage } from './layout-walk.ts';

const FOLDER_PREFIX = 'oci:';
const PIECE_BYTES = 1 << 20;
const BLOB_NAME = /^blobs\/(sha256|sha512)\/([a-f0-9]+)$/;

/** An image that was imported; `bytes` are those of all that it reaches and this store has. */
export interface Imported {
  readonly reference: Reference;
  readonly digest: Digest;
  readonly bytes: number;
}

/** What a source says that it has: a target, and what it is called there. */
interface Offered {
  readonly target: Descriptor;
  readonly names: readonly string[];
}

/**
 * Imports `source`: the path of a tar, or `oci:` and the path of a layout folder. The images are named as the source says
 * where it says full references, else `reference` names the only one. @throws ARCHIVE_INVALID, USAGE where a name has to be
 * given, CONTENT_ABSENT, DIGEST_MISMATCH, SIZE_MISMATCH, MANIFEST_*, FILE_UNREADABLE, STORE_UNAVAILABLE, STOPPED
 */
export async function importImage(
  disk: Disk,
  layout: Layout,
  source: string,
  { reference }: { readonly reference?: Reference },
  progress: Progress,
  signal: AbortSignal,
): Promise<readonly Imported[]> {
  const folder = source.startsWith(FOLDER_PREFIX) ? source.slice(FOLDER_PREFIX.length) : undefined;
  const bring = (supply: Supply, wanted: Descriptor): Promise<boolean> =>
    folder === undefined ? Promise.resolve(false) : bringFrom(disk, folder, supply, wanted);
  const supply = new Supply(disk, layout, progress, signal, bring);
  try {
    const offered = folder === undefined ? await readTar(disk, source, supply, signal) : await readFolder(disk, folder);
    const imported: Imported[] = [];
    for (const [name, target] of nameAll(offered, source, reference))
      imported.push(await importOne(supply, layout, name, target));
    return imported;
  } finally {
    await supply.clear();
  }
}

async function importOne(supply: Supply, layout: Layout, reference: Reference, target: Descriptor): Promise<Imported> {
  const sizes = new Map<Digest, number>();
  const contents = {
    find: (descriptor: Descriptor): Promise<boolean> => {
      sizes.set(descriptor.digest, descriptor.size);
      return supply.find(descriptor);
    },
    read: (descriptor: Descriptor): Promise<Uint8Array> => supply.read(descriptor),
  };
  const whole = await walkImage(contents, target);
  if (!whole)
    throw new MirrorError(
      'CONTENT_ABSENT',
      `${formatReference(reference)} is not complete in the source: export it with all its layers`,
    );
  await supply.adopt(whole);
  await layout.nameImported(reference, target);
  return { reference, digest: target.digest, bytes: whole.reduce((sum, digest) => sum + (sizes.get(digest) ?? 0), 0) };
}

/** Which name each target gets. @throws USAGE, ARCHIVE_INVALID */
function nameAll(offered: readonly Offered[], source: string, given?: Reference): readonly [Reference, Descriptor][] {
  const [first] = offered;
  if (!first) throw new MirrorError('ARCHIVE_INVALID', `${source} has no image`);
  if (given) {
    if (offered.some(({ target }) => target.digest !== first.target.digest))
      throw new MirrorError(
        'USAGE',
        `${source} has several images, so one name cannot be given: import it without, or export one alone`,
      );
    return [[given, first.target]];
  }
  return offered.map(({ names, target }) => {
    const reference = fullName(names);
    if (reference) return [reference, target];
    const said = names.length ? `calls the image ${JSON.stringify(names[0])}` : 'has an image without a name';
    throw new MirrorError('USAGE', `${source} ${said}: say which it is with --name registry/repository:tag`);
  });
}

/** The images that an `index.json` offers. @throws ARCHIVE_INVALID */
function offeredBy(index: Uint8Array): readonly Offered[] {
  try {
    return parseIndex(index).map(({ target, names }) => {
      if (!target) throw new MirrorError('STATE_INVALID', 'an entry of index.json is not a descriptor');
      return { target, names };
    });
  } catch (error) {
    throw new MirrorError(
      'ARCHIVE_INVALID',
      `the source’s ${asMirrorError(error, 'STATE_INVALID', 'index.json').message}`,
      { cause: error },
    );
  }
}

async function readFolder(disk: Disk, folder: string): Promise<readonly Offered[]> {
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
async function bringFrom(disk: Disk, folder: string, supply: Supply, { digest, size }: Descriptor): Promise<boolean> {
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

/** Stages all files of a tar, then reads what it offers. */
async function readTar(disk: Disk, path: string, supply: Supply, signal: AbortSignal): Promise<readonly Offered[]> {
  const files = new Map<string, Staged>();
  const links = await readArchive(
    disk,
    path,
    async ({ name, size, bytes }) => {
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

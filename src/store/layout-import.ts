/**
 * Imports images into the embedded store, and attachments into theirs: from a tar of `docker save`, a tar of an OCI layout, or a layout folder.
 * Promises: every byte that gets into the store was hashed on its way; an image gets its name only whole; after an error
 * no name is there, and no staged file. Refuses to know who may import.
 */
import { assert, MirrorError } from '../errors.ts';
import { type Descriptor, type Digest, formatReference, type Reference } from '../oci/oci.ts';
import { bringFrom, readFolder, readTar } from './archive-offered.ts';
import type { OpenAttachments } from './attachments.ts';
import { keepOffered, type Offered, type OfferedAttachment, sortOffered } from './attachments-import.ts';
import type { Disk } from './disk.ts';
import type { Layout } from './layout.ts';
import { fullName } from './layout-index.ts';
import { type Progress, type Shelf, Supply } from './layout-supply.ts';
import { walkImage } from './layout-walk.ts';
import type { Attachment } from './store.ts';

const FOLDER_PREFIX = 'oci:';

/** An image that was imported; `bytes` are those of all that it reaches and this store has. */
export interface Imported {
  readonly reference: Reference;
  readonly digest: Digest;
  readonly bytes: number;
}

/** All that was imported. */
export interface ImportedAll {
  readonly images: readonly Imported[];
  readonly attachments: readonly Attachment[];
  /** Manifests that are listed as attachments of something, and are not there or are none of it. */
  readonly leftOut: readonly Digest[];
  /** How images are called that were not taken, since there is no store for them. */
  readonly notTaken: readonly string[];
}

/** Imports the images of `source`; whatever it has is taken as one. @throws as `importAll` */
export async function importImage(
  disk: Disk,
  layout: Layout,
  source: string,
  options: { readonly reference?: Reference },
  progress: Progress,
  signal: AbortSignal,
): Promise<readonly Imported[]> {
  return (await importAll(disk, { layout }, source, options, progress, signal)).images;
}

/**
 * Imports `source`: the path of a tar, or `oci:` and the path of a layout folder. The images are named as the source says
 * where it says full references, else `reference` names the only one. Attachments are kept first, so that whoever judges an
 * image finds them. Without `layout` only attachments are taken. @throws ARCHIVE_INVALID, USAGE where a name has to be given,
 * or nothing can be taken, CONTENT_ABSENT, DIGEST_MISMATCH, SIZE_MISMATCH, MANIFEST_*, LIMIT_EXCEEDED, FILE_UNREADABLE,
 * STORE_UNAVAILABLE, STOPPED
 */
export async function importAll(
  disk: Disk,
  into: { readonly layout?: Layout; readonly attachments?: ImportedAttachments },
  source: string,
  { reference }: { readonly reference?: Reference },
  progress: Progress,
  signal: AbortSignal,
): Promise<ImportedAll> {
  const { layout, attachments } = into;
  const folder = source.startsWith(FOLDER_PREFIX) ? source.slice(FOLDER_PREFIX.length) : undefined;
  const bring = (supply: Supply, wanted: Descriptor): Promise<boolean> =>
    folder === undefined ? Promise.resolve(false) : bringFrom(disk, folder, supply, wanted);
  const supply = new Supply(disk, layout ?? shelfOf(attachments), progress, signal, bring);
  try {
    const read =
      folder === undefined
        ? await readTar(disk, source, supply, signal, layout !== undefined)
        : await readFolder(disk, folder);
    const called = reference ? read.map(one => ({ ...one, names: [formatReference(reference), ...one.names] })) : read;
    const sorted = attachments ? await sortOffered(supply, called) : { images: called, attachments: [] };
    const named = layout ? nameAll(sorted, source, reference) : [];
    const notTaken = layout ? [] : sorted.images.map(({ names, target }) => names[0] ?? target.digest);
    if (!layout && sorted.attachments.length === 0)
      throw new MirrorError('USAGE', `${source} has no attachments, and no store of images is written here`);
    const { kept, leftOut } = attachments
      ? await keepOffered(supply, attachments, sorted.attachments)
      : { kept: [], leftOut: [] };
    const images: Imported[] = [];
    if (layout) for (const [name, target] of named) images.push(await importOne(supply, layout, name, target));
    return { images, attachments: kept, leftOut, notTaken };
  } finally {
    await supply.clear();
  }
}

/** Attachments that an import keeps, and stages files for where there is no layout. */
type ImportedAttachments = Pick<OpenAttachments, 'keep' | 'stage'>;

function shelfOf(attachments: ImportedAttachments | undefined): Shelf {
  assert(attachments, 'an import goes somewhere');
  return { stage: () => attachments.stage(), open: () => Promise.resolve(undefined) };
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
function nameAll(
  { images: offered, attachments }: { images: readonly Offered[]; attachments: readonly OfferedAttachment[] },
  source: string,
  given?: Reference,
): readonly [Reference, Descriptor][] {
  const [first] = offered;
  if (!first && attachments.length > 0) return [];
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

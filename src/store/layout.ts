/**
 * The embedded store: an OCI image layout directory. Promises: a blob gets its name whole and synced; `index.json` is
 * replaced whole, by one process at a time; what no name reaches goes, but nothing young, since an import may be under
 * way. Refuses to know who proved what is adopted. Spec: OCI image-spec image-layout.md.
 */
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import { type Descriptor, type Digest, formatReference, type Reference } from '../oci/oci.ts';
import type { World } from '../world.ts';
import { closeAfter, type Disk, readWhole } from './disk.ts';
import { LayoutBlobs } from './layout-blobs.ts';
import { LayoutFolder } from './layout-folder.ts';
import { entryOf, formatIndex, INDEX_MAX_BYTES, type IndexEntry, imagesOf, parseIndex } from './layout-index.ts';
import { walkImage } from './layout-walk.ts';
import { watchFiles } from './layout-watch.ts';
import type { Content, Image, Keeping, Store } from './store.ts';

/** The embedded store, as its writers see it. */
export interface Layout extends Store {
  readonly kind: 'layout';
  readonly keeping: Keeping;
  /** A path for a new file, on the same file system, which `keeping.adopt` may take. */
  stage(): string;
  /** As `keeping.name`, for an image that a person brought. @throws as `keeping.name` */
  nameImported(reference: Reference, target: Descriptor): Promise<void>;
}

/** Opens the layout in `dir`, made where missing; other processes may have it open too. @throws STATE_INVALID, STATE_NEWER, FILE_UNREADABLE */
export async function openLayout(disk: Disk, dir: string, world: World): Promise<Layout> {
  const layout = new DiskLayout(disk, dir, world);
  await layout.prepare();
  return layout;
}

class DiskLayout implements Layout {
  readonly kind = 'layout';
  readonly keeping: Keeping = {
    adopt: (digest, path) => this.#blobs.adopt(digest, path),
    name: (reference, target) => this.#name(reference, target, true),
    remove: reference => this.#remove(reference),
  };
  readonly #disk: Disk;
  readonly #world: World;
  readonly #folder: LayoutFolder;
  readonly #blobs: LayoutBlobs;
  #parsed: { readonly stamp: string; readonly entries: readonly IndexEntry[]; readonly modifiedAt: number } | undefined;

  constructor(disk: Disk, dir: string, world: World) {
    this.#disk = disk;
    this.#world = world;
    this.#folder = new LayoutFolder(disk, dir, world);
    this.#blobs = new LayoutBlobs(disk, dir, world, () => this.stage());
  }

  /** Makes what is missing, and reads what is there. */
  async prepare(): Promise<void> {
    await this.#folder.prepare(this.#blobs.folders, formatIndex([]));
    await this.#index();
    await this.#folder.tidy();
  }

  async images(): Promise<readonly Image[]> {
    try {
      const { entries, modifiedAt } = await this.#index();
      return imagesOf(entries, modifiedAt);
    } catch (error) {
      throw unavailable(error, this.#folder.path);
    }
  }

  async open(digest: Digest): Promise<Content | undefined> {
    const recorded = await this.#recorded(digest);
    let content: Content | undefined;
    try {
      content = await this.#blobs.open(digest);
    } catch (error) {
      throw unavailable(error, this.#folder.path);
    }
    if (!content || recorded === undefined || content.size === recorded) return content;
    await content.close();
    throw new MirrorError(
      'STORE_CORRUPT',
      `${this.#blobs.path(digest)} has ${content.size} bytes instead of ${recorded}: import or pull the image again`,
    );
  }

  watch(changed: () => void, signal: AbortSignal): Promise<void> {
    const { folders } = this.#blobs;
    return watchFiles(
      this.#disk,
      this.#world,
      [this.#folder.path, ...folders],
      [this.#folder.indexPath, ...folders],
      changed,
      signal,
    );
  }

  stage(): string {
    return this.#folder.stage();
  }

  nameImported(reference: Reference, target: Descriptor): Promise<void> {
    return this.#name(reference, target, false);
  }

  /** The index as it is now. @throws STATE_INVALID, FILE_UNREADABLE */
  async #index(): Promise<{ entries: readonly IndexEntry[]; modifiedAt: number }> {
    const file = await this.#disk.openRead(this.#folder.indexPath);
    if (!file)
      throw new MirrorError(
        'FILE_UNREADABLE',
        `${this.#folder.indexPath} is not there any more: was the store removed?`,
      );
    return closeAfter(file, async () => {
      const { stamp, modifiedAt } = await file.facts();
      if (this.#parsed?.stamp === stamp) return this.#parsed;
      try {
        const entries = parseIndex(await readWhole(file, this.#folder.indexPath, INDEX_MAX_BYTES));
        this.#parsed = { stamp, entries, modifiedAt };
        return this.#parsed;
      } catch (error) {
        if (!hasCode(error, 'STATE_INVALID')) throw error;
        throw new MirrorError(
          'STATE_INVALID',
          `${this.#folder.indexPath}: ${error.message}; restore it, or remove ${this.#folder.path} and import again`,
          { cause: error },
        );
      }
    });
  }

  /** The size that the index says, where it names the content itself. */
  async #recorded(digest: Digest): Promise<number | undefined> {
    const index = await this.#index().catch(() => undefined); // `images` is where a damaged index is told.
    return index?.entries.find(({ target }) => target?.digest === digest)?.target?.size;
  }

  /** @throws CONTENT_ABSENT where something that it needs was not adopted; MANIFEST_INVALID, STORE_CORRUPT */
  #name(reference: Reference, target: Descriptor, fetched: boolean): Promise<void> {
    const name = formatReference(reference);
    return this.#folder.locked(async () => {
      // Looked at under the lock: what was adopted long ago may have been removed as reached by no name.
      if (!(await walkImage(this.#blobs.contents(), target)))
        throw new MirrorError(
          'CONTENT_ABSENT',
          `${name} is not complete in ${this.#folder.path}: import or pull it again`,
        );
      const { entries } = await this.#index();
      const same = entries.find(entry => entry.names.includes(name));
      if (same?.target?.digest === target.digest) return;
      const others = entries.filter(entry => !entry.names.includes(name));
      await this.#folder.replaceIndex(formatIndex([...others, entryOf(reference, target, this.#world.now(), fetched)]));
    });
  }

  #remove(reference: Reference): Promise<void> {
    const name = formatReference(reference);
    return this.#folder.locked(async () => {
      const { entries } = await this.#index();
      const left = entries.filter(entry => !entry.names.includes(name));
      if (left.length === entries.length) return;
      await this.#folder.replaceIndex(formatIndex(left));
      await this.#blobs.sweep(left.flatMap(({ target }) => target ?? []));
    });
  }
}

const unavailable = (error: unknown, dir: string): MirrorError =>
  new MirrorError(
    'STORE_UNAVAILABLE',
    `the store ${dir} cannot be read: ${asMirrorError(error, 'FILE_UNREADABLE', dir).message}`,
    { cause: error },
  );

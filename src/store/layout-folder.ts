/**
 * What makes a folder an OCI image layout with one writer: its version, its index, a lock, a place for new files. Promises:
 * the index is replaced whole; what a dead writer left half-made goes after a day. Refuses to know what the index says.
 * Spec: OCI image-spec image-layout.md.
 */
import { join } from 'node:path';
import { asMirrorError, MirrorError } from '../errors.ts';
import type { World } from '../world.ts';
import { closeAfter, type Disk, readWhole, replaceFile } from './disk.ts';
import { lockedIn } from './layout-lock.ts';

/** What a writer left in its folder goes after so long. */
const STAGED_MAX_MS = 86_400_000;
const LAYOUT_VERSION = '1.0.0';
const VERSION_MAX_BYTES = 1 << 16;

export class LayoutFolder {
  readonly path: string;
  readonly indexPath: string;
  readonly #disk: Disk;
  readonly #world: World;
  readonly #locks: string;
  readonly #staging: string;

  constructor(disk: Disk, path: string, world: World) {
    this.path = path;
    this.indexPath = join(path, 'index.json');
    this.#disk = disk;
    this.#world = world;
    this.#locks = join(path, '.pinnace', 'locks');
    this.#staging = join(path, '.pinnace', 'staging');
  }

  /** Makes what is missing, `folders` too; `empty` are the bytes of a new index. @throws STATE_INVALID, STATE_NEWER, FILE_UNREADABLE */
  async prepare(folders: readonly string[], empty: Uint8Array): Promise<void> {
    for (const folder of [this.path, ...folders, this.#locks, this.#staging]) await this.#disk.mkdir(folder);
    await this.locked(async () => {
      await this.#checkVersion();
      if (!(await this.#disk.facts(this.indexPath))) await this.replaceIndex(empty);
    });
  }

  /** Removes what was staged long ago. */
  async tidy(): Promise<void> {
    for (const name of await this.#disk.list(this.#staging)) {
      const facts = await this.#disk.facts(join(this.#staging, name));
      if (facts && this.#world.now() - facts.modifiedAt > STAGED_MAX_MS)
        await this.#disk.remove(join(this.#staging, name));
    }
  }

  /** A path for a new file, on the same file system. */
  stage(): string {
    return join(this.#staging, Buffer.from(this.#world.random(16)).toString('hex'));
  }

  /** Runs `work` as the only writer, among processes too. @throws STORE_UNAVAILABLE, and what `work` throws */
  locked<T>(work: () => Promise<T>): Promise<T> {
    return lockedIn(this.#disk, this.#locks, this.#world, work);
  }

  replaceIndex(bytes: Uint8Array): Promise<void> {
    return replaceFile(this.#disk, this.indexPath, bytes);
  }

  async #checkVersion(): Promise<void> {
    const path = join(this.path, 'oci-layout');
    const file = await this.#disk.openRead(path);
    if (!file)
      return replaceFile(this.#disk, path, Buffer.from(JSON.stringify({ imageLayoutVersion: LAYOUT_VERSION })));
    checkLayoutVersion(await closeAfter(file, () => readWhole(file, path, VERSION_MAX_BYTES)), path);
  }
}

/** Judges the file `oci-layout`. @throws STATE_INVALID, STATE_NEWER */
export function checkLayoutVersion(bytes: Uint8Array, path: string): void {
  let version: unknown;
  try {
    version = (JSON.parse(Buffer.from(bytes).toString()) as { imageLayoutVersion?: unknown } | null)
      ?.imageLayoutVersion;
  } catch (error) {
    throw asMirrorError(error, 'STATE_INVALID', `${path} is damaged`);
  }
  if (typeof version !== 'string') throw new MirrorError('STATE_INVALID', `${path} names no imageLayoutVersion`);
  if (!version.startsWith('1.'))
    throw new MirrorError(
      'STATE_NEWER',
      `${path} is of version ${version.slice(0, 20)}, this program reads ${LAYOUT_VERSION}`,
    );
}

/**
 * The files of the attachments: blobs, and the index that names them. Promises: a blob gets its name whole and synced; what
 * is read back as an attachment is whole, its manifest hashed. Refuses to know what is to be kept, and locks nothing itself.
 */
import { basename } from 'node:path';
import { hasCode, MirrorError } from '../errors.ts';
import { type Digest, isDigest } from '../oci/oci.ts';
import type { World } from '../world.ts';
import { readAttachment, sizesOf } from './attachments-checked.ts';
import {
  type AttachmentEntry,
  ATTACHMENTS_INDEX_MAX_BYTES,
  formatAttachments,
  parseAttachments,
} from './attachments-index.ts';
import { closeAfter, type Disk, readWhole } from './disk.ts';
import { LayoutBlobs } from './layout-blobs.ts';
import { LayoutFolder } from './layout-folder.ts';
import { ATTACHMENT_MAX_BYTES, type Attachment } from './store.ts';

export class AttachmentFiles {
  readonly folder: LayoutFolder;
  readonly blobs: LayoutBlobs;
  readonly #disk: Disk;

  constructor(disk: Disk, dir: string, world: World) {
    this.#disk = disk;
    this.folder = new LayoutFolder(disk, dir, world);
    this.blobs = new LayoutBlobs(disk, dir, world, () => this.folder.stage());
  }

  /** Makes what is missing. @throws STATE_INVALID, STATE_NEWER, FILE_UNREADABLE, STORE_UNAVAILABLE */
  async prepare(): Promise<void> {
    await this.folder.prepare(this.blobs.folders, formatAttachments([]));
    await this.folder.tidy();
  }

  /** The index, unless it is the one of `stamp`. @throws STATE_INVALID, FILE_UNREADABLE */
  async readIndex(
    stamp: string | undefined,
  ): Promise<{ readonly stamp: string; readonly entries: readonly AttachmentEntry[] } | undefined> {
    const { path, indexPath } = this.folder;
    const file = await this.#disk.openRead(indexPath);
    if (!file) throw new MirrorError('FILE_UNREADABLE', `${indexPath} is not there any more: was it removed?`);
    return closeAfter(file, async () => {
      const now = (await file.facts()).stamp;
      if (now === stamp) return undefined;
      try {
        return { stamp: now, entries: parseAttachments(await readWhole(file, indexPath, ATTACHMENTS_INDEX_MAX_BYTES)) };
      } catch (error) {
        if (!hasCode(error, 'STATE_INVALID')) throw error;
        throw new MirrorError(
          'STATE_INVALID',
          `${indexPath}: ${error.message}; restore it, or remove ${path}: attachments are then found at peers, or imported again`,
          { cause: error },
        );
      }
    });
  }

  /** Replaces the index; answers with its stamp. @throws FILE_UNREADABLE */
  async writeIndex(entries: readonly AttachmentEntry[]): Promise<string | undefined> {
    await this.folder.replaceIndex(formatAttachments(entries));
    return (await this.#disk.facts(this.folder.indexPath))?.stamp;
  }

  /** Reads what an entry names; undefined where it is not whole any more, so that it can be found again elsewhere. */
  async load({ subject, bond, manifest }: AttachmentEntry): Promise<Attachment | undefined> {
    const path = this.blobs.path(manifest.digest);
    const file = await this.#disk.openRead(path);
    if (!file) return undefined;
    const bytes = await closeAfter(file, async () => {
      const { size } = await file.facts();
      return size === manifest.size ? readWhole(file, path, ATTACHMENT_MAX_BYTES) : undefined;
    });
    if (!bytes) return undefined;
    let attachment: Attachment;
    try {
      attachment = readAttachment({ subject, bond, manifest: bytes });
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
      return undefined;
    }
    if (attachment.manifest.digest !== manifest.digest) return undefined;
    for (const [digest, size] of sizesOf(attachment)) {
      const facts = await this.#disk.facts(this.blobs.path(digest));
      if (facts?.kind !== 'file' || facts.size !== size) return undefined;
    }
    return attachment;
  }

  /** Writes a blob whose digest was checked, unless its right bytes are there. @throws FILE_UNREADABLE */
  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    if (await this.#has(digest, bytes)) return;
    const path = this.folder.stage();
    try {
      const file = await this.#disk.create(path);
      await closeAfter(file, () => file.write(bytes, 0));
      await this.blobs.adopt(digest, path);
    } catch (error) {
      await this.#disk.remove(path);
      throw error;
    }
  }

  async #has(digest: Digest, bytes: Uint8Array): Promise<boolean> {
    const content = await this.blobs.open(digest).catch(() => undefined);
    if (!content) return false;
    return closeAfter(content, async () => {
      if (content.size !== bytes.length) return false;
      const there = Buffer.alloc(bytes.length);
      return (await content.read(there, 0)) === bytes.length && there.equals(bytes);
    });
  }

  remove(digest: Digest): Promise<void> {
    return this.#disk.remove(this.blobs.path(digest));
  }

  /** The blobs that are there. */
  async list(): Promise<readonly Digest[]> {
    const found: Digest[] = [];
    for (const folder of this.blobs.folders)
      for (const hex of await this.#disk.list(folder)) {
        const digest = `${basename(folder)}:${hex}`;
        if (isDigest(digest)) found.push(digest);
      }
    return found;
  }
}

/**
 * Attachments on disk, in an OCI layout of Pinnace's own that several processes may have open. Promises: what is listed is
 * whole; `index.json` is replaced whole, by one writer at a time, after all that it names was synced; keeping many at once
 * writes it once. Refuses to know whether a signature holds. Spec: OCI image-spec image-layout.md.
 */
import { basename } from 'node:path';
import { hasCode, MirrorError } from '../errors.ts';
import { type Digest, digestOf, isDigest } from '../oci/oci.ts';
import type { World } from '../world.ts';
import { checkAttachment, readAttachment, sizesOf } from './attachments-checked.ts';
import {
  type AttachmentEntry,
  ATTACHMENTS_INDEX_MAX_BYTES,
  formatAttachments,
  parseAttachments,
} from './attachments-index.ts';
import { AttachmentTable, keyOf, staying } from './attachments-table.ts';
import { closeAfter, type Disk, inTurn, readWhole } from './disk.ts';
import { LayoutBlobs } from './layout-blobs.ts';
import { LayoutFolder } from './layout-folder.ts';
import { watchFiles } from './layout-watch.ts';
import { ATTACHMENT_GRACE_MS, ATTACHMENT_MAX_BYTES, type Attachment, type Attachments, type Content } from './store.ts';

/** So many are kept with one writing of the index. */
const BATCH = 256;
/** Manifests that are read at once when the folder is opened. */
const READ_AT_ONCE = 32;

/** Attachments that other processes may change too. */
export interface OpenAttachments extends Attachments {
  /** Takes in what other processes kept or dropped. @throws STATE_INVALID, FILE_UNREADABLE: what was known stays */
  refresh(): Promise<void>;
  /** Refreshes at every change of the folder, and calls `changed`, until `signal` aborts. Never rejects. */
  watch(changed: () => void, signal: AbortSignal): Promise<void>;
  /** A path for a new file on the same file system. */
  stage(): string;
}

/** Opens the attachments in `dir`, made where missing. @throws STATE_INVALID, STATE_NEWER, FILE_UNREADABLE, STORE_UNAVAILABLE */
export async function openAttachments(disk: Disk, dir: string, world: World): Promise<OpenAttachments> {
  const attachments = new DiskAttachments(disk, dir, world);
  await attachments.prepare();
  return attachments;
}

/** One that waits to be kept. */
interface Waiting {
  readonly attachment: Attachment;
  /** The manifest and all that it lists. */
  readonly bytes: ReadonlyMap<Digest, Uint8Array>;
  readonly done: PromiseWithResolvers<Attachment>;
}

class DiskAttachments implements OpenAttachments {
  readonly #disk: Disk;
  readonly #world: World;
  readonly #folder: LayoutFolder;
  readonly #blobs: LayoutBlobs;
  readonly #turn = inTurn();
  readonly #waiting: Waiting[] = [];
  /** As the index says, but for what is not whole any more. */
  #entries: readonly AttachmentEntry[] = [];
  #table = new AttachmentTable();
  /** Of the index that was read. */
  #stamp: string | undefined;

  constructor(disk: Disk, dir: string, world: World) {
    this.#disk = disk;
    this.#world = world;
    this.#folder = new LayoutFolder(disk, dir, world);
    this.#blobs = new LayoutBlobs(disk, dir, world, () => this.#folder.stage());
  }

  async prepare(): Promise<void> {
    await this.#folder.prepare(this.#blobs.folders, formatAttachments([]));
    await this.#folder.locked(async () => {
      await this.#read();
      await this.#sweep();
    });
    await this.#folder.tidy();
  }

  of(subject: Digest): readonly Attachment[] {
    return this.#table.of(subject);
  }

  subjects(): readonly Digest[] {
    return this.#table.subjects();
  }

  owners(digest: Digest): readonly Attachment[] {
    return this.#table.owners(digest);
  }

  stage(): string {
    return this.#folder.stage();
  }

  refresh(): Promise<void> {
    return this.#turn(() => this.#read());
  }

  watch(changed: () => void, signal: AbortSignal): Promise<void> {
    // A damaged index leaves what is known; whoever opens the folder or keeps something is told.
    const look = (): void => void this.refresh().then(changed, () => undefined);
    return watchFiles(this.#disk, this.#world, [this.#folder.path], [this.#folder.indexPath], look, signal);
  }

  async open(digest: Digest): Promise<Content | undefined> {
    const size = this.#table.sizeOf(digest);
    const content = size === undefined ? undefined : await this.#blobs.open(digest);
    if (!content || content.size === size) return content;
    await content.close();
    throw new MirrorError('STORE_CORRUPT', `${this.#blobs.path(digest)} has ${content.size} bytes instead of ${size}`);
  }

  async keep(
    artifact: Parameters<Attachments['keep']>[0],
    contents: ReadonlyMap<Digest, Uint8Array>,
  ): Promise<Attachment> {
    const attachment = checkAttachment(artifact, contents);
    const bytes = new Map<Digest, Uint8Array>([[attachment.manifest.digest, new Uint8Array(artifact.manifest)]]);
    // Copies: what was hashed is what is written later, whatever the caller does meanwhile.
    for (const { digest } of attachment.contents) bytes.set(digest, new Uint8Array(contents.get(digest)!));
    const done = Promise.withResolvers<Attachment>();
    this.#waiting.push({ attachment, bytes, done });
    void this.#turn(() => this.#keepWaiting());
    return done.promise;
  }

  async retain(wanted: (subject: Digest) => boolean): Promise<void> {
    const young = ({ keptAt }: AttachmentEntry): boolean => this.#isYoung(keptAt);
    await this.#turn(async () => {
      await this.#read();
      if (staying(this.#entries, wanted, young).length === this.#entries.length) return;
      await this.#folder.locked(async () => {
        await this.#read();
        await this.#folder.replaceIndex(formatAttachments(staying(this.#entries, wanted, young)));
        await this.#read();
        await this.#sweep();
      });
    });
  }

  #isYoung(keptAt: number): boolean {
    return this.#world.now() - keptAt <= ATTACHMENT_GRACE_MS;
  }

  /** Keeps what waits, as much as one writing of the index takes; each hears how it went. Never rejects. */
  async #keepWaiting(): Promise<void> {
    const batch = this.#waiting.splice(0, BATCH);
    if (batch.length === 0) return;
    try {
      const kept = await this.#folder.locked(() => this.#keepAll(batch));
      for (const [waiting, attachment] of kept) waiting.done.resolve(attachment);
    } catch (error) {
      // What the table has too much goes: the index that is on disk counts.
      this.#stamp = undefined;
      await this.#read().catch(() => undefined);
      for (const { done } of batch) done.reject(error);
    }
  }

  /** Under the lock. What cannot be kept alone is told alone. */
  async #keepAll(batch: readonly Waiting[]): Promise<readonly [Waiting, Attachment][]> {
    await this.#read();
    const entries = new Map(this.#entries.map(entry => [keyOf(entry), entry]));
    const kept: [Waiting, Attachment][] = [];
    let changed = false;
    for (const waiting of batch) {
      const { attachment } = waiting;
      const key = keyOf(attachment);
      try {
        const known = this.#table.get(key);
        if (!known) this.#table.demandRoom(attachment);
        for (const [digest, bytes] of waiting.bytes) await this.#put(digest, bytes);
        this.#table.take(attachment);
        const before = entries.get(key);
        if (!known || !before || !this.#isYoung(before.keptAt)) {
          const { subject, bond, manifest } = attachment;
          entries.set(key, { subject, bond, manifest, keptAt: this.#world.now() });
          changed = true;
        }
        kept.push([waiting, known ?? attachment]);
      } catch (error) {
        await this.#drop(waiting.bytes.keys());
        waiting.done.reject(error);
      }
    }
    if (changed) await this.#write([...entries.values()]);
    return kept;
  }

  /** Writes a blob, unless its right bytes are there. */
  async #put(digest: Digest, bytes: Uint8Array): Promise<void> {
    if (await this.#has(digest, bytes)) return;
    const path = this.#folder.stage();
    try {
      const file = await this.#disk.create(path);
      await closeAfter(file, () => file.write(bytes, 0));
      await this.#blobs.adopt(digest, path);
    } catch (error) {
      await this.#disk.remove(path);
      throw error;
    }
  }

  async #has(digest: Digest, bytes: Uint8Array): Promise<boolean> {
    const content = await this.#blobs.open(digest).catch(() => undefined);
    if (!content) return false;
    return closeAfter(content, async () => {
      if (content.size !== bytes.length) return false;
      const there = Buffer.alloc(bytes.length);
      return (await content.read(there, 0)) === bytes.length && there.equals(bytes);
    });
  }

  async #write(entries: readonly AttachmentEntry[]): Promise<void> {
    await this.#folder.replaceIndex(formatAttachments(entries));
    this.#entries = entries;
    this.#stamp = (await this.#disk.facts(this.#folder.indexPath))?.stamp;
  }

  /** Takes in the index as it is now, where it is another. @throws STATE_INVALID, FILE_UNREADABLE */
  async #read(): Promise<void> {
    const path = this.#folder.indexPath;
    const file = await this.#disk.openRead(path);
    if (!file) throw new MirrorError('FILE_UNREADABLE', `${path} is not there any more: was it removed?`);
    await closeAfter(file, async () => {
      const { stamp } = await file.facts();
      if (stamp === this.#stamp) return;
      const entries = this.#parse(await readWhole(file, path, ATTACHMENTS_INDEX_MAX_BYTES));
      const table = new AttachmentTable();
      const whole: AttachmentEntry[] = [];
      for (let at = 0; at < entries.length; at += READ_AT_ONCE) {
        const some = entries.slice(at, at + READ_AT_ONCE);
        const read = await Promise.all(some.map(entry => this.#load(entry)));
        for (const [place, attachment] of read.entries()) {
          if (!attachment || !table.take(attachment)) continue;
          whole.push(some[place]!);
        }
      }
      this.#entries = whole;
      this.#table = table;
      this.#stamp = stamp;
    });
  }

  #parse(bytes: Uint8Array): readonly AttachmentEntry[] {
    try {
      return parseAttachments(bytes);
    } catch (error) {
      if (!hasCode(error, 'STATE_INVALID')) throw error;
      const { path, indexPath } = this.#folder;
      throw new MirrorError(
        'STATE_INVALID',
        `${indexPath}: ${error.message}; restore it, or remove ${path}: attachments are then found at peers, or imported again`,
        { cause: error },
      );
    }
  }

  /** Reads what an entry names; undefined where it is not whole any more, so that it can be found again elsewhere. */
  async #load(entry: AttachmentEntry): Promise<Attachment | undefined> {
    const known = this.#table.get(keyOf(entry));
    if (known) return known;
    const { subject, bond, manifest } = entry;
    const path = this.#blobs.path(manifest.digest);
    const file = await this.#disk.openRead(path);
    if (!file) return undefined;
    const bytes = await closeAfter(file, async () => {
      const { size } = await file.facts();
      return size === manifest.size ? readWhole(file, path, ATTACHMENT_MAX_BYTES) : undefined;
    });
    if (!bytes || digestOf(bytes) !== manifest.digest) return undefined;
    const attachment = attempt(() => readAttachment({ subject, bond, manifest: bytes }));
    if (!attachment) return undefined;
    for (const [digest, size] of sizesOf(attachment))
      if ((await this.#disk.facts(this.#blobs.path(digest)))?.size !== size) return undefined;
    return attachment;
  }

  /** Under the lock, as all writing is: what no attachment has any more goes. */
  async #sweep(): Promise<void> {
    for (const folder of this.#blobs.folders)
      for (const hex of await this.#disk.list(folder)) {
        const digest = `${basename(folder)}:${hex}`;
        if (isDigest(digest)) await this.#drop([digest]);
      }
  }

  /** Under the lock: removes blobs that no attachment has. */
  async #drop(digests: Iterable<Digest>): Promise<void> {
    for (const digest of digests)
      if (this.#table.sizeOf(digest) === undefined) await this.#disk.remove(this.#blobs.path(digest));
  }
}

/** What `work` answers; undefined where it refuses. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    return undefined;
  }
}

/**
 * Attachments on disk, in an OCI layout of Pinnace's own that several processes may have open. Promises: what is listed is
 * whole; `index.json` is replaced whole, by one writer at a time, after all that it names was synced; keeping many at once
 * writes it once. Refuses to know whether a signature holds. Spec: OCI image-spec image-layout.md.
 */
import { MirrorError } from '../errors.ts';
import type { Digest } from '../oci/oci.ts';
import type { World } from '../world.ts';
import { checkAttachment } from './attachments-checked.ts';
import { AttachmentFiles } from './attachments-files.ts';
import type { AttachmentEntry } from './attachments-index.ts';
import { AttachmentTable, keyOf, staying } from './attachments-table.ts';
import { type Disk, inTurn } from './disk.ts';
import { watchFiles } from './layout-watch.ts';
import { ATTACHMENT_GRACE_MS, type Attachment, type Attachments, type Content } from './store.ts';

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
  readonly #files: AttachmentFiles;
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
    this.#files = new AttachmentFiles(disk, dir, world);
  }

  async prepare(): Promise<void> {
    await this.#files.prepare();
    await this.#files.folder.locked(async () => {
      await this.#read();
      await this.#drop(await this.#files.list());
    });
  }

  of(subject: Digest): readonly Attachment[] {
    return this.#table.of(subject);
  }

  subjects(): readonly Digest[] {
    return this.#table.subjects();
  }

  get fill(): number {
    return this.#table.fill;
  }

  owners(digest: Digest): readonly Attachment[] {
    return this.#table.owners(digest);
  }

  stage(): string {
    return this.#files.folder.stage();
  }

  refresh(): Promise<void> {
    return this.#turn(() => this.#read());
  }

  watch(changed: () => void, signal: AbortSignal): Promise<void> {
    // A damaged index leaves what is known; whoever opens the folder or keeps something is told.
    const look = (): void => void this.refresh().then(changed, () => undefined);
    const { path, indexPath } = this.#files.folder;
    return watchFiles(this.#disk, this.#world, [path], [indexPath], look, signal);
  }

  async open(digest: Digest): Promise<Content | undefined> {
    const size = this.#table.sizeOf(digest);
    const content = size === undefined ? undefined : await this.#files.blobs.open(digest);
    if (!content || content.size === size) return content;
    await content.close();
    throw new MirrorError(
      'STORE_CORRUPT',
      `${this.#files.blobs.path(digest)} has ${content.size} bytes instead of ${size}`,
    );
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
      await this.#files.folder.locked(async () => {
        await this.#read();
        await this.#files.writeIndex(staying(this.#entries, wanted, young));
        await this.#read();
        await this.#drop(await this.#files.list());
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
      const kept = await this.#files.folder.locked(() => this.#keepAll(batch));
      for (const [waiting, attachment] of kept) waiting.done.resolve(attachment);
    } catch (error) {
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
        for (const [digest, bytes] of waiting.bytes) await this.#files.put(digest, bytes);
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
    if (changed) await this.#write([...entries.values()], batch);
    return kept;
  }

  /** Under the lock. Where the index cannot be written, the one that is there counts, and what is new goes again. */
  async #write(entries: readonly AttachmentEntry[], batch: readonly Waiting[]): Promise<void> {
    try {
      this.#stamp = await this.#files.writeIndex(entries);
      this.#entries = entries;
    } catch (error) {
      this.#stamp = undefined;
      await this.#read();
      for (const { bytes } of batch) await this.#drop(bytes.keys());
      throw error;
    }
  }

  /** Takes in the index as it is now, where it is another. @throws STATE_INVALID, FILE_UNREADABLE */
  async #read(): Promise<void> {
    const index = await this.#files.readIndex(this.#stamp);
    if (!index) return;
    const table = new AttachmentTable();
    const whole: AttachmentEntry[] = [];
    for (let at = 0; at < index.entries.length; at += READ_AT_ONCE) {
      const some = index.entries.slice(at, at + READ_AT_ONCE);
      const read = await Promise.all(some.map(async entry => this.#table.get(keyOf(entry)) ?? this.#files.load(entry)));
      for (const [place, attachment] of read.entries())
        if (attachment && table.take(attachment)) whole.push(some[place]!);
    }
    this.#entries = whole;
    this.#table = table;
    this.#stamp = index.stamp;
  }

  /** Under the lock, as all writing is: removes those of `digests` that no attachment has. */
  async #drop(digests: Iterable<Digest>): Promise<void> {
    for (const digest of digests) if (this.#table.sizeOf(digest) === undefined) await this.#files.remove(digest);
  }
}

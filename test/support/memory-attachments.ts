/**
 * Attachments in memory that pass the suite of attachments, and whose contents can rot or vanish. Promises: what is kept is
 * checked as on a disk. Refuses to know files.
 */
import { type Digest, digestOf, OCI_MANIFEST } from '../../src/oci/oci.ts';
import { checkAttachment } from '../../src/store/attachments-checked.ts';
import { AttachmentTable, keyOf, staying } from '../../src/store/attachments-table.ts';
import {
  ATTACHMENT_GRACE_MS,
  type Attachment,
  type Attachments,
  type Bond,
  type Content,
} from '../../src/store/store.ts';

export class MemoryAttachments implements Attachments {
  readonly #now: () => number;
  readonly #contents = new Map<Digest, Uint8Array>();
  #kept: readonly { readonly attachment: Attachment; readonly keptAt: number }[] = [];
  #table = new AttachmentTable();

  /** `now` in milliseconds since 1970. */
  constructor({ now = () => 0 }: { readonly now?: () => number } = {}) {
    this.#now = now;
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

  async open(digest: Digest): Promise<Content | undefined> {
    const bytes = this.#contents.get(digest);
    if (!bytes || this.#table.sizeOf(digest) === undefined) return undefined;
    return {
      digest,
      size: bytes.length,
      stamp: digestOf(bytes),
      read: async (into, position) => {
        const part = bytes.subarray(position, position + into.length);
        into.set(part);
        return part.length;
      },
      close: async () => undefined,
    };
  }

  async keep(
    artifact: Parameters<Attachments['keep']>[0],
    contents: ReadonlyMap<Digest, Uint8Array>,
  ): Promise<Attachment> {
    const attachment = checkAttachment(artifact, contents);
    const known = this.#table.get(keyOf(attachment));
    if (!known) this.#table.demandRoom(attachment);
    this.#contents.set(attachment.manifest.digest, new Uint8Array(artifact.manifest));
    for (const { digest } of attachment.contents) this.#contents.set(digest, new Uint8Array(contents.get(digest)!));
    this.#table.take(attachment);
    const one = { attachment: known ?? attachment, keptAt: this.#now() };
    this.#kept = known ? this.#kept.map(each => (each.attachment === known ? one : each)) : [...this.#kept, one];
    return one.attachment;
  }

  async retain(wanted: (subject: Digest) => boolean): Promise<void> {
    const all = this.#kept.map(each => ({ ...each.attachment, each }));
    const young = ({ each }: (typeof all)[number]): boolean => this.#now() - each.keptAt <= ATTACHMENT_GRACE_MS;
    this.#kept = staying(all, wanted, young).map(({ each }) => each);
    this.#table = new AttachmentTable();
    for (const { attachment } of this.#kept) this.#table.take(attachment);
  }

  /** One bit of a content changes, as on a disk that rots. */
  rot(digest: Digest): void {
    const bytes = this.#contents.get(digest)!.slice();
    bytes[0]! ^= 1;
    this.#contents.set(digest, bytes);
  }

  /** A content vanishes, though it is still listed. */
  drop(digest: Digest): void {
    this.#contents.delete(digest);
  }
}

/** What `keep` takes. */
export interface BuiltAttachment {
  readonly artifact: { readonly subject: Digest; readonly bond: Bond; readonly manifest: Buffer };
  readonly contents: ReadonlyMap<Digest, Uint8Array>;
  /** Of the manifest. */
  readonly digest: Digest;
}

const EMPTY = 'application/vnd.oci.empty.v1+json';
const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const LAYERS = {
  subject: BUNDLE,
  sig: 'application/vnd.dev.cosign.simplesigning.v1+json',
  att: 'application/vnd.dsse.envelope.v1+json',
} as const;

/** An artifact about `subject` with one layer `payload`; `more` goes into its manifest. */
export function buildAttachment(
  subject: Digest,
  payload: Uint8Array | string,
  { bond = 'subject', ...more }: { readonly bond?: Bond; readonly [field: string]: unknown } = {},
): BuiltAttachment {
  const contents = new Map<Digest, Uint8Array>();
  const put = (mediaType: string, bytes: Uint8Array): object => {
    const digest = digestOf(bytes);
    contents.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: put(EMPTY, Buffer.from('{}')),
      layers: [{ ...put(LAYERS[bond], Buffer.from(payload)), annotations: { 'dev.example.of': 'layer' } }],
      ...(bond === 'subject'
        ? { artifactType: BUNDLE, subject: { mediaType: OCI_MANIFEST, digest: subject, size: 7 } }
        : {}),
      ...more,
    }),
  );
  return { artifact: { subject, bond, manifest }, contents, digest: digestOf(manifest) };
}

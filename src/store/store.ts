/**
 * What does this node hold? The port of the two stores (containerd, an OCI image layout), of the spool where fetched
 * content is proved before it is handed on, and of the hash results that are kept. Refuses to know peers and reasons.
 */
import type { Descriptor, Digest, Reference } from '../oci/oci.ts';
import type { Proof } from '../proof/proof.ts';

/** One content, open for reading; it stays readable until closed, whatever is removed meanwhile. */
export interface Content {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Changes whenever the bytes may have changed: inode, size, mtime, ctime. */
  readonly stamp: string;
  /** Reads up to `into.length` bytes from `position`; fewer only at the end. @throws STORE_CORRUPT, FILE_UNREADABLE */
  read(into: Uint8Array, position: number): Promise<number>;
  close(): Promise<void>;
}

/** A name in the store. */
export interface Image {
  /** By tag, or by digest where the store only knows `registry/repository@digest`. */
  readonly reference: Reference;
  readonly target: Descriptor;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** True where the store says that the target was fetched from a registry (containerd's source label). */
  readonly fetched: boolean;
}

export interface Store {
  readonly kind: 'containerd' | 'layout';
  /** Every named image whose name is a full reference; other names are left out. @throws STORE_UNAVAILABLE */
  images(): Promise<readonly Image[]>;
  /**
   * Opens whole content; undefined where it is absent or only partly there. The file's size was compared with the
   * recorded one, its bytes were not hashed. @throws STORE_UNAVAILABLE, STORE_CORRUPT where the sizes differ
   */
  open(digest: Digest): Promise<Content | undefined>;
  /**
   * Calls `changed` after every change of images or content, also such as happened while the connection was lost, until
   * `signal` aborts. Never rejects: a store that is away is tried again, with back-off.
   */
  watch(changed: () => void, signal: AbortSignal): Promise<void>;
  /** Only where Pinnace may write (layout). */
  readonly keeping?: Keeping;
}

/** Writing into the embedded store. */
export interface Keeping {
  /** Takes over a whole, proved file by rename; where the digest is there already, and right, `path` is removed. */
  adopt(digest: Digest, path: string): Promise<void>;
  /** Names an image whose closure was adopted before. @throws CONTENT_ABSENT where it is not complete; STORE_UNAVAILABLE */
  name(reference: Reference, target: Descriptor): Promise<void>;
  /** Removes a name, then what no name reaches any more and is not young. @throws STORE_UNAVAILABLE */
  remove(reference: Reference): Promise<void>;
}

/** Fetched content: whole as a cache, or on its way. */
export interface Spool {
  /** Bytes that a new content may have now, after what can be evicted was. */
  readonly free: number;
  /** Bytes of all that is in it, whole or on its way. */
  readonly used: number;
  /** Opens a whole content of the spool. */
  open(digest: Digest): Promise<Content | undefined>;
  /** Room for a content; evicts the least recently used whole ones, never an open one. @throws SPOOL_FULL */
  begin(digest: Digest, size: number): Promise<Spooled>;
  /** Forgets a whole content once nobody has it open; absent is fine. */
  drop(digest: Digest): Promise<void>;
  /** The path of a whole content that is handed over to the store; it no longer counts here. Undefined if absent. */
  take(digest: Digest): Promise<string | undefined>;
  /** Digests of all whole contents. */
  list(): readonly Digest[];
}

/** A content on its way: written front to back, readable up to what was written. */
export interface Spooled {
  readonly digest: Digest;
  readonly size: number;
  /** Bytes written without a gap. */
  readonly written: number;
  /** Appends checked bytes; the bytes must not change until it answers. Several may be under way, in order. */
  append(bytes: Uint8Array): Promise<void>;
  /** Reads up to `written`. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Starts again at 0: only where nothing of it was handed on. */
  restart(): Promise<void>;
  /** Keeps it as whole content; all `size` bytes must have been written and proved. */
  commit(): Promise<void>;
  /** Keeps the file open for a reader; call the answer when done. A finished or given up file goes with its last reader. */
  hold(): () => void;
  /** Gives it up: removed with its last reader. */
  abandon(): Promise<void>;
}

/** Hash results, kept on disk by digest and stamp. */
export interface Hashes {
  /**
   * The proof of `content`, from what is kept or by hashing it whole, once at a time and slower beside live traffic.
   * @throws STORE_CORRUPT where its bytes have another digest; STOPPED
   */
  prove(content: Content, signal: AbortSignal): Promise<Proof>;
  /** Hashes `content` again although a result is kept; what is kept goes where it no longer holds. @throws as `prove` */
  again(content: Content, signal: AbortSignal): Promise<Proof>;
  /** The kept proof of a digest that this node once hashed whole, whatever became of the file. */
  known(digest: Digest): Promise<Proof | undefined>;
}

/** How an artifact names what it is about: by the `subject` of its manifest, or by cosign's tags `sha256-<hex>.sig` and `.att`. */
export type Bond = 'subject' | 'sig' | 'att';

/** A signature, attestation or other artifact about one digest, kept by Pinnace itself. That it names it is all that was proved. */
export interface Attachment {
  readonly subject: Digest;
  readonly bond: Bond;
  /** Of the artifact's manifest. */
  readonly manifest: Descriptor;
  /** As the manifest itself says: `artifactType`, else the type of its config; empty where it has neither. */
  readonly artifactType: string;
  /** Of the manifest; for the referrers API. */
  readonly annotations: Readonly<Record<string, string>>;
  /** What the manifest lists: the config, then the layers. Never more than fits ATTACHMENT_MAX_BYTES, the manifest included. */
  readonly contents: readonly (Descriptor & { readonly annotations: Readonly<Record<string, string>> })[];
}

/** The largest attachment, its manifest and all that it lists together, in bytes. */
export const ATTACHMENT_MAX_BYTES = 1 << 20;
/** All attachments of a node, in bytes. */
export const ATTACHMENTS_MAX_BYTES = 2 * 1024 ** 3;
/** An attachment stays for so long without its subject: whoever brings an image brings its signatures first. */
export const ATTACHMENT_GRACE_MS = 86_400_000;

/** Attachments, in an OCI layout of Pinnace's own: whole, proved, by subject. */
export interface Attachments {
  /** In the order in which they came; local memory only. */
  of(subject: Digest): readonly Attachment[];
  subjects(): readonly Digest[];
  /** How full it is: 0 empty, 1 at the nearest of its bounds. */
  readonly fill: number;
  /** Opens the manifest or a content of an attachment; its bytes are not hashed again. @throws STORE_CORRUPT, FILE_UNREADABLE */
  open(digest: Digest): Promise<Content | undefined>;
  /** The attachments that `digest` is the manifest or a content of. */
  owners(digest: Digest): readonly Attachment[];
  /**
   * Keeps an artifact; `contents` has the bytes of everything that `manifest` lists. Each is hashed and its size compared here.
   * Keeping one twice is one. @throws MANIFEST_INVALID where it does not name `subject` by `bond` or is no artifact,
   * DIGEST_MISMATCH, SIZE_MISMATCH, CONTENT_ABSENT, LIMIT_EXCEEDED beyond the bounds, FILE_UNREADABLE, STORE_UNAVAILABLE
   */
  keep(
    artifact: { readonly subject: Digest; readonly bond: Bond; readonly manifest: Uint8Array },
    contents: ReadonlyMap<Digest, Uint8Array>,
  ): Promise<Attachment>;
  /**
   * Drops all attachments whose subject is not wanted, and is no attachment that stays; what was kept, or kept again, less
   * than ATTACHMENT_GRACE_MS ago stays.
   */
  retain(wanted: (subject: Digest) => boolean): Promise<void>;
}

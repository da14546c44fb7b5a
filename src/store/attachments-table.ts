/**
 * Attachments in memory, by subject and by what they consist of. Promises: bounded in number and bytes; each is there once,
 * in the order in which they came. Refuses to know files.
 */
import { MirrorError } from '../errors.ts';
import type { Digest } from '../oci/oci.ts';
import { sizesOf } from './attachments-checked.ts';
import { ATTACHMENTS_MAX_BYTES, type Attachment, type Bond } from './store.ts';

/** The most attachments of a node. */
export const ATTACHMENTS_MAX = 65_536;
/** All manifests of attachments, in bytes: what they say is held in memory. */
export const ATTACHMENT_MANIFESTS_MAX_BYTES = 64 << 20;

/** Attachments of attachments of attachments stay with them, so many levels for sure. */
const LEVELS_MAX = 8;

/** One manifest may be kept for two subjects, or by two bonds. */
export const keyOf = (of: {
  readonly subject: Digest;
  readonly bond: Bond;
  readonly manifest: { readonly digest: Digest };
}): string => `${of.bond} ${of.subject} ${of.manifest.digest}`;

export class AttachmentTable {
  readonly #all = new Map<string, Attachment>();
  readonly #bySubject = new Map<Digest, Attachment[]>();
  readonly #owners = new Map<Digest, Attachment[]>();
  readonly #sizes = new Map<Digest, number>();
  #bytes = 0;
  #manifestBytes = 0;

  get(key: string): Attachment | undefined {
    return this.#all.get(key);
  }

  of(subject: Digest): readonly Attachment[] {
    return [...(this.#bySubject.get(subject) ?? [])];
  }

  subjects(): readonly Digest[] {
    return [...this.#bySubject.keys()];
  }

  owners(digest: Digest): readonly Attachment[] {
    return [...(this.#owners.get(digest) ?? [])];
  }

  /** Bytes of a content of some attachment; undefined where none has it. */
  sizeOf(digest: Digest): number | undefined {
    return this.#sizes.get(digest);
  }

  /** How near the nearest bound is: 0 to 1. */
  get fill(): number {
    return Math.max(
      this.#bytes / ATTACHMENTS_MAX_BYTES,
      this.#all.size / ATTACHMENTS_MAX,
      this.#manifestBytes / ATTACHMENT_MANIFESTS_MAX_BYTES,
    );
  }

  /** @throws LIMIT_EXCEEDED where there is no room for one more */
  demandRoom(attachment: Attachment): void {
    if (this.#hasRoom(attachment)) return;
    throw new MirrorError(
      'LIMIT_EXCEEDED',
      `there is no room for one more attachment: ${this.#all.size} are kept, of ${this.#bytes} bytes`,
    );
  }

  /** Takes one in; false where it is there already, or has no room. */
  take(attachment: Attachment): boolean {
    const key = keyOf(attachment);
    if (this.#all.has(key) || !this.#hasRoom(attachment)) return false;
    this.#all.set(key, attachment);
    push(this.#bySubject, attachment.subject, attachment);
    for (const [digest, size] of sizesOf(attachment)) {
      push(this.#owners, digest, attachment);
      if (this.#sizes.has(digest)) continue;
      this.#sizes.set(digest, size);
      this.#bytes += size;
    }
    this.#manifestBytes += attachment.manifest.size;
    return true;
  }

  #hasRoom(attachment: Attachment): boolean {
    let bytes = this.#bytes;
    for (const [digest, size] of sizesOf(attachment)) if (!this.#sizes.has(digest)) bytes += size;
    return (
      bytes <= ATTACHMENTS_MAX_BYTES &&
      this.#all.size < ATTACHMENTS_MAX &&
      this.#manifestBytes + attachment.manifest.size <= ATTACHMENT_MANIFESTS_MAX_BYTES
    );
  }
}

function push(map: Map<Digest, Attachment[]>, digest: Digest, attachment: Attachment): void {
  const list = map.get(digest);
  if (list) list.push(attachment);
  else map.set(digest, [attachment]);
}

/** What stays: of wanted subjects, and about an attachment that stays. `others` stay in any case. */
export function staying<T extends { readonly subject: Digest; readonly manifest: { readonly digest: Digest } }>(
  all: readonly T[],
  wanted: (subject: Digest) => boolean,
  others: (one: T) => boolean = () => false,
): readonly T[] {
  const answers = new Map<Digest, boolean>();
  for (const { subject } of all) if (!answers.has(subject)) answers.set(subject, wanted(subject));
  const kept = new Set<T>();
  // A signature of a bill of materials stays with it, and so on: each round finds one level more, or several.
  for (let round = 0, before = -1; before < kept.size && round < LEVELS_MAX; round++) {
    before = kept.size;
    for (const one of all)
      if (!kept.has(one) && (answers.get(one.subject) || others(one))) {
        kept.add(one);
        answers.set(one.manifest.digest, true);
      }
  }
  return all.filter(one => kept.has(one));
}

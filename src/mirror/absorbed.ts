/**
 * Signatures that lie in the store as images do: under cosign's tags and the fallback tag of the referrers API. They become
 * attachments of what they are about, and are images no longer. Promises: each is looked at once; what is no signature, or
 * too large, is left alone and said once: it could list any content of this store.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import {
  type AttachmentTag,
  attachmentTag,
  childrenOf,
  type Descriptor,
  type Digest,
  isImageType,
  MANIFEST_MAX_BYTES,
  parseArtifact,
  parseManifest,
} from '../oci/oci.ts';
import { ATTACHMENT_MAX_BYTES, type Bond, type Image } from '../store/store.ts';
import { readProved } from './read-proved.ts';
import type { Rooms } from './rooms.ts';
import { isSignature } from './signature-shape.ts';

type AbsorbRooms = Pick<Rooms, 'store' | 'attachments' | 'verdicts' | 'policy' | 'audit' | 'log'>;

export class Absorbed {
  readonly #rooms: AbsorbRooms;
  /** Names with the digests that were looked at. */
  #seen = new Set<string>();

  constructor(rooms: AbsorbRooms) {
    this.#rooms = rooms;
  }

  /** Takes what is attached to something out of `images`, and keeps it; the rest are images. */
  async images(images: readonly Image[]): Promise<readonly Image[]> {
    const rest: Image[] = [];
    const seen = new Set<string>();
    for (const image of images) {
      const tag = image.reference.tag && attachmentTag(image.reference.tag);
      if (!tag) {
        rest.push(image);
        continue;
      }
      const { registry } = image.reference;
      if (this.#rooms.policy().registry(registry) !== registry) continue;
      const key = `${tag.subject} ${tag.bond} ${image.target.digest}`;
      if (this.#seen.has(key) || (await this.#take(tag, image.target.digest))) seen.add(key);
    }
    this.#seen = seen;
    return rest;
  }

  /** True where it need not be looked at again. */
  async #take({ subject, bond }: AttachmentTag, digest: Digest): Promise<boolean> {
    if (bond !== 'index') return this.#settle(subject, digest, bytes => this.#keep(subject, bond, bytes));
    let listed: readonly Descriptor[] = [];
    let all = await this.#settle(subject, digest, async bytes => void (listed = childrenOf(parseManifest(bytes))));
    // One that is wrong or not here hides none of the others.
    for (const child of listed.filter(({ mediaType }) => isImageType(mediaType))) {
      const settled = await this.#settle(subject, child.digest, bytes => this.#keep(subject, 'subject', bytes));
      all &&= settled;
    }
    return all;
  }

  /** Reads a manifest and does `work` with it. True where there is nothing more to be done. */
  async #settle(subject: Digest, digest: Digest, work: (bytes: Uint8Array) => Promise<void>): Promise<boolean> {
    const { attachments, log } = this.#rooms;
    if (attachments.of(subject).some(({ manifest }) => manifest.digest === digest)) return true;
    try {
      await work(await this.#read(digest, MANIFEST_MAX_BYTES));
      return true;
    } catch (error) {
      const { code, message, kind } = asMirrorError(error, 'FILE_UNREADABLE', `what is attached to ${subject}`);
      log.warn({ digest, code }, message);
      // What is not all here may come; what is wrong stays so.
      return kind === 'hostile';
    }
  }

  async #keep(subject: Digest, bond: Bond, manifest: Uint8Array): Promise<void> {
    const { attachments, audit, verdicts } = this.#rooms;
    const artifact = parseArtifact(manifest);
    const contents = new Map<Digest, Uint8Array>();
    for (const { digest } of [artifact.config, ...artifact.layers])
      contents.set(digest, await this.#read(digest, ATTACHMENT_MAX_BYTES));
    if (!isSignature({ bond, artifact, contents }))
      throw new MirrorError('MANIFEST_INVALID', `what is attached to ${subject} as ${bond} is no signature`);
    const { manifest: kept } = await attachments.keep({ subject, bond, manifest }, contents);
    await audit.record({ event: 'attachment.kept', subject, digest: kept.digest, source: 'store' });
    verdicts.askAgain();
  }

  async #read(digest: Digest, maxBytes: number): Promise<Uint8Array> {
    const content = await this.#rooms.store.open(digest);
    if (!content) throw new MirrorError('CONTENT_ABSENT', `${digest} is not in the store`);
    return readProved(content, maxBytes);
  }
}

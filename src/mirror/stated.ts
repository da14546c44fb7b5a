/**
 * The tags that this node states: observed or imported here, renewed while the image is there, and left standing after.
 * Promises: kept on disk; `observedAt` never moves. Refuses to know how an origin was decided (trust/) and how a
 * statement is signed (peers/).
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import {
  type Digest,
  formatReference,
  type PeerId,
  parseDigest,
  parseTagReference,
  type TagReference,
} from '../oci/oci.ts';
import type { TagStatement } from '../peers/peers.ts';
import type { Policy, Rule } from '../policy/policy.ts';
import type { TagClaim } from '../trust/trust.ts';
import type { Keep } from '../world.ts';

const VERSION = 1;
/** Tags that one node states; the one longest not renewed goes. */
const STATED_MAX = 4096;
/** A statement that was not renewed for so long is dropped by its signer too. */
const FORGET_MS = 365 * 86_400_000;

export class StatedTags {
  readonly #keep: Keep;
  readonly #self: PeerId;
  readonly #tags: Map<string, TagStatement>;

  private constructor(keep: Keep, self: PeerId, tags: Map<string, TagStatement>) {
    this.#keep = keep;
    this.#self = self;
    this.#tags = tags;
  }

  /** @throws STATE_INVALID, STATE_NEWER */
  static async open(keep: Keep, self: PeerId): Promise<StatedTags> {
    const bytes = await keep.read();
    return new StatedTags(keep, self, bytes ? parse(bytes) : new Map());
  }

  list(): readonly TagStatement[] {
    return [...this.#tags.values()];
  }

  /** Those whose names policy lets be told: what is not shared is not even named. */
  under(policy: Pick<Policy, 'rule'>): readonly TagStatement[] {
    return this.list().filter(({ reference: { registry, repository } }) => tellsAll(policy.rule(registry, repository)));
  }

  /** What this node itself says of a tag. */
  claims(reference: TagReference): readonly TagClaim[] {
    const own = this.#tags.get(formatReference(reference));
    return own ? [{ peer: this.#self, digest: own.digest, observedAt: own.observedAt, renewedAt: own.renewedAt }] : [];
  }

  /** True where the statement is new or names another digest than before. */
  isNews(reference: TagReference, digest: Digest): boolean {
    return this.#tags.get(formatReference(reference))?.digest !== digest;
  }

  /** States or renews that `reference` is `digest`, as seen at `now`. */
  state(reference: TagReference, digest: Digest, now: number): void {
    const key = formatReference(reference);
    const observedAt = this.isNews(reference, digest) ? now : this.#tags.get(key)!.observedAt;
    this.#tags.delete(key);
    this.#tags.set(key, { reference, digest, observedAt, renewedAt: now });
    for (const [oldest, tag] of this.#tags)
      if (this.#tags.size > STATED_MAX || tag.renewedAt < now - FORGET_MS) this.#tags.delete(oldest);
  }

  /** True if there was anything to forget. */
  forget(reference: TagReference): boolean {
    return this.#tags.delete(formatReference(reference));
  }

  async save(): Promise<void> {
    const tags = this.list().map(tag => ({ ...tag, reference: formatReference(tag.reference) }));
    await this.#keep.write(Buffer.from(JSON.stringify({ version: VERSION, tags })));
  }
}

/** A tag statement goes to every node: it is for names that every node may know. */
const tellsAll = ({ action, share }: Rule): boolean =>
  action === 'allow' && share !== undefined && share.zones === undefined && share.roles === undefined;

function parse(bytes: Uint8Array): Map<string, TagStatement> {
  try {
    const file = JSON.parse(Buffer.from(bytes).toString()) as { version: number; tags: Record<string, unknown>[] };
    if (file.version > VERSION) throw new MirrorError('STATE_NEWER', 'the file of stated tags is of a newer version');
    if (file.version !== VERSION) throw new Error('it has no version');
    return new Map(
      file.tags.map(({ reference, digest, observedAt, renewedAt }) => {
        if (!Number.isSafeInteger(observedAt) || !Number.isSafeInteger(renewedAt))
          throw new Error('a time is no number');
        const tag = { reference: parseTagReference(String(reference)), digest: parseDigest(String(digest)) };
        return [String(reference), { ...tag, observedAt: observedAt as number, renewedAt: renewedAt as number }];
      }),
    );
  } catch (error) {
    if (error instanceof MirrorError && error.code === 'STATE_NEWER') throw error;
    throw new MirrorError(
      'STATE_INVALID',
      `the file of stated tags is damaged: remove it (${asMirrorError(error, 'STATE_INVALID', 'not read').message})`,
    );
  }
}

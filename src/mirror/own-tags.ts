/**
 * The tags that this node states: which of them, renewed when, told when. Promises: only what it saw itself or was told to
 * adopt is stated, recorded first; nothing goes round that did not change and is not due.
 */
import { formatReference } from '../oci/oci.ts';
import type { TagStatement } from '../peers/peers.ts';
import type { Image } from '../store/store.ts';
import { type AdmitRooms, rulingHere } from './admit.ts';
import type { Rooms } from './rooms.ts';

/** Tag statements are renewed so often while the image is there. */
export const RENEW_MS = 3_600_000;

type TagRooms = AdmitRooms & Pick<Rooms, 'origins' | 'stated'>;

/** The tags that may be told: of shared names, and of digests that policy admits there by what is here, in the store or not. */
export async function tellableTags(rooms: AdmitRooms & Pick<Rooms, 'stated'>): Promise<readonly TagStatement[]> {
  const tags: TagStatement[] = [];
  for (const tag of rooms.stated.under(rooms.policy())) {
    const { registry } = tag.reference;
    if (rooms.policy().registry(registry) !== registry) continue;
    const ruling = await rulingHere(rooms, { ...tag.reference, digest: tag.digest }, true);
    if (ruling?.allowed) tags.push(tag);
  }
  return tags;
}

export class OwnTags {
  readonly #rooms: TagRooms;
  /** What was kept on disk last, and what was told last. */
  #kept: string | undefined;
  #told: string | undefined;

  constructor(rooms: TagRooms) {
    this.#rooms = rooms;
  }

  /** States the tag of a shared image that this node saw itself, or renews what it stated before. */
  async state({ reference, target: { digest }, createdAt, fetched }: Image): Promise<void> {
    const { world, origins, stated, audit } = this.#rooms;
    if (!reference.tag || reference.digest) return;
    const named = { ...reference, tag: reference.tag };
    const origin = await origins.decide({ reference: named, digest, createdAt, fetched });
    if (origin === 'mirrored' || origin === 'unknown') return;
    const now = world.now();
    const [before] = stated.claims(named);
    // Renewed when it is due, not whenever something else changes.
    if (before?.digest === digest && now >= before.renewedAt && now < before.renewedAt + RENEW_MS / 2) return;
    if (stated.isNews(named, digest))
      await audit.record({ event: 'tag.stated', reference: formatReference(reference), digest, origin });
    stated.state(named, digest, now);
  }

  /**
   * Keeps and tells the tags where they are not what was kept and told last: all of them go round in one statement. What
   * policy refuses by now is not told.
   */
  async tell(): Promise<void> {
    const { peers, stated } = this.#rooms;
    const kept = JSON.stringify(stated.list());
    if (kept !== this.#kept) await stated.save();
    this.#kept = kept;
    const tags = await tellableTags(this.#rooms);
    const told = JSON.stringify(tags);
    if (told !== this.#told) await peers.stateTags(tags);
    this.#told = told;
  }
}

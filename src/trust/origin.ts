/**
 * How a name came to be on this node, which decides whether the node may state it. Promises: what the mirror answered is
 * on disk before it is answered, so it never comes back as this node's own observation; an image is judged once; where the
 * file is lost, or a part of it had to be forgotten, what is there then counts as unknown. Refuses to know stores and
 * statements.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { type Digest, formatReference, parseReference, type TagReference } from '../oci/oci.ts';
import type { Keep, World } from '../world.ts';
import { readState, StateFile } from './state-file.ts';
import type { Origin, OriginBook } from './trust.ts';

/** Answers of the mirror that are remembered, and decisions likewise; the longest unused go. */
export const ORIGINS_MAX = 8192;
const WHAT = 'the file of origins';
const ORIGINS: readonly Origin[] = ['local', 'observed', 'adopted', 'mirrored', 'unknown'];

export interface OriginOptions {
  readonly keep: Keep;
  readonly world: Pick<World, 'now'>;
}

/** Opens the book; the first time it is born now. @throws STATE_INVALID, STATE_NEWER, FILE_UNREADABLE */
export async function openOrigins({ keep, world }: OriginOptions): Promise<OriginBook> {
  const fields = await readState(keep, WHAT);
  if (!fields) {
    const book = new Book(keep, world, world.now(), [], []);
    await book.save();
    return book;
  }
  const born = fields.integer('born', { min: 0, max: Number.MAX_SAFE_INTEGER });
  const answered = fields.strings('answered').map(checkKey);
  const decided = Object.entries((fields.take('decided') ?? {}) as object).map(([key, origin]): [string, Origin] => {
    if (!ORIGINS.includes(origin as Origin)) fields.fail('decided', 'has an origin that is not known');
    return [checkKey(key), origin as Origin];
  });
  fields.end();
  return new Book(keep, world, born, answered, decided);
}

function checkKey(key: string): string {
  try {
    const { tag, digest } = parseReference(key);
    if (tag && digest) return key;
  } catch (error) {
    throw new MirrorError('STATE_INVALID', `${WHAT}: ${asMirrorError(error, 'STATE_INVALID', key).message}`);
  }
  throw new MirrorError('STATE_INVALID', `${WHAT}: ${JSON.stringify(key)} is no tag with a digest: remove it`);
}

const keyOf = (reference: TagReference, digest: Digest): string => formatReference({ ...reference, digest });

class Book implements OriginBook {
  readonly #answered: Set<string>;
  readonly #decided: Map<string, Origin>;
  readonly #file: StateFile;
  readonly #world: OriginOptions['world'];
  /** Answers that are being written. */
  readonly #writing = new Map<string, Promise<void>>();
  #born: number;

  constructor(
    keep: Keep,
    world: OriginOptions['world'],
    born: number,
    answered: readonly string[],
    decided: readonly [string, Origin][],
  ) {
    this.#world = world;
    this.#born = born;
    this.#answered = new Set(answered);
    this.#decided = new Map(decided);
    this.#file = new StateFile(keep, () => ({
      born: this.#born,
      answered: [...this.#answered],
      decided: Object.fromEntries(this.#decided),
    }));
  }

  get born(): number {
    return this.#born;
  }

  save(): Promise<void> {
    return this.#file.save();
  }

  mirrored(reference: TagReference, digest: Digest): Promise<void> {
    const key = keyOf(reference, digest);
    // Who asks while it is written is not answered before it is.
    const writing = this.#writing.get(key) ?? this.#remember(key).finally(() => this.#writing.delete(key));
    this.#writing.set(key, writing);
    return writing;
  }

  async #remember(key: string): Promise<void> {
    const known = this.#answered.delete(key);
    this.#answered.add(key);
    if (known) return;
    this.#bound(this.#answered);
    try {
      await this.save();
    } catch (error) {
      // It is not answered now; the next time it has to be written first again.
      this.#answered.delete(key);
      throw error;
    }
  }

  async decide(image: Parameters<OriginBook['decide']>[0]): Promise<Origin> {
    const key = keyOf(image.reference, image.digest);
    const before = this.#decided.get(key);
    const origin = before ?? this.#judge(key, image);
    this.#set(key, origin);
    // Not waited for: after a crash the same record decides the same again.
    if (!before) void this.save().catch(() => undefined);
    return origin;
  }

  async adopt(reference: TagReference, digest: Digest): Promise<void> {
    this.#set(keyOf(reference, digest), 'adopted');
    await this.save();
  }

  async forget(reference: TagReference): Promise<boolean> {
    const prefix = `${formatReference(reference)}@`;
    const gone = [...this.#decided].filter(([key, was]) => key.startsWith(prefix) && isStated(was));
    for (const [key] of gone) this.#decided.set(key, 'unknown');
    if (gone.length) await this.save();
    return gone.length > 0;
  }

  #judge(key: string, image: Parameters<OriginBook['decide']>[0]): Origin {
    if (this.#answered.has(key)) return 'mirrored';
    if (!image.fetched) return 'local';
    return image.createdAt > this.#born ? 'observed' : 'unknown';
  }

  #set(key: string, origin: Origin): void {
    this.#decided.delete(key);
    this.#decided.set(key, origin);
    this.#bound(this.#decided);
  }

  /** Forgets the longest unused beyond the limit. From then on the record is whole only for what comes later. */
  #bound(all: Map<string, unknown> | Set<string>): void {
    for (const oldest of all.keys()) {
      if (all.size <= ORIGINS_MAX) return;
      all.delete(oldest);
      this.#born = Math.max(this.#born, this.#world.now());
    }
  }
}

const isStated = (origin: Origin): boolean => origin === 'local' || origin === 'observed' || origin === 'adopted';

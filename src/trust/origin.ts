/**
 * How a name came to be on this node, which decides whether the node may state it. Promises: what the mirror answered is
 * on disk before it is answered, so it never comes back as this node's own observation; an image is judged once; where the
 * file is lost, what is there then counts as unknown. Refuses to know stores and statements.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { type Digest, formatReference, parseReference, type TagReference } from '../oci/oci.ts';
import type { Keep, World } from '../world.ts';
import { readState, StateFile } from './state-file.ts';
import type { Origin, OriginBook } from './trust.ts';

/** Answers of the mirror that are remembered, and decisions likewise; the oldest go. */
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
    const book = new Book(keep, world.now(), [], []);
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
  return new Book(keep, born, answered, decided);
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
  readonly born: number;
  readonly #answered: Set<string>;
  readonly #decided: Map<string, Origin>;
  readonly #file: StateFile;

  constructor(keep: Keep, born: number, answered: readonly string[], decided: readonly [string, Origin][]) {
    this.born = born;
    this.#answered = new Set(answered);
    this.#decided = new Map(decided);
    this.#file = new StateFile(keep, () => ({
      born,
      answered: [...this.#answered],
      decided: Object.fromEntries(this.#decided),
    }));
  }

  save(): Promise<void> {
    return this.#file.save();
  }

  async mirrored(reference: TagReference, digest: Digest): Promise<void> {
    const key = keyOf(reference, digest);
    if (this.#answered.has(key)) return;
    this.#answered.add(key);
    for (const oldest of this.#answered) {
      if (this.#answered.size <= ORIGINS_MAX) break;
      this.#answered.delete(oldest);
    }
    await this.save();
  }

  async decide(image: Parameters<OriginBook['decide']>[0]): Promise<Origin> {
    const key = keyOf(image.reference, image.digest);
    const before = this.#decided.get(key);
    if (before) return before;
    const origin = this.#judge(key, image);
    this.#set(key, origin);
    // Not waited for: after a crash the same record decides the same again.
    void this.save().catch(() => undefined);
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
    return image.createdAt > this.born ? 'observed' : 'unknown';
  }

  #set(key: string, origin: Origin): void {
    this.#decided.delete(key);
    this.#decided.set(key, origin);
    for (const oldest of this.#decided.keys()) {
      if (this.#decided.size <= ORIGINS_MAX) break;
      this.#decided.delete(oldest);
    }
  }
}

const isStated = (origin: Origin): boolean => origin === 'local' || origin === 'observed' || origin === 'adopted';

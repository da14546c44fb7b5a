/**
 * Contents on their way to this node: at most one fetch for a digest, which all who ask for it share. A fetch outlives
 * who asked: it ends by itself, whole or failed. Refuses to know how it is done (fetch.ts) and who waits (waiting.ts).
 */
import { MirrorError } from '../errors.ts';
import type { Digest } from '../oci/oci.ts';
import type { Spooled } from '../store/store.ts';

/** Fetches under way at once; more are refused with SPOOL_FULL, which a client sees as "not here". */
export const FETCHES_MAX = 64;

/** One content on its way. */
export class Fetch {
  readonly digest: Digest;
  readonly size: number;
  readonly spooled: Spooled;
  /** Distinct nodes that must vouch for it before bytes are handed on while it comes in. */
  readonly vouchers: number;
  /** Bytes from the start that may be handed on. */
  watermark = 0;
  /** Bytes checked so far, and when that last grew (monotonic ms; at first the start). */
  checked = 0;
  advancedAt: number;
  /** When it last turned to a holder (monotonic ms). */
  turnedAt: number;
  /** The name of the node that the last chunk came from. */
  source = '';
  state: 'running' | 'whole' | 'failed' = 'running';
  error: MirrorError | undefined;
  #wake = Promise.withResolvers<void>();

  constructor(spooled: Spooled, now: number, vouchers = Infinity) {
    this.digest = spooled.digest;
    this.size = spooled.size;
    this.spooled = spooled;
    this.vouchers = vouchers;
    this.advancedAt = now;
    this.turnedAt = now;
  }

  /** Resolves at the next change of any field. */
  changed(): Promise<void> {
    return this.#wake.promise;
  }

  /** Tells all who wait that something changed. */
  wake(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  /** Resolves when it is whole. @throws the error it failed with */
  async whole(): Promise<void> {
    while (this.state === 'running') await this.changed();
    if (this.error) throw this.error;
  }
}

/** Contents that are remembered as proved; a forgotten one is hashed again before it is given. */
const PROVED_MAX = 65_536;
/** Contents whose answer was cut and that are remembered as such; the oldest is forgotten first. */
const CUTS_MAX = 1024;

export class Fetches {
  readonly #running = new Map<Digest, Promise<Fetch>>();
  readonly #now = new Map<Digest, Fetch>();
  readonly #cuts = new Map<Digest, number>();
  readonly #proved = new Map<Digest, string>();

  /** This run of the daemon hashed the content whole, and it has its digest; `source` is the node that gave it, if known. */
  note(digest: Digest, source = ''): void {
    this.#proved.set(digest, source);
    forgetBeyond(this.#proved, PROVED_MAX);
  }

  /** True where this run of the daemon proved the content: while it came, or since. */
  proved(digest: Digest): boolean {
    return this.#proved.has(digest);
  }

  /** The node that a content in the spool came from; undefined where an earlier run fetched it. */
  sourceOf(digest: Digest): string | undefined {
    return this.#proved.get(digest) || undefined;
  }

  /** An answer for `digest` ended before its first byte; until `until` (monotonic ms) nobody waits for it again. */
  cut(digest: Digest, until: number): void {
    this.#cuts.delete(digest);
    this.#cuts.set(digest, until);
    forgetBeyond(this.#cuts, CUTS_MAX);
  }

  /** True while nobody waits for `digest`; `now` in monotonic ms. */
  isCut(digest: Digest, now: number): boolean {
    return now < (this.#cuts.get(digest) ?? 0);
  }

  get(digest: Digest): Fetch | undefined {
    return this.#now.get(digest);
  }

  list(): readonly Fetch[] {
    return [...this.#now.values()];
  }

  /** The fetch of `digest` that is under way, or the one that `start` begins. @throws SPOOL_FULL, or what `start` throws */
  async share(digest: Digest, start: () => Promise<Fetch>): Promise<Fetch> {
    const running = this.#running.get(digest);
    if (running) return running;
    if (this.#running.size >= FETCHES_MAX)
      throw new MirrorError('SPOOL_FULL', `${FETCHES_MAX} contents are being fetched already; ${digest} has to wait`);
    const begun = start();
    this.#running.set(digest, begun);
    try {
      const fetch = await begun;
      this.#now.set(digest, fetch);
      const forget = (): void => {
        this.#running.delete(digest);
        this.#now.delete(digest);
      };
      fetch.whole().then(() => {
        this.note(digest, fetch.source);
        forget();
      }, forget);
      return fetch;
    } catch (error) {
      this.#running.delete(digest);
      throw error;
    }
  }
}

/** Forgets the oldest of what is more than `most`; looks no further than that. */
function forgetBeyond<K>(map: Map<K, unknown>, most: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= most) return;
    map.delete(oldest);
  }
}

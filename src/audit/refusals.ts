/**
 * Keeps refusals from filling the log: whoever provokes them pays nothing for it. Promises: the first of a kind from one
 * source are let through, the others are counted and told in turn; memory is bounded. Refuses to know how records are
 * written. Spec: FORMAT.md, "Refusals".
 */
import type { World } from '../world.ts';
import type { Event } from './audit.ts';

/** Of one kind from one source, how many a window are written singly. */
const SINGLES = 10;
const WINDOW_MS = 60_000;
const COUNT_EVERY_MS = 10_000;
/** Sources that are told apart; the others are one. */
const SOURCES_MAX = 1024;

type Refusal = Extract<Event, { readonly count?: number }>;

interface Tally {
  since: number;
  singles: number;
  /** Refusals not told yet, and the last of them. */
  untold: number;
  last: Refusal;
}

/** True for the events that can be folded. */
export const isRefusal = (event: Event): event is Refusal =>
  event.event.endsWith('.refused') && event.event !== 'policy.refused';

function sourceOf(refusal: Refusal): string {
  switch (refusal.event) {
    case 'peer.refused':
      return refusal.address.replace(/:\d+$/, '');
    case 'roster.refused':
      return refusal.source;
    case 'pull.refused':
      return '';
    // Whoever reaches the mirror's door may ask for any digest, but not name what is in the store.
    case 'image.refused':
      return refusal.reference.replace(/@.*$/, '').replace(/:[^/]*$/, '');
    case 'serve.refused':
    case 'statement.refused':
      return refusal.peer;
  }
}

export class Refusals {
  readonly #world: World;
  readonly #write: (count: Refusal) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #tallies = new Map<string, Tally>();
  #telling = false;

  /** `write` gets what stands for counted refusals; until `signal` aborts, then at once what is left. */
  constructor(world: World, write: (count: Refusal) => void, signal?: AbortSignal) {
    this.#world = world;
    this.#write = write;
    this.#signal = signal;
  }

  /** True where `refusal` is to be written singly; else it was counted. */
  single(refusal: Refusal): boolean {
    const now = this.#world.monotonic();
    const tally = this.#tally(refusal, now);
    if (now - tally.since >= WINDOW_MS) Object.assign(tally, { since: now, singles: 0 });
    // After the end nobody would tell a count.
    if (this.#signal?.aborted || tally.singles < SINGLES) {
      tally.singles++;
      return true;
    }
    tally.untold += refusal.count ?? 1;
    tally.last = refusal;
    void this.#tell();
    return false;
  }

  #tally(refusal: Refusal, now: number): Tally {
    const kind = `${refusal.event} ${refusal.code}`;
    const own = `${kind} ${sourceOf(refusal)}`;
    if (!this.#tallies.has(own) && this.#tallies.size >= SOURCES_MAX) this.#forget(now);
    const key = this.#tallies.has(own) || this.#tallies.size < SOURCES_MAX ? own : kind;
    const tally = this.#tallies.get(key) ?? { since: now, singles: 0, untold: 0, last: refusal };
    this.#tallies.set(key, tally);
    return tally;
  }

  #forget(now: number): void {
    for (const [key, { since, untold }] of this.#tallies)
      if (untold === 0 && now - since >= WINDOW_MS) this.#tallies.delete(key);
  }

  /** Tells counts every 10 s for as long as there are any. */
  async #tell(): Promise<void> {
    if (this.#telling) return;
    this.#telling = true;
    for (let told = 1; told > 0 && !this.#signal?.aborted; ) {
      await this.#world.sleep(COUNT_EVERY_MS, this.#signal);
      told = 0;
      for (const tally of this.#tallies.values()) {
        if (tally.untold === 0) continue;
        this.#write({ ...tally.last, count: tally.untold });
        tally.untold = 0;
        told++;
      }
    }
    this.#telling = false;
  }
}

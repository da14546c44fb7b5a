/**
 * The simulated time of a storm. Promises: one event after the other, in the order of their times; the next only when all
 * that the last one set off has come to rest; the same seed gives the same order. Refuses to know what the events do.
 */
import { createHash, type Hash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { restOfCrypto } from './crypto-gate.ts';

/** Turns of the loop after which something that never rests is a defect of the test. */
const TURNS_MAX = 1_000_000;

export interface Planned {
  /** Simulated milliseconds. */
  readonly at: number;
  readonly what: string;
  readonly happen: () => void;
  cancelled: boolean;
}

export class Scheduler {
  /** Simulated milliseconds since the storm began. */
  now = 0;
  /** Events so far. */
  events = 0;
  readonly #heap: (Planned & { readonly order: number })[] = [];
  readonly #trace: Hash = createHash('sha256');
  #order = 0;

  /** Plans an event in `ms`; `what` goes into the trace. */
  after(ms: number, what: string, happen: () => void): Planned {
    const planned = { at: this.now + Math.max(0, ms), what, happen, cancelled: false, order: this.#order++ };
    this.#push(planned);
    return planned;
  }

  /** Something that a replay must show again. */
  note(line: string): void {
    this.#trace.update(`${this.now.toFixed(3)} ${line}\n`);
  }

  /** What happened so far, as 16 hex digits: equal for equal storms. */
  fingerprint(): string {
    return this.#trace.copy().digest('hex').slice(0, 16);
  }

  /** Runs until `until` (simulated ms) or until `done`; after each event, when nothing is open, `look` is called. */
  async run(until: number, look: () => Promise<void>, done: () => boolean = () => false): Promise<void> {
    await quiet();
    while (!done()) {
      const next = this.#pop();
      if (!next) break;
      if (next.cancelled) continue;
      if (next.at > until) {
        this.#push(next);
        break;
      }
      this.now = next.at;
      this.events += 1;
      this.note(next.what);
      next.happen();
      await quiet();
      await look();
    }
    if (!done()) this.now = Math.max(this.now, until);
  }

  #push(planned: Planned & { readonly order: number }): void {
    const heap = this.#heap;
    let at = heap.push(planned) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (before(heap[parent]!, planned)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = planned;
  }

  #pop(): (Planned & { readonly order: number }) | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || first === last) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      if (before(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

type Placed = Planned & { readonly order: number };
const before = (a: Placed, b: Placed): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** Waits until nothing is open: promises have settled and no cryptography is under way. */
async function quiet(): Promise<void> {
  for (let turns = 0; turns < TURNS_MAX; turns++) {
    await turn();
    if (restOfCrypto() === 0) return;
  }
  throw new Error('the storm does not come to rest');
}

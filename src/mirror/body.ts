/**
 * Bytes on their way out of the mirror: how far they may go now, and when it is better to end. Promises: answers are
 * bounded in time; nothing beyond the watermark is readable here. The times follow what containerd does with a mirror:
 * it never turns from one that accepts and hangs, resumes elsewhere after a FIN, and fails a pull after a reset.
 */
import { MirrorError } from '../errors.ts';
import type { Content } from '../store/store.ts';
import type { World } from '../world.ts';
import type { Fetch, Fetches } from './fetches.ts';

/** How long an answer is held before its headers go out, while nothing may be handed on yet. */
export const ANSWER_MS = 2_000;
/** A fetch that for so long checked no chunk, and turned to no other holder, stands still. */
export const ADVANCE_MS = 5_000;
/** However many holders it turns to, a fetch that checked no chunk for so long stands still. */
export const STANDSTILL_MS = 11_000;
/** How long an answer may go without a byte; containerd gives a pull up after 300 s. */
export const SILENCE_MS = 240_000;
/** After an answer without a byte, for so long the same content is given whole or not at all. */
export const CUT_MS = 60_000;

export interface Body {
  /** The offset of the first byte, and of the one after the last. */
  readonly start: number;
  readonly end: number;
  /** Waits until bytes beyond `sent` may go out: up to which offset; undefined where no more will come. */
  upTo(sent: number): Promise<number | undefined>;
  read(into: Uint8Array, position: number): Promise<number>;
  /** Call once; `sent` is the offset of the first byte that did not go out. */
  close(sent: number): Promise<void>;
}

/** Whole content on this node's disk. */
export const bodyOfContent = (content: Content, start: number, end: number): Body => ({
  start,
  end,
  upTo: () => Promise.resolve(end),
  read: (into, position) => content.read(into, position),
  close: () => content.close(),
});

/** Bytes in memory. */
export const bodyOfBytes = (bytes: Uint8Array): Body => ({
  start: 0,
  end: bytes.length,
  upTo: () => Promise.resolve(bytes.length),
  read: (into, position) => {
    const part = bytes.subarray(position, position + into.length);
    into.set(part);
    return Promise.resolve(part.length);
  },
  close: () => Promise.resolve(),
});

/** When the fetch will count as standing still, should nothing change; monotonic ms. */
const standsStillAt = ({ advancedAt, turnedAt }: Fetch): number =>
  Math.min(Math.max(advancedAt, turnedAt) + ADVANCE_MS, advancedAt + STANDSTILL_MS);

/** Waits for the fetch's next change, at most `ms`. */
async function change(world: World, fetch: Fetch, ms: number): Promise<void> {
  const done = new AbortController();
  await Promise.race([fetch.changed(), world.sleep(ms, done.signal)]);
  done.abort();
}

/** Bytes that may go to one who needs `vouchers`: a fetch that began with fewer is handed on when it is whole. */
const handedOn = (fetch: Fetch, vouchers: number): number =>
  fetch.state === 'whole' || fetch.vouchers >= vouchers ? fetch.watermark : 0;

/**
 * Holds the answer until bytes may go out or ANSWER_MS are over. @throws CONTENT_ABSENT where the fetch stands still;
 * what the fetch failed with
 */
export async function holdAnswer(world: World, fetch: Fetch, vouchers: number): Promise<void> {
  const until = world.monotonic() + ANSWER_MS;
  for (let left = ANSWER_MS; left > 0; left = until - world.monotonic()) {
    if (fetch.error) throw fetch.error;
    if (handedOn(fetch, vouchers) > 0 || fetch.state === 'whole') return;
    await change(world, fetch, left);
  }
  if (fetch.error) throw fetch.error;
  if (world.monotonic() >= standsStillAt(fetch))
    throw new MirrorError('CONTENT_ABSENT', `${fetch.digest}: the nodes that hold it send nothing`);
}

/** The body of a content on its way: up to its watermark, as long as it advances. */
export function bodyOfFetch(world: World, fetches: Fetches, fetch: Fetch, vouchers: number): Body {
  const release = fetch.spooled.hold();
  let lastSent = 0;
  let sentAt = world.monotonic();
  let ended = false;
  return {
    start: 0,
    end: fetch.size,
    async upTo(sent) {
      if (sent > lastSent) [lastSent, sentAt] = [sent, world.monotonic()];
      for (;;) {
        const may = handedOn(fetch, vouchers);
        if (may > sent) return may;
        const now = world.monotonic();
        const left = Math.min(standsStillAt(fetch), sentAt + SILENCE_MS) - now;
        ended = fetch.state !== 'running' || left <= 0;
        if (ended) return undefined;
        await change(world, fetch, left);
      }
    },
    read: (into, position) =>
      fetch.spooled.read(into.subarray(0, Math.max(0, handedOn(fetch, vouchers) - position)), position),
    close(sent) {
      // A client that went away by itself was not cut: it may come back and wait.
      if (ended && sent === 0) fetches.cut(fetch.digest, world.monotonic() + CUT_MS);
      release();
      return Promise.resolve();
    },
  };
}

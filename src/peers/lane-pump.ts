/**
 * From a gift to a socket. Promises: at most three chunk buffers, used again; the next chunk is read while the last ones
 * are sent; a reader that takes nothing is left after TRICKLE_MS. Refuses to know who reads and what was judged.
 */
import { MirrorError } from '../errors.ts';
import { CHUNK_BYTES } from '../proof/proof.ts';
import type { World } from '../world.ts';
import type { LaneRequest } from './frame.ts';
import type { Buffers } from './lane-buffers.ts';
import { RATE_PIECE_BYTES, type Rate } from './lane-rate.ts';
import { TRICKLE_MS, watch } from './lane-watch.ts';
import type { Gift } from './peers.ts';
import type { LaneSocket } from './wire.ts';

/** Chunk buffers of all inbound lanes together. */
export const GIVING_BUFFERS_MAX = 48;
/** Chunk buffers of one lane: one that is read into, two on their way. */
export const IN_FLIGHT_MAX = 3;
/** Beyond its first buffer, a lane leaves so many for others, so that a few slow readers cannot take them all. */
const BUFFERS_LEFT = GIVING_BUFFERS_MAX / 2;

export interface PumpRooms {
  readonly world: World;
  readonly buffers: Buffers;
  /** What limits the peer; none for no limit. */
  readonly rates: readonly Rate[];
}

/** One answer's bytes; `sent` of them are with the system. */
export class Pump {
  readonly #rooms: PumpRooms;
  readonly #socket: LaneSocket;
  readonly #request: LaneRequest;
  readonly #stop = new AbortController();
  readonly #free: Buffer[] = [];
  #freed: (() => void) | undefined;
  #last: Promise<void> = Promise.resolve();
  #own = 1;
  #movedAt: number;
  #error: unknown;
  #sent = 0;

  constructor(rooms: PumpRooms, socket: LaneSocket, request: LaneRequest) {
    this.#rooms = rooms;
    this.#socket = socket;
    this.#request = request;
    this.#movedAt = rooms.world.monotonic();
  }

  get sent(): number {
    return this.#sent;
  }

  /**
   * Sends all of the request's bytes from `gift`; nothing is being read or sent any more when it settles.
   * @throws LANE_STALLED, LANE_CLOSED, CONTENT_TRUNCATED, and what the gift throws
   */
  async run(gift: Gift): Promise<void> {
    const { world, buffers } = this.#rooms;
    void this.#socket.closed.then(() => this.#fail(new MirrorError('LANE_CLOSED', 'the reader closed the lane')));
    const first = await buffers.next(this.#stop.signal);
    if (first) this.#free.push(first);
    this.#movedAt = world.monotonic();
    void watch(
      world,
      this.#stop.signal,
      () => this.#movedAt + TRICKLE_MS,
      () => this.#fail(new MirrorError('LANE_STALLED', `the reader took no chunk within ${TRICKLE_MS} ms`)),
    );
    try {
      await this.#pump(gift);
      await this.#last;
    } catch (error) {
      this.#fail(error);
    }
    await this.#last;
    this.#stop.abort();
    for (const buffer of this.#free) buffers.put(buffer);
    if (this.#error) throw this.#error;
  }

  async #pump(gift: Gift): Promise<void> {
    const { offset, length } = this.#request;
    for (let done = 0; done < length && !this.#error; ) {
      const buffer = await this.#buffer();
      const want = Math.min(CHUNK_BYTES, length - done);
      try {
        await fill(gift, buffer.subarray(0, want), offset + done);
      } catch (error) {
        this.#free.push(buffer);
        throw error;
      }
      done += want;
      this.#last = this.#send(buffer, want, this.#last);
    }
  }

  /** The next buffer to read into: one of this lane's, a new one where there are plenty, else the first that is sent. */
  async #buffer(): Promise<Buffer> {
    for (;;) {
      const own = this.#free.pop();
      if (own) return own;
      const more = this.#own < IN_FLIGHT_MAX ? this.#rooms.buffers.take(BUFFERS_LEFT) : undefined;
      if (more) {
        this.#own++;
        return more;
      }
      await new Promise<void>(resolve => {
        this.#freed = resolve;
      });
    }
  }

  /** Sends one chunk after the one before. Never rejects: what fails is kept as the pump's error. */
  async #send(buffer: Buffer, length: number, before: Promise<void>): Promise<void> {
    const { rates } = this.#rooms;
    try {
      // Whole chunks queue up in the socket; pieces must not mix with those of the chunk before.
      if (rates.length > 0) await before;
      const piece = rates.length > 0 ? RATE_PIECE_BYTES : length;
      for (let at = 0; at < length && !this.#error; at += piece) {
        const bytes = buffer.subarray(at, Math.min(at + piece, length));
        for (const rate of rates) await rate.take(bytes.length, this.#stop.signal);
        await this.#socket.send(bytes);
        this.#sent += bytes.length;
      }
      await before;
      this.#movedAt = this.#rooms.world.monotonic();
    } catch (error) {
      this.#fail(error);
    }
    this.#free.push(buffer);
    this.#freed?.();
  }

  #fail(error: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.#error = error;
    this.#stop.abort();
    // So that what is being sent settles.
    this.#socket.destroy();
  }
}

async function fill(gift: Gift, into: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < into.length; ) {
    const read = await gift.read(into.subarray(at), position + at);
    if (read === 0)
      throw new MirrorError('CONTENT_TRUNCATED', `the content ends at ${position + at}, before what was asked`);
    at += read;
  }
}

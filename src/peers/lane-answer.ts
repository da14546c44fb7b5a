/**
 * One request's answer, as it comes over a lane. Promises: whole chunks in order; at most HELD_MAX of them wait for their
 * release before the socket is paused; whoever stalls, trickles, lies about a length or closes early is found out.
 * Refuses to know whether the bytes are true: the reader checks each chunk.
 */
import { MirrorError } from '../errors.ts';
import { CHUNK_BYTES } from '../proof/proof.ts';
import type { World } from '../world.ts';
import { ANSWER_BYTES, encodeRequest, Gather, type LaneRequest, parseAnswer } from './frame.ts';
import type { Buffers } from './lane-buffers.ts';
import { STALL_MS, TRICKLE_MS, watch } from './lane-watch.ts';
import type { Chunk } from './peers.ts';
import type { LaneSocket } from './wire.ts';

/** Chunks of one answer that are not yet released, at which the socket is paused. */
export const HELD_MAX = 6;

export interface AnswerRooms {
  readonly world: World;
  readonly buffers: Buffers;
  /** For messages: who is asked. */
  readonly who: string;
}

/** One answer under way. */
export class Answer {
  readonly #rooms: AnswerRooms;
  readonly #socket: LaneSocket;
  readonly #request: LaneRequest;
  readonly #head = new Gather(ANSWER_BYTES);
  readonly #over = new AbortController();
  readonly #ready: Chunk[] = [];
  #current: { readonly buffer: Buffer; readonly pooled: boolean } | undefined;
  #filled = 0;
  #got = 0;
  #absent = false;
  #begun = false;
  #held = 0;
  #paused = false;
  #byteAt: number;
  #chunkAt: number;
  #error: MirrorError | undefined;
  #wake: (() => void) | undefined;

  constructor(rooms: AnswerRooms, socket: LaneSocket, request: LaneRequest) {
    this.#rooms = rooms;
    this.#socket = socket;
    this.#request = request;
    this.#byteAt = this.#chunkAt = rooms.world.monotonic();
  }

  /** True when the lane can carry another request: everything came, and nothing else. */
  get clean(): boolean {
    return !this.#error && (this.#absent || this.#got === this.#request.length);
  }

  /** True once a byte of the answer came. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Asks, and yields the chunks. @throws CONTENT_ABSENT, LANE_STALLED, LANE_CLOSED, FRAME_INVALID */
  async *chunks(): AsyncGenerator<Chunk, void, void> {
    const { world, who } = this.#rooms;
    this.#socket.send(encodeRequest(this.#request)).catch((error: unknown) => this.fail(error as MirrorError));
    void watch(
      world,
      this.#over.signal,
      () => this.#due(),
      () =>
        this.fail(
          new MirrorError(
            'LANE_STALLED',
            `${who} stalled at byte ${this.#got} of ${this.#request.length}; another is asked`,
          ),
        ),
    );
    try {
      for (;;) {
        const chunk = this.#ready.shift();
        if (chunk) yield chunk;
        else if (this.#error) throw this.#error;
        else if (this.#absent) throw new MirrorError('CONTENT_ABSENT', `${who} does not give ${this.#request.digest}`);
        else if (this.clean) return;
        else
          await new Promise<void>(resolve => {
            this.#wake = resolve;
          });
      }
    } finally {
      this.#end();
    }
  }

  /** Takes bytes off the socket; false pauses it. */
  receive(bytes: Uint8Array): boolean {
    if (this.#over.signal.aborted || this.#error) return false;
    this.#begun = true;
    this.#byteAt = this.#rooms.world.monotonic();
    try {
      this.#take(bytes);
    } catch (error) {
      this.fail(error as MirrorError);
    }
    this.#paused = this.#held >= HELD_MAX;
    return !this.#paused;
  }

  /** Ends the answer for `error`; chunks that are whole are still handed out. */
  fail(error: MirrorError): void {
    if (this.#over.signal.aborted) return;
    this.#error ??= error;
    this.#wake?.();
  }

  #take(bytes: Uint8Array): void {
    let at = 0;
    if (!this.#head.whole) {
      at = this.#head.take(bytes);
      if (!this.#head.whole) return;
      this.#absent = parseAnswer(this.#head.whole, this.#request) === 'absent';
      if (this.#absent) this.#wake?.();
    }
    const { length } = this.#request;
    if (bytes.length - at > (this.#absent ? 0 : length - this.#got))
      throw new MirrorError('FRAME_INVALID', `${this.#rooms.who} sent more bytes than it announced`);
    while (at < bytes.length) {
      this.#current ??= this.#room(length - this.#got);
      const { buffer } = this.#current;
      const part = bytes.subarray(at, at + buffer.length - this.#filled);
      buffer.set(part, this.#filled);
      at += part.length;
      this.#filled += part.length;
      this.#got += part.length;
      if (this.#filled === buffer.length) this.#whole();
    }
  }

  /** A buffer for the next chunk: one that is used again, or a smaller one of its own for the last. */
  #room(left: number): { readonly buffer: Buffer; readonly pooled: boolean } {
    const pooled = left >= CHUNK_BYTES ? this.#rooms.buffers.take() : undefined;
    return { buffer: pooled ?? Buffer.allocUnsafeSlow(Math.min(left, CHUNK_BYTES)), pooled: pooled !== undefined };
  }

  #whole(): void {
    const { buffer, pooled } = this.#current!;
    this.#current = undefined;
    this.#filled = 0;
    this.#chunkAt = this.#byteAt;
    this.#held++;
    let released = false;
    this.#ready.push({
      bytes: buffer,
      release: () => {
        if (released) return;
        released = true;
        if (pooled) this.#rooms.buffers.put(buffer);
        this.#held--;
        this.#resume();
      },
    });
    this.#wake?.();
  }

  #resume(): void {
    if (!this.#paused || this.#held >= HELD_MAX || this.#over.signal.aborted) return;
    this.#paused = false;
    // The time that we did not listen is not the giver's.
    this.#byteAt = this.#chunkAt = this.#rooms.world.monotonic();
    this.#socket.resume();
  }

  #due(): number {
    if (this.#paused || this.#got === this.#request.length) return this.#rooms.world.monotonic() + STALL_MS;
    return Math.min(this.#byteAt + STALL_MS, this.#chunkAt + TRICKLE_MS);
  }

  #end(): void {
    this.#over.abort();
    for (const chunk of this.#ready.splice(0)) chunk.release();
    if (this.#current?.pooled) this.#rooms.buffers.put(this.#current.buffer);
    this.#current = undefined;
  }
}

/**
 * Frames over a byte stream: 4 bytes big-endian length, then the frame. Promises: a length over the limit is refused
 * before anything is allocated for it, a slow reader stops the sender, memory stays under one frame and one window.
 * Refuses to know whose stream it is: anything with these few methods will do. Spec: PROTOCOL.md, "Frames".
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import type { Stream } from './wire.ts';

/** Bytes that may wait unread before the stream is paused. */
const UNREAD_MAX_BYTES = 64 * 1024;
const HEADER_BYTES = 4;
const FIRST_BUFFER_BYTES = 4096;

/** What this needs of a byte stream of libp2p. */
export interface ByteStream {
  readonly writableNeedsDrain: boolean;
  readonly status: string;
  readonly remoteWriteStatus?: string;
  send(data: Uint8Array): boolean;
  pause(): void;
  resume(): void;
  unshift(data: Uint8Array): void;
  close(): Promise<void>;
  abort(error: Error): void;
  addEventListener(type: string, listener: (event: { data?: { subarray(): Uint8Array }; error?: Error }) => void): void;
  removeEventListener(
    type: string,
    listener: (event: { data?: { subarray(): Uint8Array }; error?: Error }) => void,
  ): void;
}

/** One side of a framed stream. `release` hands the byte stream back, unread bytes included. */
export class FramedStream implements Stream {
  readonly #bytes: ByteStream;
  readonly #maxFrame: number;
  #buffer = Buffer.alloc(0);
  #filled = 0;
  #needed = 0;
  #paused = false;
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;
  #reading: Promise<unknown> = Promise.resolve();

  constructor(bytes: ByteStream, maxFrame: number) {
    this.#bytes = bytes;
    this.#maxFrame = maxFrame;
    bytes.addEventListener('message', this.#onMessage);
    bytes.addEventListener('remoteCloseWrite', this.#onEnd);
    bytes.addEventListener('close', this.#onEnd);
    this.#ended = bytes.status !== 'open' || bytes.remoteWriteStatus === 'closed';
  }

  readonly #onMessage = (event: { data?: { subarray(): Uint8Array } }): void => {
    const piece = event.data?.subarray();
    if (!piece) return;
    this.#reserve(this.#filled + piece.length);
    this.#buffer.set(piece, this.#filled);
    this.#filled += piece.length;
    if (this.#filled >= Math.max(this.#needed, UNREAD_MAX_BYTES)) this.#pause();
    if (this.#filled >= this.#needed) this.#wake?.();
  };

  readonly #onEnd = (event: { error?: Error }): void => {
    this.#ended = true;
    this.#error ??= event.error;
    this.#wake?.();
  };

  async send(frame: Uint8Array): Promise<void> {
    if (frame.length > this.#maxFrame)
      throw new MirrorError(
        'LIMIT_EXCEEDED',
        `a frame of ${frame.length} bytes is over this stream's ${this.#maxFrame}`,
      );
    const whole = Buffer.allocUnsafe(HEADER_BYTES + frame.length);
    whole.writeUInt32BE(frame.length);
    whole.set(frame, HEADER_BYTES);
    try {
      if (!this.#bytes.send(whole)) await this.#drained();
    } catch (error) {
      throw asMirrorError(error, 'PEER_UNREACHABLE', 'the stream ended while sending');
    }
  }

  receive(): Promise<Uint8Array | undefined> {
    const next = this.#reading.then(() => this.#receive());
    this.#reading = next.catch(() => undefined);
    return next;
  }

  async close(): Promise<void> {
    try {
      await this.#bytes.close();
    } catch (error) {
      this.#bytes.abort(asMirrorError(error, 'PEER_UNREACHABLE', 'the stream ended while closing'));
    }
  }

  abort(reason: Error): void {
    this.#error ??= reason;
    this.#bytes.abort(reason);
    this.#onEnd({ error: reason });
  }

  /** Stops framing: what was received and not taken goes back, for whoever reads the byte stream next. */
  release(): void {
    this.#bytes.removeEventListener('message', this.#onMessage);
    this.#bytes.removeEventListener('remoteCloseWrite', this.#onEnd);
    this.#bytes.removeEventListener('close', this.#onEnd);
    if (this.#filled > 0) this.#bytes.unshift(Uint8Array.from(this.#buffer.subarray(0, this.#filled)));
    this.#filled = 0;
    this.#resume();
  }

  async #receive(): Promise<Uint8Array | undefined> {
    if (!(await this.#have(HEADER_BYTES))) {
      if (this.#filled === 0) return undefined;
      throw new MirrorError('FRAME_INVALID', 'the stream ended inside the length of a frame');
    }
    const length = this.#buffer.readUInt32BE(0);
    if (length > this.#maxFrame) {
      const error = new MirrorError('LIMIT_EXCEEDED', `a frame of ${length} bytes came, at most ${this.#maxFrame} may`);
      this.abort(error);
      throw error;
    }
    if (!(await this.#have(HEADER_BYTES + length)))
      throw new MirrorError('FRAME_INVALID', `the stream ended inside a frame of ${length} bytes`);
    const frame = new Uint8Array(this.#buffer.subarray(HEADER_BYTES, HEADER_BYTES + length));
    this.#buffer.copyWithin(0, HEADER_BYTES + length, this.#filled);
    this.#filled -= HEADER_BYTES + length;
    this.#needed = 0;
    if (this.#filled === 0) this.#buffer = Buffer.alloc(0);
    return frame;
  }

  /** Waits until `bytes` are here; false at a clean end before that. */
  async #have(bytes: number): Promise<boolean> {
    this.#needed = bytes;
    while (this.#filled < bytes) {
      if (this.#error) throw asMirrorError(this.#error, 'PEER_UNREACHABLE', 'the stream ended');
      if (this.#ended && !this.#paused) return false;
      await new Promise<void>(resolve => {
        this.#wake = resolve;
        this.#resume();
      });
      this.#wake = undefined;
    }
    return true;
  }

  async #drained(): Promise<void> {
    while (this.#bytes.writableNeedsDrain) {
      await new Promise<void>((resolve, reject) => {
        const settle = (event: { error?: Error }): void => {
          this.#bytes.removeEventListener('drain', settle);
          this.#bytes.removeEventListener('close', settle);
          if (this.#bytes.status === 'open') resolve();
          else reject(event.error ?? new Error('closed'));
        };
        this.#bytes.addEventListener('drain', settle);
        this.#bytes.addEventListener('close', settle);
        if (this.#bytes.status !== 'open') settle({});
      });
    }
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(bytes, 2 * this.#buffer.length, FIRST_BUFFER_BYTES));
    this.#buffer.copy(grown, 0, 0, this.#filled);
    this.#buffer = grown;
  }

  #pause(): void {
    if (this.#paused || this.#ended) return;
    this.#paused = true;
    this.#bytes.pause();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    try {
      this.#bytes.resume();
    } catch {
      // It was closed meanwhile: its buffered bytes were dispatched before, or are gone with it.
    }
    if (this.#ended) this.#wake?.();
  }
}

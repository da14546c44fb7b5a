/** Streams in memory: what was sent is there when it has arrived, and a break is known at the other end when that has. */
import { asMirrorError, MirrorError } from '../../src/errors.ts';
import type { Stream, StreamLimits } from '../../src/peers/wire.ts';

/** Bytes on the way in one direction before the sender waits. */
const WINDOW_BYTES = 1 << 20;

/** Carries one thing to the other host. */
export type Carry = (way: object, arrive: () => void) => void;

/** One direction of a stream: what its sender and its reader know of it differs by what is on its way. */
export class Pipe {
  readonly frames: Uint8Array[] = [];
  /** Bytes that were sent and not read. */
  bytes = 0;
  ended = false;
  /** Why the sender's end broke, and the reader's. */
  readonly broken: { sender?: Error; reader?: Error } = {};
  readonly #carry: Carry;
  #waiters: (() => void)[] = [];

  constructor(carry: Carry) {
    this.#carry = carry;
  }

  /** Something that was sent arrives: unless the reader's end broke, it happens. */
  arrives(happen: () => void): void {
    this.#carry(this, () => {
      if (this.broken.reader) return;
      happen();
      this.changed();
    });
  }

  fail(end: 'sender' | 'reader', reason: Error): void {
    this.broken[end] ??= reason;
    this.changed();
  }

  changed(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }

  wait(): Promise<void> {
    return new Promise(resolve => this.#waiters.push(resolve));
  }
}

export class MemoryStream implements Stream {
  readonly #out: Pipe;
  readonly #in: Pipe;
  readonly #maxFrame: number;

  constructor(out: Pipe, into: Pipe, maxFrame: number) {
    this.#out = out;
    this.#in = into;
    this.#maxFrame = maxFrame;
  }

  async send(frame: Uint8Array): Promise<void> {
    if (frame.length > this.#maxFrame) throw new MirrorError('LIMIT_EXCEEDED', `a frame of ${frame.length} bytes`);
    const out = this.#out;
    while (out.bytes >= WINDOW_BYTES && !out.broken.sender) await out.wait();
    if (out.broken.sender) throw asMirrorError(out.broken.sender, 'PEER_UNREACHABLE', 'the stream ended');
    const copy = Uint8Array.from(frame);
    out.bytes += copy.length;
    out.arrives(() => void out.frames.push(copy));
  }

  async receive(): Promise<Uint8Array | undefined> {
    const into = this.#in;
    while (into.frames.length === 0 && !into.ended && !into.broken.reader) await into.wait();
    const frame = into.frames.shift();
    if (!frame) {
      if (into.broken.reader) throw asMirrorError(into.broken.reader, 'PEER_UNREACHABLE', 'the stream ended');
      return undefined;
    }
    into.bytes -= frame.length;
    into.changed();
    if (frame.length <= this.#maxFrame) return frame;
    const error = new MirrorError('LIMIT_EXCEEDED', `a frame of ${frame.length} bytes came`);
    this.abort(error);
    throw error;
  }

  async close(): Promise<void> {
    this.#out.arrives(() => void (this.#out.ended = true));
  }

  /** The own end breaks at once, the other's when that arrives. */
  abort(reason: Error): void {
    const [out, into] = [this.#out, this.#in];
    if (into.broken.reader && out.broken.sender) return;
    this.lose(reason);
    out.arrives(() => {
      out.fail('reader', reason);
      into.fail('sender', reason);
    });
  }

  /** The own end breaks, and the other side is not told. */
  lose(reason: Error): void {
    this.#in.fail('reader', reason);
    this.#out.fail('sender', reason);
  }
}

/** Both ends of a stream over two pipes. */
export function streams(there: Pipe, back: Pipe, a: StreamLimits, b: StreamLimits): [MemoryStream, MemoryStream] {
  return [new MemoryStream(there, back, a.maxFrame), new MemoryStream(back, there, b.maxFrame)];
}

/** Frames over a stream of bytes: whatever comes, however it is cut, is read as its lengths say, or refused by code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import { type ByteStream, FramedStream } from '../../src/peers/framed.ts';
import { fuzzAsync, smallAtTheEnd, spoilt } from '../support/fuzz.ts';

const MOST = 300;
smallAtTheEnd();

type Listener = (event: { data?: { subarray(): Uint8Array }; error?: Error }) => void;

/** A stream whose pieces arrive while it is not paused, and then end. */
class Pieces implements ByteStream {
  readonly writableNeedsDrain = false;
  status = 'open';
  readonly #listeners = new Map<string, Listener>();
  readonly #left: Uint8Array[];
  #paused = false;

  constructor(pieces: readonly Uint8Array[]) {
    this.#left = [...pieces];
  }
  send = (): boolean => true;
  pause(): void {
    this.#paused = true;
  }
  resume(): void {
    this.#paused = false;
    queueMicrotask(() => this.run());
  }
  unshift(): void {}
  async close(): Promise<void> {}
  abort(): void {
    this.status = 'aborted';
  }
  addEventListener(type: string, listener: Listener): void {
    this.#listeners.set(type, listener);
  }
  removeEventListener(type: string): void {
    this.#listeners.delete(type);
  }
  run(): void {
    while (!this.#paused && this.status === 'open') {
      const piece = this.#left.shift();
      if (piece) this.#listeners.get('message')?.({ data: piece });
      else {
        this.status = 'closed';
        this.#listeners.get('remoteCloseWrite')?.({});
      }
    }
  }
}

/** What the bytes say by themselves: their frames, then how they end. */
function expected(bytes: Buffer): readonly string[] {
  const said: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < 4) return [...said, 'FRAME_INVALID'];
    const length = bytes.readUInt32BE(at);
    if (length > MOST) return [...said, 'LIMIT_EXCEEDED'];
    if (at + 4 + length > bytes.length) return [...said, 'FRAME_INVALID'];
    said.push(bytes.toString('hex', at + 4, at + 4 + length));
    at += 4 + length;
  }
  return [...said, 'end'];
}

async function read(pieces: readonly Uint8Array[]): Promise<readonly string[]> {
  const bytes = new Pieces(pieces);
  const stream = new FramedStream(bytes, MOST);
  bytes.run();
  const said: string[] = [];
  for (;;) {
    try {
      const frame = await stream.receive();
      if (!frame) return [...said, 'end'];
      assert.equal(frame.buffer.byteLength, frame.length, 'a frame keeps more memory than its own');
      said.push(Buffer.from(frame).toString('hex'));
    } catch (error) {
      assert.ok(hasCode(error, 'FRAME_INVALID', 'LIMIT_EXCEEDED'), String(error));
      return [...said, error.code];
    }
  }
}

const framed = (frame: Uint8Array): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(frame.length);
  return Buffer.concat([length, frame]);
};

void test('any bytes, cut anywhere, are the frames that their lengths say, and then end by code', async () => {
  const good = fc
    .array(fc.uint8Array({ maxLength: MOST }), { maxLength: 6 })
    .map(frames => Buffer.concat(frames.map(framed)));
  const bytes = fc.oneof(
    good,
    good.chain(whole => spoilt(whole)),
    fc.uint8Array({ maxLength: 600 }).map(all => Buffer.from(all)),
  );
  const cuts = fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 20 });
  await fuzzAsync(
    fc.asyncProperty(bytes, cuts, async (whole, sizes) => {
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < whole.length; at += pieces.at(-1)!.length)
        pieces.push(whole.subarray(at, at + sizes[pieces.length % sizes.length]!));
      assert.deepEqual(await read(pieces), expected(whole));
    }),
    1000,
  );
});

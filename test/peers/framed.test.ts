/** Frames over bytes: any cut, any end, a slow reader. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { type ByteStream, FramedStream } from '../../src/peers/framed.ts';

type Listener = (event: { data?: { subarray(): Uint8Array }; error?: Error }) => void;

class FakeBytes implements ByteStream {
  writableNeedsDrain = false;
  status = 'open';
  paused = false;
  readonly sent: Uint8Array[] = [];
  readonly back: Uint8Array[] = [];
  readonly #listeners = new Map<string, Set<Listener>>();
  #waiting: Uint8Array[] = [];

  send(data: Uint8Array): boolean {
    this.sent.push(data);
    return !this.writableNeedsDrain;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
    for (const piece of this.#waiting.splice(0)) this.arrive(piece);
  }
  unshift(data: Uint8Array): void {
    this.back.push(data);
  }
  async close(): Promise<void> {
    this.status = 'closed';
  }
  abort(error: Error): void {
    this.status = 'aborted';
    this.emit('close', { error });
  }
  addEventListener(type: string, listener: Listener): void {
    this.#listeners.set(type, (this.#listeners.get(type) ?? new Set()).add(listener));
  }
  removeEventListener(type: string, listener: Listener): void {
    this.#listeners.get(type)?.delete(listener);
  }
  emit(type: string, event: Parameters<Listener>[0] = {}): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event);
  }
  arrive(piece: Uint8Array): void {
    if (this.paused) this.#waiting.push(piece);
    else this.emit('message', { data: piece });
  }
}

const framed = (frame: Uint8Array): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(frame.length);
  return Buffer.concat([length, frame]);
};

void test('frames come out whole, however they were cut', async () => {
  for (const cut of [1, 2, 3, 5, 100]) {
    const bytes = new FakeBytes();
    const stream = new FramedStream(bytes, 50);
    const frames = [new Uint8Array(0), Uint8Array.of(1, 2, 3), new Uint8Array(50).fill(4)];
    const all = Buffer.concat(frames.map(framed));
    for (let at = 0; at < all.length; at += cut) bytes.arrive(all.subarray(at, at + cut));
    bytes.emit('remoteCloseWrite');
    for (const frame of frames) assert.deepEqual(await stream.receive(), frame);
    assert.equal(await stream.receive(), undefined);
  }
});

void test('a length over the limit is refused before its bytes come', async () => {
  const bytes = new FakeBytes();
  const stream = new FramedStream(bytes, 50);
  bytes.arrive(Buffer.from('ffffffff', 'hex'));
  let refusal: unknown;
  stream.receive().catch((error: unknown) => (refusal = error));
  await new Promise(resolve => setImmediate(resolve));
  assert.ok(hasCode(refusal, 'LIMIT_EXCEEDED'));
  assert.equal(bytes.status, 'aborted');
});

void test('an end inside a length or a frame is an error, not an end', async () => {
  for (const part of ['0000', '0000000501']) {
    const bytes = new FakeBytes();
    const stream = new FramedStream(bytes, 50);
    bytes.arrive(Buffer.from(part, 'hex'));
    bytes.emit('remoteCloseWrite');
    await assert.rejects(stream.receive(), error => hasCode(error, 'FRAME_INVALID'));
  }
});

void test('a reset ends a reader that waits', async () => {
  const bytes = new FakeBytes();
  const stream = new FramedStream(bytes, 50);
  const waiting = assert.rejects(stream.receive(), error => hasCode(error, 'PEER_UNREACHABLE'));
  bytes.emit('close', { error: new Error('reset') });
  await waiting;
});

void test('a sender is stopped while nobody reads, and goes on with the reader', async () => {
  const bytes = new FakeBytes();
  const stream = new FramedStream(bytes, 40_000);
  const frame = new Uint8Array(40_000).fill(7);
  for (let i = 0; i < 5; i++) bytes.arrive(framed(frame));
  assert.equal(bytes.paused, true);
  for (let i = 0; i < 5; i++) assert.deepEqual(await stream.receive(), frame);
});

void test('sending waits for the drain, and fails when the stream ends meanwhile', async () => {
  const bytes = new FakeBytes();
  const stream = new FramedStream(bytes, 50);
  bytes.writableNeedsDrain = true;
  let done = false;
  const sending = stream.send(Uint8Array.of(1)).then(() => (done = true));
  await new Promise(resolve => setImmediate(resolve));
  assert.equal(done, false);
  bytes.writableNeedsDrain = false;
  bytes.emit('drain');
  await sending;
  bytes.writableNeedsDrain = true;
  const failing = assert.rejects(stream.send(Uint8Array.of(2)), error => hasCode(error, 'PEER_UNREACHABLE'));
  bytes.abort(new Error('reset'));
  await failing;
});

void test('what was received and not taken is handed back', async () => {
  const bytes = new FakeBytes();
  const stream = new FramedStream(bytes, 50);
  bytes.arrive(Buffer.concat([framed(Uint8Array.of(1)), Buffer.from('next protocol')]));
  await stream.receive();
  stream.release();
  assert.deepEqual(Buffer.concat(bytes.back).toString(), 'next protocol');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Buffers } from '../../src/peers/lane-buffers.ts';
import { CHUNK_BYTES } from '../../src/proof/proof.ts';

const never = new AbortController().signal;

void test('a buffer that came back goes out again', () => {
  const buffers = new Buffers();
  const first = buffers.take()!;
  assert.equal(first.length, CHUNK_BYTES);
  buffers.put(first);
  assert.equal(buffers.take(), first);
  assert.equal(buffers.out, 1);
});

void test('no more than the bound go out, and some can be left for others', () => {
  const buffers = new Buffers(2);
  assert.equal(buffers.take(2), undefined);
  const first = buffers.take(1)!;
  assert.equal(buffers.take(1), undefined);
  buffers.take();
  assert.equal(buffers.take(), undefined);
  buffers.put(first);
  assert.ok(buffers.take());
});

void test('who waits gets a buffer in turn, before anybody who comes later', async () => {
  const buffers = new Buffers(1);
  const only = buffers.take()!;
  const turns: number[] = [];
  const first = buffers.next(never).then(buffer => (turns.push(1), buffer!));
  const second = buffers.next(never).then(buffer => (turns.push(2), buffer!));
  buffers.put(only);
  assert.equal(buffers.take(), undefined);
  buffers.put(await first);
  buffers.put(await second);
  assert.deepEqual(turns, [1, 2]);
  assert.equal(buffers.out, 0);
});

void test('who stops waiting gets none and takes none from others', async () => {
  const buffers = new Buffers(1);
  const only = buffers.take()!;
  const stop = new AbortController();
  const stopped = buffers.next(stop.signal);
  const patient = buffers.next(never);
  stop.abort();
  assert.equal(await stopped, undefined);
  buffers.put(only);
  assert.equal(await patient, only);
  assert.equal(await buffers.next(stop.signal), undefined);
});

void test('a buffer that comes back once too often is a defect', () => {
  const buffers = new Buffers();
  const buffer = buffers.take()!;
  buffers.put(buffer);
  assert.throws(() => buffers.put(buffer), /^Error: defect/);
});

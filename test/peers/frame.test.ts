import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { digestOf } from '../../src/oci/oci.ts';
import {
  ANSWER_BYTES,
  encodeAnswer,
  encodeOffer,
  encodeRequest,
  Gather,
  OFFER_BYTES,
  OFFER_REQUEST,
  parseAnswer,
  parseOffer,
  parseOfferRequest,
  parseRequest,
  REQUEST_BYTES,
} from '../../src/peers/frame.ts';
import { CHUNK_BYTES, CONTENT_MAX_BYTES } from '../../src/proof/proof.ts';

const digest = digestOf(Buffer.from('content'));
const request = { digest, offset: 3 * CHUNK_BYTES, length: 5_000_000 };
const invalid = (error: unknown): boolean => hasCode(error, 'FRAME_INVALID');

/** A copy of `frame` with `byte` at `at`. */
const changed = (frame: Uint8Array, at: number, byte: number): Uint8Array =>
  Uint8Array.from(frame).fill(byte, at, at + 1);

void test('a request is read as it was written, with either digest', () => {
  assert.deepEqual(parseRequest(encodeRequest(request)), request);
  const wide = { ...request, digest: digestOf(Buffer.from('content'), 'sha512') };
  assert.deepEqual(parseRequest(encodeRequest(wide)), wide);
});

void test('the bytes of a request are those of the protocol', () => {
  assert.equal(
    encodeRequest(request).toString('hex'),
    `01010100${digest.slice(7)}${'00'.repeat(32)}${'0000000000300000'}${'00000000004c4b40'}`,
  );
});

void test('the bytes of an answer and of an offer are those of the protocol', () => {
  assert.equal(encodeAnswer(request).toString('hex'), '0102000000000000004c4b40');
  assert.equal(encodeAnswer('absent').toString('hex'), '010201000000000000000000');
  const identity = new Uint8Array(16).fill(0xaa);
  const key = new Uint8Array(32).fill(0xbb);
  assert.equal(encodeOffer({ identity, key }).toString('hex'), `0100${'aa'.repeat(16)}${'bb'.repeat(32)}`);
  assert.equal(encodeOffer({ refused: 'ROLE_MISSING' }).toString('hex'), '0101');
  assert.equal(encodeOffer({ refused: 'LIMIT_EXCEEDED' }).toString('hex'), '0102');
});

void test('a request of another version, kind, algorithm or padding is refused', () => {
  const frame = encodeRequest(request);
  for (const [at, byte] of [
    [0, 2],
    [1, 2],
    [2, 0],
    [2, 3],
    [3, 1],
    [4 + 32, 1],
    [4 + 63, 1],
  ] as const)
    assert.throws(() => parseRequest(changed(frame, at, byte)), invalid);
  assert.throws(() => parseRequest(frame.subarray(1)), invalid);
  assert.throws(() => parseRequest(Buffer.concat([frame, Buffer.alloc(1)])), invalid);
});

void test('a range off the chunks, of nothing, or beyond the largest content is refused', () => {
  for (const [offset, length] of [
    [1, 10],
    [CHUNK_BYTES, 0],
    [CONTENT_MAX_BYTES, 1],
    [0, CONTENT_MAX_BYTES + 1],
  ] as const)
    assert.throws(() => parseRequest(encodeRequest({ digest, offset, length })), invalid);
  const huge = encodeRequest(request).fill(0xff, REQUEST_BYTES - 16);
  assert.throws(() => parseRequest(huge), invalid);
  assert.equal(parseRequest(encodeRequest({ digest, offset: 0, length: CONTENT_MAX_BYTES })).length, CONTENT_MAX_BYTES);
});

void test('an answer announces what was asked, or that it is absent', () => {
  assert.deepEqual(parseAnswer(encodeAnswer(request), request), { length: request.length });
  assert.equal(parseAnswer(encodeAnswer('absent'), request), 'absent');
});

void test('an answer that lies about its length, or is none, is refused', () => {
  assert.throws(() => parseAnswer(encodeAnswer({ length: request.length - 1 }), request), invalid);
  assert.throws(() => parseAnswer(encodeAnswer({ length: request.length + 1 }), request), invalid);
  assert.throws(() => parseAnswer(changed(encodeAnswer(request), 2, 2), request), invalid);
  assert.throws(() => parseAnswer(changed(encodeAnswer(request), 2, 1), request), invalid);
  assert.throws(() => parseAnswer(changed(encodeAnswer('absent'), 3, 1), request), invalid);
  assert.throws(() => parseAnswer(encodeRequest(request).subarray(0, ANSWER_BYTES), request), invalid);
});

void test('an offer is read as it was written, and so is a refusal', () => {
  const offer = { identity: new Uint8Array(16).fill(1), key: new Uint8Array(32).fill(2) };
  assert.equal(encodeOffer(offer).length, OFFER_BYTES);
  assert.deepEqual(parseOffer(encodeOffer(offer)), offer);
  for (const refused of ['ROLE_MISSING', 'LIMIT_EXCEEDED'] as const)
    assert.deepEqual(parseOffer(encodeOffer({ refused })), { refused });
});

void test('an offer of another length, version or code is refused', () => {
  const frame = encodeOffer({ identity: new Uint8Array(16), key: new Uint8Array(32) });
  for (const bad of [frame.subarray(1), Buffer.concat([frame, frame]), changed(frame, 0, 2), changed(frame, 1, 1)])
    assert.throws(() => parseOffer(bad), invalid);
  for (const bad of [[], [1], [1, 0], [1, 3], [2, 1], [1, 1, 1]])
    assert.throws(() => parseOffer(Uint8Array.from(bad)), invalid);
});

void test('a lane is asked for in one way', () => {
  parseOfferRequest(OFFER_REQUEST);
  for (const bad of [[], [2], [1, 1]]) assert.throws(() => parseOfferRequest(Uint8Array.from(bad)), invalid);
});

void test('a frame is gathered however it is cut, and takes nothing of what follows', () => {
  const gather = new Gather(5);
  assert.equal(gather.take(Buffer.from('ab')), 2);
  assert.equal(gather.whole, undefined);
  assert.equal(gather.take(Buffer.from('cdefg')), 3);
  assert.equal(Buffer.from(gather.whole!).toString(), 'abcde');
  assert.equal(gather.take(Buffer.from('x')), 0);
  gather.clear();
  assert.equal(gather.take(Buffer.from('xy')), 2);
  assert.equal(gather.whole, undefined);
});

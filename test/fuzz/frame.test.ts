import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import { digestFrom } from '../../src/oci/oci.ts';
import {
  ANSWER_BYTES,
  encodeAnswer,
  encodeOffer,
  encodeRequest,
  Gather,
  OFFER_BYTES,
  parseAnswer,
  parseOffer,
  parseRequest,
  REQUEST_BYTES,
} from '../../src/peers/frame.ts';
import { CHUNK_BYTES, CONTENT_MAX_BYTES } from '../../src/proof/proof.ts';
import { fuzz } from '../support/fuzz.ts';

const RUNS = 2_000;
const CHUNKS_MAX = CONTENT_MAX_BYTES / CHUNK_BYTES;

const digests = fc.oneof(
  fc.uint8Array({ minLength: 32, maxLength: 32 }).map(raw => digestFrom('sha256', raw)),
  fc.uint8Array({ minLength: 64, maxLength: 64 }).map(raw => digestFrom('sha512', raw)),
);
const requests = fc
  .record({ digest: digests, chunk: fc.nat(CHUNKS_MAX - 1), share: fc.double({ min: 0, max: 1, noNaN: true }) })
  .map(({ digest, chunk, share }) => {
    const offset = chunk * CHUNK_BYTES;
    return { digest, offset, length: Math.max(1, Math.floor((CONTENT_MAX_BYTES - offset) * share)) };
  });

/** Bytes near a true frame, so that the fuzzer gets past the first comparison. */
const near = (length: number, head: readonly number[]) =>
  fc
    .tuple(fc.uint8Array({ minLength: length, maxLength: length }), fc.boolean(), fc.boolean())
    .map(([bytes, begin, zero]) => {
      if (begin) bytes.set(head);
      if (zero) bytes.fill(0, head.length, length - 3);
      return bytes;
    });

/** Runs a parser: its value, or undefined for the one error that it may throw. */
function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    assert.ok(hasCode(error, 'FRAME_INVALID'), String(error));
    return undefined;
  }
}

void test('every request survives the way there', () => {
  fuzz(
    fc.property(requests, request => assert.deepEqual(parseRequest(encodeRequest(request)), request)),
    RUNS,
  );
});

void test('whatever bytes are a request are the one way to write it', () => {
  fuzz(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), near(REQUEST_BYTES, [1, 1, 1, 0])), bytes => {
      const request = attempt(() => parseRequest(bytes));
      if (request) assert.ok(encodeRequest(request).equals(bytes));
    }),
    RUNS,
  );
});

void test('whatever bytes are an answer are the one way to write it', () => {
  fuzz(
    fc.property(
      requests,
      fc.oneof(fc.uint8Array({ maxLength: 40 }), near(ANSWER_BYTES, [1, 2, 0, 0])),
      (request, bytes) => {
        const answer = attempt(() => parseAnswer(bytes, request));
        if (answer) assert.ok(encodeAnswer(answer).equals(bytes));
      },
    ),
    RUNS,
  );
});

void test('whatever bytes are an offer are the one way to write it', () => {
  fuzz(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), near(OFFER_BYTES, [1, 0]), near(2, [1])), bytes => {
      const offer = attempt(() => parseOffer(bytes));
      if (offer) assert.ok(encodeOffer(offer).equals(bytes));
    }),
    RUNS,
  );
});

void test('how frames are cut on the way makes no difference', () => {
  fuzz(
    fc.property(
      fc.array(requests, { minLength: 1, maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 100 })),
      (sent, cuts) => {
        const stream = Buffer.concat(sent.map(encodeRequest));
        const gather = new Gather(REQUEST_BYTES);
        const got: unknown[] = [];
        for (let at = 0, piece = 0; at < stream.length; piece++) {
          const bytes = stream.subarray(at, at + (cuts[piece] ?? 50));
          at += gather.take(bytes);
          if (!gather.whole) continue;
          got.push(parseRequest(gather.whole));
          gather.clear();
        }
        assert.deepEqual(got, sent);
      },
    ),
    300,
  );
});

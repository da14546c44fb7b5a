import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import { type Algorithm, bytesOf, digestOf, lengthOf } from '../../src/oci/oci.ts';
import {
  CHUNK_BYTES,
  Checker,
  CONTENT_MAX_BYTES,
  chunkCount,
  type Proof,
  parseProof,
  parseRoot,
  proofOfOneChunk,
  Prover,
  rootOf,
} from '../../src/proof/proof.ts';
import { seededBytes } from '../support/image-layers.ts';

const content = (size: number, seed = 1): Buffer => Buffer.concat([...seededBytes(seed, size)]);
const refuses = (code: Code, work: () => unknown): void => assert.throws(work, error => hasCode(error, code));
function prove(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Proof {
  const prover = new Prover(algorithm);
  prover.update(bytes);
  return prover.finish();
}
const chunk = (bytes: Buffer, at: number): Buffer => bytes.subarray(at * CHUNK_BYTES, (at + 1) * CHUNK_BYTES);
/** The proof with one bit of its list turned. */
function turned(proof: Proof, at: number): Proof {
  const list = Buffer.from(proof.list);
  list[at] = (list[at] ?? 0) ^ 1;
  return { ...proof, list };
}

/** Of the seven bytes `pinnace`, made from PROTOCOL.md with sha256sum. */
const ROOT_OF_PINNACE = '4bd836953598d4a60deacc048ac471dc3cc12d1578582064106fe3f0a9b5a325';

const SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 17];

for (const algorithm of ['sha256', 'sha512'] as const)
  for (const size of SIZES)
    void test(`a proof of ${size} bytes by ${algorithm} lists each chunk alone and all up to its end`, () => {
      const bytes = content(size);
      const proof = prove(bytes, algorithm);
      assert.deepEqual([proof.digest, proof.size], [digestOf(bytes, algorithm), size]);
      const expected = Array.from({ length: chunkCount(size) }, (_, at) => [
        bytesOf(digestOf(chunk(bytes, at), algorithm)),
        bytesOf(digestOf(bytes.subarray(0, (at + 1) * CHUNK_BYTES), algorithm)),
      ]);
      assert.deepEqual(Buffer.from(proof.list), Buffer.concat(expected.flat()));
      const checker = new Checker(parseProof(proof.digest, size, proof.list));
      for (let at = 0; at < chunkCount(size); at++) {
        assert.equal(checker.whole, false);
        checker.check(chunk(bytes, at));
        assert.equal(checker.checked, Math.min(size, (at + 1) * CHUNK_BYTES));
      }
      assert.ok(checker.whole);
    });

void test('a proof is the same however the bytes were cut', () => {
  const bytes = content(2 * CHUNK_BYTES + 5);
  const cut = new Prover('sha256');
  for (let at = 0, step = 1; at < bytes.length; at += step, step = (step * 7919) % 400_009)
    cut.update(bytes.subarray(at, at + step));
  assert.deepEqual(cut.finish(), prove(bytes));
});

void test('after a bad chunk the checker stands where it stood, and takes the good one', () => {
  const bytes = content(3 * CHUNK_BYTES);
  const checker = new Checker(prove(bytes));
  checker.check(chunk(bytes, 0));
  const bad = Buffer.from(chunk(bytes, 1));
  bad[CHUNK_BYTES - 1] = (bad[CHUNK_BYTES - 1] ?? 0) ^ 1;
  refuses('CHUNK_MISMATCH', () => checker.check(bad));
  refuses('CHUNK_MISMATCH', () => checker.check(chunk(bytes, 2)));
  assert.equal(checker.checked, CHUNK_BYTES);
  checker.check(chunk(bytes, 1));
  checker.check(chunk(bytes, 2));
  assert.ok(checker.whole);
});

void test('a chunk of another length is refused, and so is one after the end', () => {
  const bytes = content(CHUNK_BYTES + 10);
  const checker = new Checker(prove(bytes));
  for (const part of [Buffer.alloc(0), bytes.subarray(0, CHUNK_BYTES - 1), bytes])
    refuses('CHUNK_MISMATCH', () => checker.check(part));
  checker.check(chunk(bytes, 0));
  refuses('CHUNK_MISMATCH', () => checker.check(Buffer.concat([chunk(bytes, 1), Buffer.alloc(1)])));
  checker.check(chunk(bytes, 1));
  refuses('CHUNK_MISMATCH', () => checker.check(Buffer.alloc(0)));
  refuses('CHUNK_MISMATCH', () => checker.check(chunk(bytes, 1)));
});

void test('bytes that are the proof’s and do not lead to its prefix digest show that the proof is false', () => {
  const bytes = content(3 * CHUNK_BYTES);
  const proof = prove(bytes);
  const checker = new Checker(turned(proof, 2 * 32 + 32));
  checker.check(chunk(bytes, 0));
  refuses('PROOF_REFUTED', () => checker.check(chunk(bytes, 1)));
  assert.equal(checker.checked, CHUNK_BYTES);
});

void test('whatever is wrong in a proof of the right shape, no wrong byte passes by it', () => {
  const bytes = content(2 * CHUNK_BYTES + 3);
  const proof = prove(bytes);
  const other = content(2 * CHUNK_BYTES + 3, 2);
  // The liar's own proof of other bytes, made to end in the digest that was asked for.
  const forged = { ...prove(other), digest: proof.digest };
  refuses('PROOF_INVALID', () => parseProof(forged.digest, forged.size, forged.list));
  const list = Buffer.concat([forged.list.subarray(0, -32), bytesOf(proof.digest)]);
  const checker = new Checker(parseProof(proof.digest, proof.size, list));
  checker.check(chunk(other, 0));
  checker.check(chunk(other, 1));
  refuses('PROOF_REFUTED', () => checker.check(chunk(other, 2)));
  assert.equal(checker.whole, false);
});

void test('a list of another length than the size asks for is no proof', () => {
  const proof = prove(content(2 * CHUNK_BYTES));
  for (const size of [
    0,
    1,
    CHUNK_BYTES,
    2 * CHUNK_BYTES + 1,
    CONTENT_MAX_BYTES + 1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
  ])
    refuses('PROOF_INVALID', () => parseProof(proof.digest, size, proof.list));
  refuses('PROOF_INVALID', () => parseProof(proof.digest, proof.size, proof.list.subarray(1)));
  refuses('PROOF_INVALID', () => parseProof(digestOf(content(3)), proof.size, proof.list));
});

void test('a content of one chunk is proved by its digest alone, an empty one only under the digest of nothing', () => {
  for (const size of [0, 1, CHUNK_BYTES])
    assert.deepEqual(proofOfOneChunk(digestOf(content(size)), size), prove(content(size)));
  assert.equal(proofOfOneChunk(digestOf(content(1)), CHUNK_BYTES + 1), undefined);
  const lie = proofOfOneChunk(digestOf(content(1)), 0);
  refuses('PROOF_INVALID', () => lie && new Checker(lie));
});

void test('the root is that of a fixed vector, and changes with each of its parameters', () => {
  const proof = prove(Buffer.from('pinnace'));
  assert.equal(rootOf(proof), ROOT_OF_PINNACE);
  const roots = [
    proof,
    turned(proof, 0),
    turned(proof, 63),
    { ...proof, size: 8 },
    { ...proof, digest: digestOf(Buffer.from('x')) },
    prove(Buffer.from('pinnace'), 'sha512'),
  ].map(rootOf);
  assert.equal(new Set(roots).size, roots.length);
  for (const root of roots) assert.equal(parseRoot(root), root);
});

for (const text of ['', 'a'.repeat(63), 'a'.repeat(65), 'A'.repeat(64), `${'a'.repeat(64)}\n`, 'g'.repeat(64)])
  void test(`no root: ${JSON.stringify(text.slice(0, 20))} of ${text.length}`, () =>
    refuses('PROOF_INVALID', () => parseRoot(text)));

void test('a raw digest has the length of its algorithm', () => {
  assert.deepEqual([lengthOf('sha256'), lengthOf('sha512')], [32, 64]);
});

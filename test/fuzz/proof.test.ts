/** Proofs that a peer sends, and those on the own disk: refused by code or counted as absent; never a byte too many is proved. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import { type Digest, digestOf } from '../../src/oci/oci.ts';
import { CHUNK_BYTES, Checker, parseProof, parseRoot, type Proof, Prover, rootOf } from '../../src/proof/proof.ts';
import { type KeptProof, openProofFiles } from '../../src/store/hashes-files.ts';
import { fuzz, fuzzAsync, refusedOr, smallAtTheEnd, spoilt } from '../support/fuzz.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

smallAtTheEnd();

const BYTES = Buffer.alloc(2 * CHUNK_BYTES + 77, 'three chunks ');
const prove = (algorithm: 'sha256' | 'sha512'): Proof => {
  const prover = new Prover(algorithm);
  prover.update(BYTES);
  return prover.finish();
};
const PROOFS = [prove('sha256'), prove('sha512')];

void test('a list that a peer sends is a proof of that size with the right end, or refused', () => {
  const list = fc.constantFrom(...PROOFS).chain(proof =>
    fc.record({
      proof: fc.constant(proof),
      list: fc.oneof(spoilt(proof.list), fc.uint8Array({ maxLength: 500 }), fc.constant(proof.list)),
      size: fc.oneof(
        fc.constant(proof.size),
        fc.nat(4 * CHUNK_BYTES),
        fc.constantFrom(0, 1, 2 ** 36, 2 ** 36 + 1, Number.MAX_SAFE_INTEGER),
      ),
    }),
  );
  fuzz(
    fc.property(list, ({ proof: { digest, list: good }, list: sent, size }) => {
      const read = refusedOr(() => parseProof(digest, size, sent));
      if (!read) return;
      assert.deepEqual([read.digest, read.size, read.list], [digest, size, sent]);
      assert.equal(rootOf(read) === rootOf({ digest, size, list: good }), Buffer.compare(sent, good) === 0);
    }),
  );
});

void test('under a false list no chunk but the true ones is checked, and the whole never', () => {
  const [honest] = PROOFS;
  const width = 32;
  const chunks = [0, 1, 2].map(at => BYTES.subarray(at * CHUNK_BYTES, (at + 1) * CHUNK_BYTES));
  fuzz(
    fc.property(fc.nat(honest!.list.length - width - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
      const list = Buffer.from(honest!.list);
      list[at]! ^= by;
      const checker = new Checker(parseProof(honest!.digest, honest!.size, list));
      try {
        for (const chunk of chunks) checker.check(chunk);
        // The digest of a chunk alone is looked at only to say who lied.
        assert.ok(at % (2 * width) < width);
      } catch (error) {
        assert.ok(hasCode(error, 'PROOF_REFUTED', 'CHUNK_MISMATCH'), String(error));
        assert.equal(checker.checked, Math.floor(at / (2 * width)) * CHUNK_BYTES);
        assert.ok(!checker.whole);
      }
    }),
    60,
  );
});

void test('a chunk of another length or with other bytes is refused, and the place stays', () => {
  const proof = PROOFS[0]!;
  fuzz(
    fc.property(fc.integer({ min: 0, max: CHUNK_BYTES + 5 }), fc.nat(CHUNK_BYTES - 1), (length, at) => {
      const checker = new Checker(proof);
      const chunk = Buffer.from(BYTES.subarray(0, length));
      if (length === CHUNK_BYTES) chunk[at]! ^= 1;
      assert.throws(
        () => checker.check(chunk),
        error => hasCode(error, 'CHUNK_MISMATCH'),
      );
      assert.equal(checker.checked, 0);
    }),
    60,
  );
});

void test('a root is 64 lower-case hex digits and nothing else', () => {
  const near = fc.oneof(fc.string(), fc.stringMatching(/^[a-f0-9]{63,65}$/), spoilt(Buffer.from(rootOf(PROOFS[0]!))));
  fuzz(
    fc.property(near, given => {
      const spelt = String(given);
      assert.equal(refusedOr(() => parseRoot(spelt)) === spelt, /^[a-f0-9]{64}$/.test(spelt) && !spelt.includes('\n'));
    }),
  );
});

void test('a file of the own disk is the proof that was written, or counts as absent', async () => {
  const kept = { stamp: '1 2 3 4', proof: PROOFS[0]! };
  const path = `/proofs/${kept.proof.digest.replace(':', '-')}`;
  const first = new MemoryDisk();
  await (await openProofFiles(first, '/proofs')).write(kept);
  const file = first.peek(path)!;
  const read = async (bytes: Uint8Array, digest: Digest = kept.proof.digest): Promise<KeptProof | undefined> => {
    const disk = new MemoryDisk();
    await disk.mkdir('/proofs');
    disk.poke(path, bytes);
    return (await openProofFiles(disk, '/proofs')).read(digest);
  };
  const facts = (of: KeptProof | undefined): unknown => of && [of.proof.digest, of.proof.size, rootOf(of.proof)];
  assert.deepEqual(facts(await read(file)), facts(kept));
  assert.equal(await read(file, digestOf(Buffer.from('another'))), undefined);
  await fuzzAsync(
    fc.asyncProperty(fc.oneof(spoilt(file), fc.uint8Array({ maxLength: 300 })), async bytes => {
      const found = await read(bytes);
      if (!found) return;
      // Only the stamp is not covered by the root: it says which file was hashed, and is compared with that file.
      assert.deepEqual(facts(found), facts(kept));
    }),
    400,
  );
});

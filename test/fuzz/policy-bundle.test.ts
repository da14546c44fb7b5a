/** Policy bundles as hostile hands make them: never anything but a MirrorError, in bounded time and memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { judgeBundle } from '../../src/cli/policy-judge.ts';
import { PolicyMarks } from '../../src/cli/policy-marks.ts';
import { bundlePolicy, readBundled, signPolicy, unsealPolicy } from '../../src/trust/policy-bundle.ts';
import { unpackBundle } from '../../src/trust/policy-packing.ts';
import { memoryKeep } from '../support/cluster.ts';
import { fuzz, fuzzAsync, refusedOr, refusedOrLater, smallAtTheEnd, spoilt } from '../support/fuzz.ts';
import { bundleOf, demandOf, person } from '../support/signed-policies.ts';

smallAtTheEnd();

const [alice, bob] = [person(), person('p256')];
const cluster = 'c'.repeat(32);
const demand = demandOf([alice, bob], { threshold: 2 });
const good = bundleOf(cluster, { serial: 4 }, [alice, bob]);
const { payload } = unsealPolicy(good);

void test('a spoilt bundle is refused, or is the same policy', () => {
  fuzz(
    fc.property(spoilt(good), bytes => {
      const found = refusedOr(() => judgeBundle(bytes, 'f', cluster, demand));
      // Ed25519 and ECDSA signatures that differ may both hold; what they are over may not.
      if (found) assert.deepEqual(Buffer.from(found.sealed.payload), Buffer.from(payload));
    }),
  );
});

void test('any bytes, and any text of an envelope, are taken apart or refused', () => {
  fuzz(fc.property(fc.uint8Array({ maxLength: 2000 }), bytes => void refusedOr(() => unsealPolicy(bytes))));
  fuzz(fc.property(fc.json(), text => void refusedOr(() => unsealPolicy(Buffer.from(text)))));
});

void test('a payload that its signers spoilt is refused, or read back as it was written', () => {
  fuzz(
    fc.property(
      fc.oneof(
        spoilt(payload),
        fc.json().map(text => Buffer.from(text)),
      ),
      bytes => {
        const read = refusedOr(() => readBundled({ payload: bytes }));
        if (read) assert.deepEqual(Buffer.from(bundlePolicy(read).payload), Buffer.from(bytes));
      },
    ),
  );
});

void test('a policy and files of any text go through a bundle unchanged, or are refused', () => {
  const texts = fc.string({ unit: 'binary', maxLength: 40 });
  fuzz(
    fc.property(texts, fc.array(fc.tuple(texts, texts), { maxLength: 5 }), (policy, files) => {
      const made = bundlePolicy({
        cluster,
        name: 'n',
        serial: 1,
        issuedAt: 0,
        expiresAt: 1,
        policy: `x${policy}`,
        files: new Map(files),
      });
      const read = readBundled(unsealPolicy(signPolicy(made, alice)));
      assert.deepEqual(read.files, new Map(files));
      assert.equal(read.policy, `x${policy}`);
    }),
    300,
  );
});

void test('what is packed and spoilt is unpacked or refused', () =>
  fuzzAsync(
    fc.asyncProperty(spoilt(gzipSync(good)), async bytes => void (await refusedOrLater(() => unpackBundle(bytes)))),
    500,
  ));

void test('the file of serials is opened, or refused by one of two codes; what was opened says the same again', async () => {
  const keep = memoryKeep();
  const marks = await PolicyMarks.open(keep);
  await marks.raise({ policy: { serial: 5 }, sealed: { id: 'a'.repeat(64) } });
  await marks.raise({ policy: { serial: 7 } });
  const bytes = keep.bytes!;
  await fuzzAsync(
    fc.asyncProperty(spoilt(bytes), async harmed => {
      const other = memoryKeep(harmed);
      const opened = await refusedOrLater(() => PolicyMarks.open(other));
      if (!opened) return;
      await opened.raise({ policy: { serial: 2 ** 52 } });
      await PolicyMarks.open(other);
    }),
    500,
  );
});

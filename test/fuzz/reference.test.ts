/** References of any shape: refused with a code, or the same after a round trip. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import { formatReference, parseReference, parseTagReference } from '../../src/oci/oci.ts';
import { cost, fuzz } from '../support/fuzz.ts';

const refused = (error: unknown): boolean =>
  hasCode(error, 'REFERENCE_INVALID', 'NAME_INVALID', 'TAG_INVALID', 'DIGEST_INVALID');
const piece = fc.oneof(
  fc.constantFrom(
    '/',
    ':',
    '@',
    '.',
    '-',
    '_',
    '__',
    'a',
    'A',
    '0',
    'registry.example',
    'sha256:',
    'b'.repeat(64),
    '\n',
    ' ',
    '%2f',
  ),
  fc.string({ unit: 'binary', maxLength: 3 }),
);
const text = fc.oneof(
  fc.array(piece, { maxLength: 14 }).map(pieces => pieces.join('')),
  fc.array(piece, { maxLength: 6 }).map(pieces => `registry.example/a${pieces.join('')}`),
);

void test('what is read as a reference is written as it was spelt', () => {
  fuzz(
    fc.property(text, spelt => {
      try {
        assert.equal(formatReference(parseReference(spelt)), spelt);
      } catch (error) {
        if (!refused(error)) throw error;
      }
    }),
  );
});

void test('what is read as a reference by tag has one, and no digest', () => {
  fuzz(
    fc.property(text, spelt => {
      try {
        const reference = parseTagReference(spelt);
        assert.ok(reference.tag.length > 0 && !('digest' in reference));
      } catch (error) {
        if (!refused(error)) throw error;
      }
    }),
  );
});

void test('a name of the longest size is judged in time, whatever it is made of', () => {
  const run = fc.tuple(
    fc.constantFrom('a', '-', '.', '_', 'a-', 'a.', 'a_', 'a/', '__'),
    fc.integer({ min: 1, max: 400 }),
  );
  fuzz(
    fc.property(fc.array(run, { minLength: 1, maxLength: 3 }), runs => {
      const name = runs
        .map(([unit, times]) => unit.repeat(times))
        .join('')
        .slice(0, 790);
      for (const spelt of [`${name}/a:1`, `a/${name}:1`, `a/a:${name}`]) {
        const ms = cost(() => {
          try {
            parseReference(spelt);
          } catch (error) {
            if (!refused(error)) throw error;
          }
        });
        assert.ok(ms < 500, `${ms} ms`);
      }
    }),
    500,
  );
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import {
  algorithmOf,
  bytesOf,
  digestFrom,
  digestOf,
  hexOf,
  isDigest,
  lengthOf,
  parseDigest,
} from '../../src/oci/digest.ts';

const A = 'a'.repeat(64);

for (const [algorithm, hex] of [
  ['sha256', A],
  ['sha512', A + A],
] as const)
  void test(`${algorithm} digests are read and taken apart`, () => {
    const digest = parseDigest(`${algorithm}:${hex}`);
    assert.equal(algorithmOf(digest), algorithm);
    assert.equal(hexOf(digest), hex);
    assert.equal(bytesOf(digest).length, lengthOf(algorithm));
    assert.equal(digestFrom(algorithm, bytesOf(digest)), digest);
    const bytes = Buffer.from('content');
    assert.equal(digestOf(bytes, algorithm), `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`);
  });

for (const [what, text] of [
  ['nothing', ''],
  ['hex alone', A],
  ['upper case', `sha256:${'A'.repeat(64)}`],
  ['too few digits', `sha256:${A.slice(1)}`],
  ['too many digits', `sha256:${A}a`],
  ['the length of the other algorithm', `sha512:${A}`],
  ['an algorithm that is not supported', `sha384:${'a'.repeat(96)}`],
  ['an algorithm in upper case', `SHA256:${A}`],
  ['a newline at the end', `sha256:${A}\n`],
  ['a space before', ` sha256:${A}`],
  ['a path in the hex', `sha256:${'../'.repeat(21)}a`],
  ['digits of another script', `sha256:${'１'.repeat(64)}`],
] as const)
  void test(`a digest is not ${what}`, () => {
    assert.equal(isDigest(text), false);
    assert.throws(
      () => parseDigest(text),
      error => hasCode(error, 'DIGEST_INVALID'),
    );
  });

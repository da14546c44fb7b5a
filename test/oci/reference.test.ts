import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import {
  formatReference,
  parseReference,
  parseRegistry,
  parseRepository,
  parseTag,
  parseTagOrDigest,
  parseTagReference,
} from '../../src/oci/reference.ts';

const DIGEST = `sha256:${'0'.repeat(64)}`;
const refuses = (code: Code, work: () => unknown): void => assert.throws(work, error => hasCode(error, code));

for (const text of [
  'registry.example/a:1',
  'registry.example:5000/a/b-c/d_e/f__g/h.i:v1.0_RC-2',
  '127.0.0.1:5000/a:latest',
  'localhost/a:latest',
  'a/b:c',
  `registry.example/a@${DIGEST}`,
  `registry.example/a:1@${DIGEST}`,
  'registry.example/a',
])
  void test(`a reference is read and written as it was spelt: ${text}`, () => {
    assert.equal(formatReference(parseReference(text)), text);
  });

void test('nothing is made up: no default registry, no default tag', () => {
  refuses('REFERENCE_INVALID', () => parseReference('busybox'));
  assert.equal(parseReference('registry.example/a').tag, undefined);
  refuses('REFERENCE_INVALID', () => parseTagReference('registry.example/a'));
  refuses('REFERENCE_INVALID', () => parseTagReference(`registry.example/a:1@${DIGEST}`));
});

for (const [code, text] of [
  ['REFERENCE_INVALID', ''],
  ['REFERENCE_INVALID', '/a:1'],
  ['REFERENCE_INVALID', `registry.example/${'a/'.repeat(500)}`],
  ['REFERENCE_INVALID', `registry.example/a@${DIGEST}@${DIGEST}`],
  ['NAME_INVALID', 'Registry.example/a:1'],
  ['NAME_INVALID', 'registry.example./a:1'],
  ['NAME_INVALID', '-registry.example/a:1'],
  ['NAME_INVALID', 'registry.example:/a:1'],
  ['NAME_INVALID', 'registry.example:123456/a:1'],
  ['NAME_INVALID', 'user:password@registry.example/a:1'],
  ['NAME_INVALID', '[::1]:5000/a:1'],
  ['NAME_INVALID', 'http://registry.example/a:1'],
  ['NAME_INVALID', 'registry.example/:1'],
  ['NAME_INVALID', 'registry.example//a:1'],
  ['NAME_INVALID', 'registry.example/a/:1'],
  ['NAME_INVALID', 'registry.example/../a:1'],
  ['NAME_INVALID', 'registry.example/a/../../b:1'],
  ['NAME_INVALID', 'registry.example/a..b:1'],
  ['NAME_INVALID', 'registry.example/a___b:1'],
  ['NAME_INVALID', 'registry.example/A:1'],
  ['NAME_INVALID', 'registry.example/a%2fb:1'],
  ['NAME_INVALID', 'registry.example/ä:1'],
  ['TAG_INVALID', 'registry.example/a:'],
  ['TAG_INVALID', 'registry.example/a:.1'],
  ['TAG_INVALID', 'registry.example/a:-1'],
  ['TAG_INVALID', 'registry.example/a:1\n'],
  ['TAG_INVALID', `registry.example/a:${'a'.repeat(129)}`],
  ['DIGEST_INVALID', 'registry.example/a@'],
  ['DIGEST_INVALID', 'registry.example/a@sha256:00'],
] as const)
  void test(`no reference: ${JSON.stringify(text.slice(0, 60))}`, () => refuses(code, () => parseReference(text)));

void test('the longest names are read, longer ones are not', () => {
  assert.equal(parseTag('a'.repeat(128)).length, 128);
  assert.equal(parseRepository('a'.repeat(255)).length, 255);
  refuses('NAME_INVALID', () => parseRepository('a'.repeat(256)));
  refuses('NAME_INVALID', () => parseRegistry('a'.repeat(256)));
});

void test('what stands after /manifests/ is a digest where it looks like one, never a tag', () => {
  assert.deepEqual(parseTagOrDigest(DIGEST), { digest: DIGEST });
  assert.deepEqual(parseTagOrDigest('latest'), { tag: 'latest' });
  refuses('DIGEST_INVALID', () => parseTagOrDigest(`${DIGEST}0`));
  refuses('DIGEST_INVALID', () => parseTagOrDigest('sha1:00'));
  refuses('TAG_INVALID', () => parseTagOrDigest(''));
});

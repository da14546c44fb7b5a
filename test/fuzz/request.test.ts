/** Request lines of any shape: either refused with a code of the table, or made of words that are well formed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MirrorError } from '../../src/errors.ts';
import {
  formatReference,
  isDigest,
  parseReference,
  parseRegistry,
  parseRepository,
  parseTag,
} from '../../src/oci/oci.ts';
import { parseRange, parseRequest } from '../../src/oci/request.ts';
import { fuzz } from '../support/fuzz.ts';

const CODES = [
  'METHOD_UNSUPPORTED',
  'REQUEST_INVALID',
  'NAME_INVALID',
  'TAG_INVALID',
  'DIGEST_INVALID',
  'RANGE_INVALID',
];
const piece = fc.oneof(
  fc.constantFrom(
    '/',
    '//',
    '..',
    '.',
    '%2f',
    '%2e',
    '%00',
    '%',
    ':',
    '@',
    '?',
    '&',
    'ns=',
    '#',
    '\\',
    '\n',
    'v2',
    'a',
    'A',
    '_',
    '-',
  ),
  fc.constantFrom(
    'manifests',
    'blobs',
    'tags',
    'registry.example',
    'localhost:5000',
    `sha256:${'a'.repeat(64)}`,
    'latest',
    '%252f',
  ),
  fc.string({ maxLength: 6 }),
);
const junk = fc.array(piece, { maxLength: 12 }).map(pieces => pieces.join(''));
const target = fc.oneof(
  junk,
  fc
    .tuple(junk, fc.constantFrom('manifests', 'blobs'), junk, junk)
    .map(([a, kind, b, ns]) => `/v2/${a}/${kind}/${b}?ns=${ns}`),
  fc.tuple(junk, junk).map(([a, b]) => `/v2/team/app${a}/manifests/1${b}?ns=registry.example`),
);

void test('a request line is refused with a code, or every word in it is well formed', () => {
  fuzz(
    fc.property(fc.constantFrom('GET', 'HEAD'), target, fc.option(junk, { nil: undefined }), (method, line, range) => {
      try {
        const { registry, repository, reference } = parseRequest(method, line, range);
        parseRegistry(registry);
        parseRepository(repository);
        if ('digest' in reference) assert.ok(isDigest(reference.digest));
        else parseTag(reference.tag);
        assert.doesNotMatch(`${registry}/${repository}`, /\.\.|\/\/|[\\%\n\0]/);
        // What came in is a reference like any other.
        assert.equal(
          formatReference(parseReference(formatReference({ registry, repository, ...reference }))),
          formatReference({ registry, repository, ...reference }),
        );
      } catch (error) {
        if (!(error instanceof MirrorError)) throw error;
        assert.ok(CODES.includes(error.code), error.code);
        assert.ok(error.message.length < 400, 'a message repeats unbounded input');
      }
    }),
  );
});

void test('a well-formed request is read as what it says, whatever the spelling of its escapes', () => {
  const label = fc.stringMatching(/^[a-z0-9]{1,8}$/);
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map(parts => parts.join('/'));
  const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,12}$/);
  const escaped = (text: string, chosen: readonly boolean[]): string =>
    Array.from(text, (c, at) => (c !== '/' && chosen[at] ? `%${c.charCodeAt(0).toString(16)}` : c)).join('');
  fuzz(
    fc.property(name, tag, fc.array(fc.boolean(), { maxLength: 40 }), (repository, wanted, chosen) => {
      const request = parseRequest(
        'GET',
        `/v2/${escaped(repository, chosen)}/manifests/${escaped(wanted, chosen)}?ns=registry.example`,
      );
      assert.deepEqual([request.repository, request.reference], [repository, { tag: wanted }]);
    }),
  );
});

void test('a range is refused with RANGE_INVALID, or starts at or before its end', () => {
  const header = fc.oneof(
    junk,
    fc
      .tuple(
        fc.constantFrom('bytes=', 'bytes =', 'byte='),
        fc.string({ unit: fc.constantFrom(...'0123456789-, '.split('')), maxLength: 24 }),
      )
      .map(([a, b]) => a + b),
    fc.tuple(fc.nat(), fc.option(fc.nat())).map(([a, b]) => `bytes=${a}-${b ?? ''}`),
  );
  fuzz(
    fc.property(header, text => {
      try {
        const { start, end } = parseRange(text);
        assert.ok(Number.isSafeInteger(start) && start >= 0);
        assert.ok(end === undefined || (Number.isSafeInteger(end) && end >= start));
        assert.match(text, /^bytes=\d+-\d*$/);
      } catch (error) {
        assert.ok(error instanceof MirrorError && error.code === 'RANGE_INVALID', String(error));
      }
    }),
  );
});

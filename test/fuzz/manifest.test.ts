/** Manifests of any shape: refused with a code, or bounded and unambiguous. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import {
  childrenOf,
  isDigest,
  MANIFEST_MAX_ENTRIES,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  parseManifest,
} from '../../src/oci/oci.ts';
import { deep, fuzz, refusedOr, smallAtTheEnd, spoilt, twisted } from '../support/fuzz.ts';

const refused = (error: unknown): boolean => hasCode(error, 'MANIFEST_INVALID', 'MANIFEST_TOO_LARGE');
const digest = fc.stringMatching(/^sha256:[0-9a-f]{64}$/);
const good = fc.record({ mediaType: fc.constantFrom(OCI_LAYER, OCI_CONFIG), digest, size: fc.maxSafeNat() });
const odd = fc.oneof(
  fc.constantFrom<unknown>(null, -1, 1.5, 2 ** 53, '', 'x', [], {}, true),
  fc.jsonValue({ maxDepth: 2 }),
);
/** A good descriptor, or one with a field replaced, removed or added. */
const descriptor = fc.oneof(
  { weight: 8, arbitrary: good },
  {
    weight: 1,
    arbitrary: fc
      .tuple(good, fc.constantFrom('mediaType', 'digest', 'size', 'platform', 'urls'), odd)
      .map(([d, key, value]) => ({ ...d, [key]: value })),
  },
);
const manifest = fc.record(
  {
    schemaVersion: fc.oneof({ weight: 9, arbitrary: fc.constant<unknown>(2) }, { weight: 1, arbitrary: odd }),
    mediaType: fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom<unknown>(OCI_MANIFEST, OCI_INDEX, undefined) },
      { weight: 1, arbitrary: odd },
    ),
    config: fc.oneof({ weight: 9, arbitrary: descriptor }, { weight: 1, arbitrary: odd }),
    layers: fc.oneof({ weight: 9, arbitrary: fc.array(descriptor, { maxLength: 4 }) }, { weight: 1, arbitrary: odd }),
    manifests: fc.oneof(
      { weight: 9, arbitrary: fc.array(descriptor, { maxLength: 4 }) },
      { weight: 1, arbitrary: odd },
    ),
    annotations: odd,
  },
  { requiredKeys: ['schemaVersion'] },
);

function check(bytes: Uint8Array): boolean {
  try {
    const parsed = parseManifest(bytes);
    const children = childrenOf(parsed);
    assert.ok(children.length <= MANIFEST_MAX_ENTRIES + 1);
    for (const child of children) {
      assert.ok(isDigest(child.digest) && Number.isSafeInteger(child.size) && child.size >= 0);
      assert.ok(Object.keys(child).every(key => ['mediaType', 'digest', 'size', 'platform'].includes(key)));
    }
    const json = JSON.parse(Buffer.from(bytes).toString()) as object;
    assert.ok(!('manifests' in json && ('layers' in json || 'config' in json)), 'an ambiguous manifest was read');
    return true;
  } catch (error) {
    if (!refused(error)) throw error;
    return false;
  }
}

void test('a document that is nearly a manifest is refused, or bounded and unambiguous', () => {
  let read = 0;
  fuzz(
    fc.property(manifest, document => {
      if (check(Buffer.from(JSON.stringify(document)))) read++;
    }),
  );
  assert.ok(read > 0, 'nothing that was made up was ever a manifest');
});

void test('a good manifest with bytes changed, taken out or put in is refused, or still bounded', () => {
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: OCI_CONFIG, digest: `sha256:${'a'.repeat(64)}`, size: 2 },
    layers: [{ mediaType: OCI_LAYER, digest: `sha256:${'b'.repeat(64)}`, size: 3 }],
  });
  const change = fc.tuple(fc.nat(text.length), fc.nat(3), fc.uint8Array({ maxLength: 3 }));
  fuzz(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), changes => {
      let bytes = Buffer.from(text);
      for (const [at, out, put] of changes)
        bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + out)]);
      check(bytes);
    }),
  );
});

void test('any bytes at all are refused, or bounded', () => {
  fuzz(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.json().map(json => Buffer.from(json)),
      ),
      bytes => {
        check(bytes);
      },
    ),
  );
});

smallAtTheEnd();

void test('good manifests and indexes, spoilt anywhere, are refused, or bounded, in time', () => {
  const layer = { mediaType: OCI_LAYER, digest: `sha256:${'b'.repeat(64)}`, size: 3 };
  const image = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { ...layer, mediaType: OCI_CONFIG, urls: ['https://elsewhere.example/'] },
    layers: [layer, layer],
  };
  const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' };
  const index = {
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [{ ...layer, mediaType: OCI_MANIFEST, platform }],
  };
  const hostile = fc.oneof(
    fc
      .constantFrom<object>(image, index)
      .chain(twisted)
      .map(value => Buffer.from(JSON.stringify(value))),
    spoilt(Buffer.from(JSON.stringify(image)), Buffer.from(JSON.stringify(index))),
  );
  fuzz(fc.property(hostile, bytes => void refusedOr(() => check(bytes))));
});

void test('the largest documents of any kind are judged in time', () => {
  const many = (unit: string): Buffer => Buffer.from(unit.repeat(Math.floor((4 << 20) / unit.length)));
  for (const bytes of [
    ...['[', '{"a":', '[[],', '"', '\\', '{"a":1},', ' ', '9', '"\\u0061":'].map(many),
    Buffer.from(JSON.stringify(deep(100_000 / 50))),
    Buffer.from(JSON.stringify({ layers: Array.from({ length: 60_000 }, () => ({ size: 1 })) })),
    Buffer.from(JSON.stringify(Object.fromEntries(Array.from({ length: 150_000 }, (_, at) => [`k${at}`, at])))),
  ])
    refusedOr(() => check(bytes));
});

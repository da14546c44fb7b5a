import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import {
  DOCKER_CONFIG,
  DOCKER_LAYER_GZIP,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
} from '../../src/oci/descriptor.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { childrenOf, MANIFEST_MAX_BYTES, MANIFEST_MAX_ENTRIES, parseManifest } from '../../src/oci/manifest.ts';

const digest = digestOf(Buffer.from('x'));
const config = { mediaType: OCI_CONFIG, digest, size: 2 };
const layer = { mediaType: OCI_LAYER, digest, size: 3 };
const image = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] };
const listed = {
  mediaType: OCI_MANIFEST,
  digest,
  size: 4,
  platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
};
const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [listed] };
const bytes = (value: unknown): Buffer => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const refuses = (code: Code, value: unknown): void =>
  assert.throws(
    () => parseManifest(bytes(value)),
    error => hasCode(error, code),
  );

void test('images and indexes are read, in OCI’s media types and in Docker’s', () => {
  assert.deepEqual(childrenOf(parseManifest(bytes(image))), [config, layer]);
  assert.deepEqual(childrenOf(parseManifest(bytes(index))), [listed]);
  const docker = {
    schemaVersion: 2,
    mediaType: DOCKER_MANIFEST,
    config: { ...config, mediaType: DOCKER_CONFIG },
    layers: [{ ...layer, mediaType: DOCKER_LAYER_GZIP }],
  };
  assert.equal(parseManifest(bytes(docker)).kind, 'image');
  assert.equal(parseManifest(bytes({ ...index, mediaType: DOCKER_LIST })).kind, 'index');
});

void test('a media type that is missing is OCI’s, as the image-spec allows', () => {
  assert.equal(parseManifest(bytes({ ...image, mediaType: undefined })).mediaType, OCI_MANIFEST);
  assert.equal(parseManifest(bytes({ ...index, mediaType: undefined })).mediaType, OCI_INDEX);
});

void test('annotations, urls, data, subjects and unknown fields are left behind', () => {
  const rich = {
    ...image,
    annotations: { a: 'b' },
    subject: layer,
    artifactType: 'x',
    more: [1],
    layers: [{ ...layer, urls: ['http://registry.example/x'], data: 'eA==', annotations: { c: 'd' } }],
  };
  assert.deepEqual(parseManifest(bytes(rich)), { kind: 'image', mediaType: OCI_MANIFEST, config, layers: [layer] });
});

for (const [what, value] of [
  ['nothing', ''],
  ['no JSON', '{'],
  ['not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ['a list', []],
  ['null', 'null'],
  ['Docker’s schema 1', { schemaVersion: 1, fsLayers: [] }],
  ['no schema version', { ...image, schemaVersion: undefined }],
  ['a schema version in quotes', { ...image, schemaVersion: '2' }],
  ['both image and index', { ...image, ...index }],
  ['an index with a config', { ...index, config }],
  ['an image that calls itself an index', { ...image, mediaType: OCI_INDEX }],
  ['an index that calls itself an image', { ...index, mediaType: OCI_MANIFEST }],
  ['an image of an unknown type', { ...image, mediaType: 'application/json' }],
  ['an image without a config', { ...image, config: undefined }],
  ['an image without layers', { ...image, layers: undefined }],
  ['layers that are no list', { ...image, layers: { 0: layer } }],
  ['manifests that are null', { ...index, manifests: null }],
  ['a layer without a size', { ...image, layers: [{ ...layer, size: undefined }] }],
  ['a negative size', { ...image, layers: [{ ...layer, size: -1 }] }],
  ['a broken size', { ...image, layers: [{ ...layer, size: 1.5 }] }],
  ['a size beyond exact numbers', { ...image, layers: [{ ...layer, size: 2 ** 53 }] }],
  ['a size in quotes', { ...image, layers: [{ ...layer, size: '3' }] }],
  ['a digest that is none', { ...image, layers: [{ ...layer, digest: 'sha256:../../x' }] }],
  ['a media type that is too long', { ...image, layers: [{ ...layer, mediaType: 'x'.repeat(256) }] }],
  ['a media type that is empty', { ...image, layers: [{ ...layer, mediaType: '' }] }],
  ['a layer that is a string', { ...image, layers: ['x'] }],
  ['a platform that is a string', { ...index, manifests: [{ ...listed, platform: 'linux' }] }],
  ['a platform without architecture', { ...index, manifests: [{ ...listed, platform: { os: 'linux' } }] }],
  ['too many layers', { ...image, layers: Array.from({ length: MANIFEST_MAX_ENTRIES + 1 }, () => layer) }],
  ['nesting that is too deep', `{"schemaVersion":2,"a":${'['.repeat(17)}${']'.repeat(17)}}`],
  ['nesting without end', '['.repeat(1 << 20)],
] as const)
  void test(`no manifest: ${what}`, () => {
    if (value instanceof Buffer)
      assert.throws(
        () => parseManifest(value),
        error => hasCode(error, 'MANIFEST_INVALID'),
      );
    else refuses('MANIFEST_INVALID', value);
  });

const text = JSON.stringify(image);
for (const [what, source] of [
  ['at the top', text.replace('{', '{"layers":[],')],
  ['in a descriptor', text.replace('"size":2', '"size":2,"size":9')],
  ['spelt with an escape', text.replace('{', '{"\\u006cayers":[],')],
  ['with white space before the colon', text.replace('{', '{"layers" \n\t :[],')],
  ['in what is not read', text.replace('{', '{"x":{"a":1,"a":2},')],
] as const)
  void test(`a key that stands twice is refused: ${what}`, () => refuses('MANIFEST_INVALID', source));

void test('a string that looks like a key, and equal keys in different objects, are fine', () => {
  const annotations = { a: '"layers":', b: '{"layers":', c: 'x\\', config: 'y', '"': 'z' };
  assert.equal(parseManifest(bytes({ ...image, annotations })).kind, 'image');
});

void test('a manifest of the largest size is read, a larger one is not', () => {
  const padded = (size: number): string => text + ' '.repeat(size - text.length);
  assert.equal(parseManifest(bytes(padded(MANIFEST_MAX_BYTES))).kind, 'image');
  refuses('MANIFEST_TOO_LARGE', padded(MANIFEST_MAX_BYTES + 1));
});

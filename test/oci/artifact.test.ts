import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Code, hasCode } from '../../src/errors.ts';
import {
  attachmentTag,
  formatAttachmentTag,
  formatReferrers,
  type ListedReferrer,
  parseArtifact,
} from '../../src/oci/artifact.ts';
import { OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/descriptor.ts';
import { digestOf, hexOf } from '../../src/oci/digest.ts';
import { MANIFEST_MAX_BYTES, MANIFEST_MAX_ENTRIES, parseManifest } from '../../src/oci/manifest.ts';
import { fuzz, refusedOr, spoilt, twisted } from '../support/fuzz.ts';

const digest = digestOf(Buffer.from('x'));
const subject = { mediaType: OCI_MANIFEST, digest: digestOf(Buffer.from('subject')), size: 7 };
const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest, size: 2 };
const layer = { mediaType: 'application/vnd.example.signature', digest, size: 3, annotations: { key: 'value' } };
const artifact = {
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  artifactType: 'application/vnd.example.bundle',
  config,
  layers: [layer],
  subject,
  annotations: { created: 'then' },
};
const bytes = (value: unknown): Buffer => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const refuses = (value: unknown, code: Code = 'MANIFEST_INVALID'): void =>
  assert.throws(
    () => parseArtifact(bytes(value)),
    error => hasCode(error, code),
    String(value),
  );

void test('an artifact is read with its subject, its type and the annotations of each part', () => {
  assert.deepEqual(parseArtifact(bytes(artifact)), {
    mediaType: OCI_MANIFEST,
    artifactType: artifact.artifactType,
    subject,
    config: { ...config, annotations: {} },
    layers: [layer],
    annotations: artifact.annotations,
  });
});

void test('where a manifest names no type, its config does; the config’s own wishes and the listing do not count', () => {
  const { artifactType: _, subject: __, ...plain } = artifact;
  const legacy = { ...plain, config: { ...config, mediaType: OCI_CONFIG, artifactType: 'application/other' } };
  const read = parseArtifact(bytes(legacy));
  assert.deepEqual([read.artifactType, read.subject], [OCI_CONFIG, undefined]);
});

void test('urls, data and unknown fields are left behind, so that nothing foreign is ever fetched', () => {
  const foreign = { ...layer, urls: ['http://registry.example/elsewhere'], data: 'eA==' };
  const read = parseArtifact(
    bytes({ ...artifact, layers: [foreign], subject: { ...subject, urls: ['x'], data: 'y' } }),
  );
  assert.deepEqual([read.layers, read.subject], [[layer], subject]);
});

void test('what is ambiguous is refused before anything else is read', () => {
  refuses({ ...artifact, manifests: [] });
  refuses({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], subject });
  refuses(JSON.stringify(artifact).replace('"subject"', '"subject":{},"subject"'));
  refuses(JSON.stringify(artifact).replace('"subject"', String.raw`"subject":{},"\u0073ubject"`));
  refuses({ ...artifact, more: JSON.parse('['.repeat(40) + ']'.repeat(40)) as unknown });
  refuses(Buffer.alloc(MANIFEST_MAX_BYTES + 1, ' ').toString(), 'MANIFEST_TOO_LARGE');
  for (const key of ['Subject', 'ARTIFACTTYPE', 'Annotations', '\u017fubject', 'layer\u017f', 'Config'])
    refuses({ ...artifact, [key]: {} });
  refuses({ ...artifact, layers: [{ ...layer, Annotations: {} }] });
});

void test('a subject, a type and annotations that are none are refused', () => {
  for (const bad of [null, 'sha256', { ...subject, digest: 'sha256:00' }, { ...subject, size: -1 }, [subject]])
    refuses({ ...artifact, subject: bad });
  for (const bad of [null, '', 7, 'x'.repeat(256)]) refuses({ ...artifact, artifactType: bad });
  const many = Object.fromEntries(Array.from({ length: 257 }, (_, at) => [`a${at}`, '']));
  for (const bad of [null, [], 'a', { a: 1 }, many]) {
    refuses({ ...artifact, annotations: bad });
    refuses({ ...artifact, layers: [{ ...layer, annotations: bad }] });
  }
});

void test('a key of an annotation that is special elsewhere is a key like others', () => {
  const read = parseArtifact(bytes(JSON.stringify(artifact).replace('"created"', '"__proto__"')));
  assert.deepEqual(Object.entries(read.annotations), [['__proto__', 'then']]);
  assert.equal(Object.getPrototypeOf(read.annotations), Object.prototype);
});

void test('a mark of the byte order in front changes nothing', () => {
  assert.deepEqual(parseArtifact(bytes(`\uFEFF${JSON.stringify(artifact)}`)), parseArtifact(bytes(artifact)));
});

void test('the tags of attachments are told from all others, and written back', () => {
  const hex = hexOf(digest);
  for (const bond of ['index', 'sig', 'att'] as const) {
    const tag = formatAttachmentTag({ subject: digest, bond });
    assert.equal(tag, `sha256-${hex}${bond === 'index' ? '' : `.${bond}`}`);
    assert.deepEqual(attachmentTag(tag), { subject: digest, bond });
  }
  for (const other of [
    `sha256-${hex}.sbom`,
    `sha256-${hex}.SIG`,
    `sha256-${hex.toUpperCase()}`,
    `sha256-${hex}\n`,
    `sha256-${hex.slice(1)}`,
    `sha512-${hex}`,
    `x-sha256-${hex}`,
    `sha256-${hex}.sig.sig`,
    'latest',
    '',
  ])
    assert.equal(attachmentTag(other), undefined, other);
  assert.equal(formatAttachmentTag({ subject: digestOf(Buffer.from('x'), 'sha512'), bond: 'index' }), undefined);
});

const listed = (at: number, annotations: Record<string, string> = {}): ListedReferrer => ({
  manifest: { mediaType: OCI_MANIFEST, digest: digestOf(Buffer.from(`${at}`)), size: at },
  artifactType: 'application/vnd.example',
  annotations,
});

void test('a listing of referrers has the same bytes whatever the order, and each manifest once', () => {
  const [one, two] = [listed(1, { b: '1', a: '2' }), listed(2)];
  const text = formatReferrers([one, two]);
  assert.ok(formatReferrers([two, listed(1, { a: '2', b: '1' }), two]).equals(text));
  const json = JSON.parse(text.toString()) as { manifests: { digest: string }[] };
  assert.deepEqual(
    json.manifests.find(entry => entry.digest === one.manifest.digest),
    { ...one.manifest, artifactType: one.artifactType, annotations: { a: '2', b: '1' } },
  );
  assert.equal(formatReferrers([]).toString(), `{"schemaVersion":2,"mediaType":"${OCI_INDEX}","manifests":[]}`);
});

void test('a listing stays a manifest that everybody reads, however many and however wordy its referrers are', () => {
  const many = Array.from({ length: 10_000 }, (_, at) => listed(at, { long: 'x'.repeat(4000) }));
  many[3] = listed(3, { tooLong: 'x'.repeat(5000) });
  const text = formatReferrers(many);
  const manifest = parseManifest(text);
  assert.ok(manifest.kind === 'index');
  assert.equal(manifest.manifests.length, MANIFEST_MAX_ENTRIES);
  assert.ok(
    manifest.manifests.some(({ digest: each }) => each === many[0]!.manifest.digest),
    'the first ones stay',
  );
  assert.ok(!text.includes('tooLong'));
});

void test('whatever bytes come, an artifact is read or refused in bounded time', () => {
  const good = bytes(artifact);
  fuzz(fc.property(spoilt(good), input => void refusedOr(() => parseArtifact(input))));
  fuzz(fc.property(twisted(artifact), input => void refusedOr(() => parseArtifact(bytes(input)))));
  fuzz(
    fc.property(fc.string(), input => {
      const tag = attachmentTag(input);
      assert.ok(!tag || formatAttachmentTag(tag) === input);
    }),
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Catalogue, ownerOf } from '../../src/mirror/catalogue.ts';
import { type Descriptor, digestOf, OCI_LAYER, OCI_MANIFEST, parseReference } from '../../src/oci/oci.ts';

const descriptor = (text: string): Descriptor => ({
  mediaType: OCI_LAYER,
  digest: digestOf(Buffer.from(text)),
  size: text.length,
});
const image = (name: string, ...contents: Descriptor[]) => ({
  reference: parseReference(name),
  target: contents[0]!,
  contents,
  rule: 'a rule',
});
const PUBLIC = ownerOf(parseReference('r.test/public/a:1'));
const PRIVATE = ownerOf(parseReference('r.test/private/b:1'));

void test('content known under one name is not found under another', () => {
  const catalogue = new Catalogue();
  const secret = descriptor('secret');
  catalogue.learn(PRIVATE, descriptor('manifest'), [secret]);
  catalogue.hold([image('r.test/private/b:1', secret)], [image('r.test/private/b:1', secret)]);
  assert.deepEqual(catalogue.describe(PRIVATE, secret.digest), secret);
  assert.equal(catalogue.describe(PUBLIC, secret.digest), undefined);
  assert.equal(catalogue.holds(PUBLIC, secret.digest), false);
});

void test('what an image no longer reaches is no longer held, nor shared', () => {
  const catalogue = new Catalogue();
  const layer = descriptor('layer');
  catalogue.hold([image('r.test/public/a:1', layer)], [image('r.test/public/a:1', layer)]);
  catalogue.share([image('r.test/public/a:1', layer)]);
  assert.equal(catalogue.sharers(layer.digest).length, 1);
  catalogue.hold([], []);
  catalogue.share([]);
  assert.equal(catalogue.holds(PUBLIC, layer.digest), false);
  assert.deepEqual(catalogue.sharers(layer.digest), []);
});

void test('a content that two images reach stays shared while one of them is', () => {
  const catalogue = new Catalogue();
  const layer = descriptor('layer');
  catalogue.share([image('r.test/public/a:1', layer), image('r.test/public/a:2', layer)]);
  catalogue.share([image('r.test/public/a:2', layer)]);
  assert.equal(catalogue.sharers(layer.digest).length, 1);
});

void test('what is learnt is bounded: the name longest unused goes', () => {
  const catalogue = new Catalogue();
  const first = descriptor('first');
  catalogue.learn(PUBLIC, descriptor('manifest'), [first]);
  for (let i = 0; i < 1024; i++)
    catalogue.learn(ownerOf(parseReference(`r.test/x${i}/y:1`)), descriptor(String(i)), []);
  assert.equal(catalogue.describe(PUBLIC, first.digest), undefined);
});

void test('a manifest is unopened until what it lists is known, or an image in the store reaches it', () => {
  const catalogue = new Catalogue();
  const [index, own, other] = ['index', 'own', 'other'].map(text => ({ ...descriptor(text), mediaType: OCI_MANIFEST }));
  catalogue.learn(PUBLIC, index!, [own!, other!, descriptor('layer')]);
  assert.deepEqual(catalogue.unopened(PUBLIC), [own, other]);
  catalogue.learn(PUBLIC, own!, [descriptor('another layer')]);
  assert.deepEqual(catalogue.unopened(PUBLIC), [other]);
  catalogue.hold([image('r.test/public/a:1', other!)], [image('r.test/public/a:1', other!)]);
  assert.deepEqual(catalogue.unopened(PUBLIC), []);
  assert.deepEqual(catalogue.unopened(PRIVATE), []);
});

void test('what is learnt of one name is bounded: the root longest unused goes with all that only it lists', () => {
  const catalogue = new Catalogue();
  const manifest = (text: string): Descriptor => ({ ...descriptor(text), mediaType: OCI_MANIFEST });
  const children = Array.from({ length: 500 }, (_, at) => manifest(`child ${at}`));
  const [index, kept] = [manifest('index'), manifest('kept')];
  catalogue.learn(PUBLIC, index, children);
  for (const child of children) catalogue.learn(PUBLIC, child, [descriptor(`layer of ${child.digest}`)]);
  catalogue.learn(PUBLIC, kept, [children[0]!]);
  for (let at = 0; at < 15; at++)
    catalogue.learn(
      PUBLIC,
      manifest(`later ${at}`),
      Array.from({ length: 490 }, (_, of) => descriptor(`later ${at} ${of}`)),
    );
  const roots = catalogue.roots().map(({ digest }) => digest);
  assert.ok(!roots.includes(index.digest) && roots.includes(kept.digest));
  assert.ok(catalogue.describe(PUBLIC, children[0]!.digest), 'another lists it');
  for (const child of children.slice(1)) assert.equal(catalogue.describe(PUBLIC, child.digest), undefined);
  for (const digest of roots) catalogue.forget(PUBLIC, digest);
  assert.deepEqual(catalogue.under(PUBLIC), []);
});

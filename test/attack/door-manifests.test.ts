/** Manifests that peers or stores give: too large, not what was asked, ambiguous, endless. None goes out, none stops a node. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import {
  type Descriptor,
  digestOf,
  MANIFEST_MAX_BYTES,
  OCI_INDEX,
  OCI_MANIFEST,
  parseTagReference,
} from '../../src/oci/oci.ts';
import { rootOf, Prover } from '../../src/proof/proof.ts';
import { Story, type StoryNode, storyImage } from '../mirror/story-node.ts';

const NAME = 'r.test/team/app:1';
const IMAGE = storyImage(NAME, { layers: [10] });
let story: Story;
let liar: StoryNode;
let node: StoryNode;
beforeEach(async () => {
  story = new Story();
  liar = await story.node('liar');
  node = await story.node('client');
});
afterEach(() => story.end());

const is = (code: Code) => (error: unknown) => hasCode(error, code);

/** The liar states that the tag is `bytes`, and gives them. */
async function give(bytes: Uint8Array): Promise<Descriptor> {
  const descriptor = liar.store.put(bytes, OCI_MANIFEST);
  const prover = new Prover('sha256');
  prover.update(bytes);
  const { digest, size } = descriptor;
  await liar.rooms.peers.hold([{ digest, size, root: rootOf(prover.finish()) }]);
  liar.rooms.catalogue.share([
    { reference: parseTagReference(NAME), target: descriptor, contents: [descriptor], rule: '' },
  ]);
  const now = story.world.now();
  await liar.rooms.peers.stateTags([{ reference: parseTagReference(NAME), digest, observedAt: now, renewedAt: now }]);
  return descriptor;
}

const json = (value: object): Buffer => Buffer.from(JSON.stringify({ schemaVersion: 2, ...value }));
const { config, layers } = { config: IMAGE.config, layers: [...IMAGE.layers] };

const BAD: readonly (readonly [what: string, bytes: Uint8Array, code: Code])[] = [
  [
    'over 4 MiB',
    Buffer.concat([json({ config, layers }), Buffer.alloc(MANIFEST_MAX_BYTES, ' ')]),
    'MANIFEST_TOO_LARGE',
  ],
  ['that is no JSON', Buffer.from('not a manifest'), 'MANIFEST_INVALID'],
  ['that is both an image and an index', json({ config, layers, manifests: [] }), 'MANIFEST_INVALID'],
  [
    'whose key stands twice',
    Buffer.from(json({ config, layers }).toString().replace('{', '{"layers":[],')),
    'MANIFEST_INVALID',
  ],
  ['with too many layers', json({ config, layers: Array.from({ length: 513 }, () => layers[0]) }), 'MANIFEST_INVALID'],
  [
    'nested without end',
    Buffer.from(
      json({ config, layers })
        .toString()
        .replace('{', `{"a":${'['.repeat(1000)}${']'.repeat(1000)},`),
    ),
    'MANIFEST_INVALID',
  ],
  ['of schema 1', Buffer.from('{"schemaVersion":1,"fsLayers":[]}'), 'MANIFEST_INVALID'],
  [
    'whose layer is no digest',
    json({ config, layers: [{ ...layers[0], digest: 'sha256:../../etc' }] }),
    'MANIFEST_INVALID',
  ],
  ['whose layer has a size below nothing', json({ config, layers: [{ ...layers[0], size: -1 }] }), 'MANIFEST_INVALID'],
];

for (const [what, bytes, code] of BAD)
  void test(`a manifest ${what} is not answered, by digest nor by tag`, async () => {
    const { digest } = await give(bytes);
    await assert.rejects(story.get(node, story.manifest(IMAGE, digest)), is(code));
    assert.equal(node.audit.of('pull.refused').at(-1)!.code, code);
    await assert.rejects(story.get(node, story.manifest(IMAGE)), is('TAG_UNDECIDED'));
    assert.deepEqual(node.audit.of('pull.started'), []);
    assert.equal(
      node.rooms.catalogue.under('r.test/team/app' as Parameters<typeof node.rooms.catalogue.under>[0]).length,
      0,
    );
  });

void test('a manifest whose bytes do not hash to what was asked is not answered, and the liar is named', async () => {
  const { digest, size } = IMAGE.target;
  await give(IMAGE.contents.get(digest)!);
  story.hub.tamper('liar', bytes => new Uint8Array(bytes).fill(32, size - 5));
  await assert.rejects(story.get(node, story.manifest(IMAGE, digest)), is('CHUNK_MISMATCH'));
  assert.deepEqual(
    node.audit.of('lie.found').map(({ node: name }) => name),
    ['liar'],
  );
  story.hub.tamper('liar', bytes => bytes);
  assert.equal((await story.get(node, story.manifest(IMAGE, digest))).bytes.length, size);
});

void test('a manifest that rotted in this node’s own store is not answered', async () => {
  node.keep(IMAGE);
  await story.share();
  node.store.rot(IMAGE.target.digest, 20);
  await assert.rejects(story.get(node, story.manifest(IMAGE, IMAGE.target.digest)), is('CONTENT_ABSENT'));
  assert.ok(node.audit.of('store.corrupt').some(({ digest }) => digest === IMAGE.target.digest));
});

void test('a manifest that claims another size than it has is not taken', async () => {
  const { digest } = await give(IMAGE.contents.get(IMAGE.target.digest)!);
  const [held] = node.rooms.peers.holders(digest);
  await liar.rooms.peers.hold([{ digest, size: MANIFEST_MAX_BYTES + 1, root: held!.root }]);
  await assert.rejects(story.get(node, story.manifest(IMAGE, digest)), is('MANIFEST_TOO_LARGE'));
  assert.deepEqual(node.asked, []);
});

void test('an index that names itself, or indexes without end, ends the look at them', async () => {
  const index = (child: Descriptor): Buffer => json({ mediaType: OCI_INDEX, manifests: [child] });
  let inner: Descriptor = IMAGE.target;
  for (let depth = 0; depth < 50; depth++) {
    const bytes = index(inner);
    inner = { mediaType: OCI_INDEX, digest: digestOf(bytes), size: bytes.length };
    node.store.put(bytes, OCI_INDEX);
  }
  node.keep(IMAGE);
  node.store.name(parseTagReference('r.test/team/deep:1'), inner);
  await story.share();
  assert.ok(node.told.holdings.includes(IMAGE.target.digest));
});

void test('a layer that other nodes are told to fetch from elsewhere is fetched from nowhere', async () => {
  const urls = ['http://evil.test/layer'];
  const foreign = { ...layers[0]!, digest: digestOf(Buffer.from('elsewhere')), urls };
  const { digest } = await give(json({ config, layers: [foreign] }));
  await story.get(node, story.manifest(IMAGE, digest));
  await assert.rejects(story.get(node, `team/app/blobs/${foreign.digest}`), is('CONTENT_ABSENT'));
  assert.deepEqual(
    node.audit.of('pull.refused').map(({ code, reference }) => `${code} ${reference}`),
    [`CONTENT_ABSENT r.test/team/app@${foreign.digest}`],
  );
});

void test('a file of this store that an image calls a manifest, and that is large, is not even read', async () => {
  const large = node.store.put(Buffer.alloc(MANIFEST_MAX_BYTES + 1, ' '), OCI_MANIFEST);
  node.store.name(parseTagReference(NAME), large);
  const open = node.store.open.bind(node.store);
  let read = 0;
  node.store.open = async digest => {
    const content = await open(digest);
    return content?.size === large.size ? { ...content, read: () => Promise.resolve((read += 1)) } : content;
  };
  node.sharing.changed();
  // Hashing reads it, in pieces; nothing else does.
  node.decree('registries: [r.test]\n');
  await story.share();
  await assert.rejects(story.get(node, story.manifest(IMAGE, large.digest)), is('MANIFEST_TOO_LARGE'));
  assert.equal(read, 0);
});

/** What policy refuses, and what is attached to images, over the socket: statuses, details and headers. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ALL, attach, KEYS, NAME, PLATFORM, policy, signatureBy, withPins } from '../mirror/admission.ts';
import { storyImage } from '../mirror/story-node.ts';
import { openDoor, type OpenDoor } from './door.ts';

const IMAGE = storyImage(NAME, { layers: [10] });
const BARE = storyImage('r.test/team/bare:1', { layers: [10] });
const DENIED = storyImage('r.test/denied/app:1', { layers: [10] });
const { digest } = IMAGE.target;
const GOOD = signatureBy(PLATFORM, digest);
const TEXT = policy('share: cluster, signatures: {anyOf: [platform]}').replace(
  'rules:\n',
  `rules:
  - { name: no, match: r.test/denied/**, action: deny }
  - { name: pinned, match: r.test/pinned/**, pins: {require: true, files: [pins.lock]} }
`,
);
const TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';

void describe('the door, under a policy that asks for something', () => {
  let door: OpenDoor;
  before(async () => {
    door = await openDoor({ policy: TEXT, files: new Map([...KEYS, ...withPins({ 'r.test/pinned/x:1': digest })]) });
    await attach(door.node, GOOD);
    for (const image of [IMAGE, BARE, DENIED]) door.node.keep(image);
    await door.story.share();
  });
  after(() => door.close());

  const errorOf = async (path: string) => {
    const { status, body } = await door.get(path);
    const { errors } = JSON.parse(body.toString()) as { errors: { code: string; detail?: object }[] };
    return [status, errors[0]!.code, errors[0]!.detail];
  };

  for (const [what, path, code, rule] of [
    ['an unsigned image', `team/bare/manifests/${BARE.target.digest}`, 'SIGNATURE_MISSING', 'team'],
    ['a denied name', `denied/app/manifests/${DENIED.target.digest}`, 'DENIED', 'no'],
    ['a blob of a denied name', `denied/app/blobs/${DENIED.layers[0]!.digest}`, 'DENIED', 'no'],
    ['a tag without a pin', 'pinned/app/manifests/1', 'PIN_MISSING', 'pinned'],
    ['a digest without a pin', `pinned/app/manifests/${digest}`, 'PIN_MISMATCH', 'pinned'],
    ['the referrers of an unsigned image', `team/bare/referrers/${BARE.target.digest}`, 'SIGNATURE_MISSING', 'team'],
  ] as const)
    void it(`answers 403 DENIED for ${what}, with ${code} and the rule`, async () => {
      assert.deepEqual(await errorOf(`/v2/${path}?ns=r.test`), [403, 'DENIED', { code, rule }]);
      assert.deepEqual(await errorOf(`/v2/r.test/${path}`), [403, 'DENIED', { code, rule }]);
      const head = await door.get(`/v2/${path}?ns=r.test`, { method: 'HEAD' });
      assert.equal(head.status, 403);
    });

  void it('answers 404 without a detail for what depends on who holds what', async () => {
    assert.deepEqual(await errorOf(`/v2/team/app/blobs/${BARE.layers[0]!.digest}?ns=r.test`), [
      404,
      'NOT_FOUND',
      undefined,
    ]);
    assert.deepEqual(await errorOf('/v2/team/app/manifests/none?ns=r.test'), [404, 'NOT_FOUND', undefined]);
  });

  void it('lists referrers as an OCI index, and says which filter it applied', async () => {
    const path = `/v2/team/app/referrers/${digest}?ns=r.test`;
    const all = await door.get(path);
    assert.deepEqual(
      [all.status, all.headers['content-type'], all.headers['oci-filters-applied']],
      [200, 'application/vnd.oci.image.index.v1+json', undefined],
    );
    const typed = await door.get(`${path}&artifactType=${encodeURIComponent(TYPE)}`);
    assert.equal(typed.headers['oci-filters-applied'], 'artifactType');
    assert.ok(typed.body.equals(all.body));
    const none = await door.get(`${path}&artifactType=x`);
    assert.deepEqual(
      [none.status, (JSON.parse(none.body.toString()) as { manifests: unknown[] }).manifests],
      [200, []],
    );
  });

  void it('gives the fallback tag, and not the tags under which nothing is attached', async () => {
    const tag = digest.replace(':', '-');
    assert.equal((await door.get(`/v2/team/app/manifests/${tag}?ns=r.test`)).status, 200);
    for (const other of [`${tag}.sig`, `${tag}.att`, `${tag}.sbom`])
      assert.equal((await door.get(`/v2/team/app/manifests/${other}?ns=r.test`)).status, 404);
  });

  void it('refuses two types at once, and one that is too long', async () => {
    const path = `/v2/team/app/referrers/${digest}?ns=r.test`;
    for (const query of ['&artifactType=a&artifactType=b', `&artifactType=${'a'.repeat(256)}`])
      assert.deepEqual((await errorOf(path + query)).slice(0, 2), [400, 'REQUEST_INVALID']);
  });

  void it('denies nothing where policy allows', async () => {
    door.node.decree(ALL);
    await door.story.share();
    assert.equal((await door.get(`/v2/team/bare/manifests/${BARE.target.digest}?ns=r.test`)).status, 200);
  });
});

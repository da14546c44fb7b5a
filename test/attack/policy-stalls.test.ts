/** Somebody, or something large, lets a node wait: what policy refuses by now goes all the same, and the node becomes ready. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { pull } from '../../src/mirror/mirror.ts';
import { type Digest, parseRequest } from '../../src/oci/oci.ts';
import { ISSUED_AT } from '../support/policies.ts';
import {
  Admission,
  ALL,
  is,
  junk,
  KEYS,
  PLATFORM,
  policy,
  referrerOf,
  signatureBy,
  SIGNED,
} from '../mirror/admission.ts';
import { MIB, type StoryNode, storyImage } from '../mirror/story-node.ts';

const IMAGES = Array.from({ length: 200 }, (_, at) => storyImage(`r.test/team/app${at}:1`, { layers: [10 + at] }));
const MANIFESTS = IMAGES.map(({ target }) => target.digest);
const DAY = 86_400_000;

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

/** Says that it holds all images, and brings each artifact just before nobody waits for it any more. */
const staller = () =>
  story.offering('staller', {
    contents: new Map(IMAGES.flatMap(({ contents }) => [...contents])),
    offers: Array.from({ length: 32 }, (_, at) => referrerOf(junk(MANIFESTS[0]!, at))),
    read: async () => {
      await story.world.sleep(1_900);
      return 1;
    },
  });

/** Those of `digests` that the node gives to others now. */
async function givenBy(node: StoryNode, digests: readonly Digest[]): Promise<readonly Digest[]> {
  const peer = story.hub.join('peer').node;
  const given: Digest[] = [];
  for (const digest of digests)
    try {
      const gift = await node.giver.give(peer, digest, 0, 1);
      await gift.done(0);
      given.push(digest);
    } catch (error) {
      assert.ok(hasCode(error, 'CONTENT_ABSENT'));
    }
  return given;
}

void test('of 200 images that a reload refuses none is given after 20 s, and those that are signed are, while one member lets wait for each (CONTENT_ABSENT)', async () => {
  const node = await story.reader(ALL);
  for (const image of IMAGES) node.keep(image);
  await story.share();
  for (const signed of MANIFESTS.slice(-2)) {
    const { artifact, contents } = signatureBy(PLATFORM, signed);
    await node.rooms.attachments.keep(artifact, contents);
  }
  assert.equal((await givenBy(node, MANIFESTS)).length, 200);
  await staller();
  node.decree(SIGNED, KEYS);
  await story.world.advance(20_000);
  assert.deepEqual(await givenBy(node, MANIFESTS), MANIFESTS.slice(-2));
});

void test('a node with 200 images that nobody signed has looked at them within 20 s, and is ready, while one member lets wait for each', async () => {
  await staller();
  const node = await story.reader(SIGNED);
  for (const image of IMAGES) node.keep(image);
  let looked = false;
  void node.sharing.refresh(() => void (looked = true));
  await story.world.advance(20_000);
  assert.ok(looked);
});

void test('an exception ends while something large is hashed: what it let in goes (CONTENT_ABSENT)', async () => {
  const [excepted] = IMAGES;
  const large = storyImage('r.test/open/large:1', { layers: [3 * MIB] });
  const { digest } = excepted!.target;
  const node = await story.node('holder', {
    policy: policy(
      'share: cluster, signatures: {anyOf: [platform]}',
      `  - { name: open, match: r.test/open/**, share: cluster }
exceptions:
  - { match: r.test/team/app0, digest: "${digest}", reason: INC-1, approvedBy: alice, expiresAt: ${new Date(ISSUED_AT + DAY).toISOString().replace('.000', '')} }
`,
    ),
    files: KEYS,
    twist: ({ store, hashes }) => ({
      store,
      hashes: {
        prove: (content, signal) =>
          content.size > MIB ? new Promise<never>(() => undefined) : hashes.prove(content, signal),
        again: (content, signal) => hashes.again(content, signal),
        known: one => hashes.known(one),
      },
    }),
  });
  node.keep(large);
  node.keep(excepted!);
  await story.world.advance(DAY - 60_000);
  assert.deepEqual(await givenBy(node, [digest]), [digest]);
  await story.world.advance(61_000);
  assert.deepEqual(await givenBy(node, [digest]), []);
  await assert.rejects(story.get(node, story.manifest(excepted!, digest)), is('SIGNATURE_MISSING'));
});

void test('members that let wait for an image and for what is attached to it cannot hold a request for that longer than half a minute (CONTENT_ABSENT)', async () => {
  const [image] = IMAGES;
  for (let at = 0; at < 12; at++) {
    await story.offering(`slow${at}`, {
      contents: image!.contents,
      offers: [],
      list: async () => {
        await story.world.sleep(1_900);
        return [];
      },
    });
    story.hub.tamper(`slow${at}`, () => new Promise(() => undefined));
  }
  const node = await story.reader(ALL);
  const request = parseRequest('GET', `/v2/team/app0/referrers/${image!.target.digest}?ns=r.test`);
  await assert.rejects(story.until(pull(node.rooms, request), 30_000), is('CONTENT_ABSENT'));
});

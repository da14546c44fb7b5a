/**
 * A peer that asks over a lane for what is in no closure that is shared: the giver's real stories behind real lanes answer
 * byte for byte as for what exists nowhere, and record it.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import type { Digest } from '../../src/oci/oci.ts';
import { encodeAnswer, encodeRequest, OFFER_REQUEST, parseOffer } from '../../src/peers/frame.ts';
import { laneKey } from '../../src/peers/lane-keys.ts';
import { LANE_PROTOCOL } from '../../src/peers/lane-offer.ts';
import { MIB, Story, type StoryNode, storyImage } from '../mirror/story-node.ts';
import { type LaneNode, laneNodes, MemoryControl, readAll } from '../support/lane-pair.ts';
import { LaneNetwork } from '../support/memory-lane-wire.ts';

const SHARED = storyImage('r.test/public/app:1', { layers: [1000] });
const PRIVATE = storyImage('r.test/private/app:1', { layers: [2 * MIB, 5] });
const NOWHERE = storyImage('r.test/nowhere/app:1', { layers: [2 * MIB, 5] });
const POLICY = 'registries: [r.test]\nshare: [r.test/public/**]\n';

/** What came over a lane, short enough to be shown. */
const look = (parts: readonly Uint8Array[]): string => {
  const all = Buffer.concat(parts);
  return `${all.length} bytes: ${all.subarray(0, 64).toString('hex')}`;
};
const ABSENT = look([encodeAnswer('absent')]);

let story: Story;
let node: StoryNode;
let giver: LaneNode;
let reader: LaneNode;
let raw: (digest: Digest, length: number) => Promise<string>;
let life: AbortController;

beforeEach(async () => {
  story = new Story();
  life = new AbortController();
  node = await story.node('giver', { policy: POLICY });
  node.keep(SHARED);
  node.keep(PRIVATE);
  await story.share();
  const network = new LaneNetwork();
  const control = new MemoryControl();
  [giver, reader] = await laneNodes(['giver', 'reader'], {
    world: story.world,
    wire: () => network.wire('127.0.0.1'),
    giver: { giver: node.giver },
    control,
    signal: life.signal,
  });
  raw = async (digest, length) => {
    const stream = await control
      .of(reader.peer)
      .open(giver.peer, LANE_PROTOCOL, { maxFrame: 100, maxInbound: 1 }, life.signal);
    await stream.send(OFFER_REQUEST);
    const offer = parseOffer((await stream.receive())!);
    if ('refused' in offer) throw new Error(offer.refused);
    const identity = Buffer.from(offer.identity).toString('hex');
    const key = laneKey(offer.key, reader.peer, giver.peer);
    const socket = await network.wire('127.0.0.1').dial(`127.0.0.1:${giver.lanes.port}`, identity, key, life.signal);
    const parts: Buffer[] = [];
    socket.receive(bytes => {
      parts.push(Buffer.from(bytes));
      return true;
    });
    await socket.send(encodeRequest({ digest, offset: 0, length }));
    await story.world.settle();
    socket.destroy();
    return look(parts);
  };
});
afterEach(async () => {
  life.abort();
  await story.end();
});

const refusals = (): string[] =>
  node.audit.of('serve.refused').map(({ peer, digest, code }) => `${peer} ${digest} ${code}`);

void test('what is in no shared closure is answered as what is nowhere, byte for byte, and each is recorded', async () => {
  const [secrets, nothings] = [[...PRIVATE.contents.keys()], [...NOWHERE.contents.keys()]];
  for (const [at, digest] of secrets.entries()) {
    const length = PRIVATE.contents.get(digest)!.length;
    const [secret, nothing] = [await raw(digest, length), await raw(nothings[at]!, length)];
    assert.equal(secret, nothing);
    assert.equal(secret, ABSENT);
  }
  assert.deepEqual(
    refusals(),
    secrets.flatMap((digest, at) => [digest, nothings[at]].map(one => `${reader.peer} ${one} NOT_SHARED`)),
  );
  assert.deepEqual(node.audit.of('serve.started'), []);
});

void test('a reader gets what is shared, and nothing beyond its end', async () => {
  const { digest, size } = SHARED.layers[0]!;
  const { bytes } = await readAll(reader.lanes.read(giver.peer, digest, 0, size, life.signal));
  assert.deepEqual(bytes, Buffer.from(SHARED.contents.get(digest)!));
  assert.equal(await raw(digest, size + 1), ABSENT);
  assert.deepEqual(refusals(), [`${reader.peer} ${digest} NOT_SHARED`]);
});

void test('what is shared no more is absent at once, also on a lane that is open', async () => {
  const { digest, size } = SHARED.layers[0]!;
  const read = () => readAll(reader.lanes.read(giver.peer, digest, 0, size, life.signal));
  await read();
  node.decree('registries: [r.test]\n');
  await story.share();
  await assert.rejects(read(), error => hasCode(error, 'CONTENT_ABSENT'));
  assert.deepEqual(refusals(), [`${reader.peer} ${digest} NOT_SHARED`]);
  assert.equal(node.audit.of('share.withdrawn').length, 1);
});

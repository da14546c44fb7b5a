/** Attacks on a giver by an admitted peer that holds a lane: never reading, asking too much, speaking nonsense. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { Code } from '../../src/errors.ts';
import { digestOf } from '../../src/oci/oci.ts';
import { encodeRequest, OFFER_REQUEST, parseOffer, REQUEST_BYTES } from '../../src/peers/frame.ts';
import { laneKey } from '../../src/peers/lane-keys.ts';
import { LANE_PROTOCOL } from '../../src/peers/lane-offer.ts';
import { GIVING_BUFFERS_MAX, IN_FLIGHT_MAX } from '../../src/peers/lane-pump.ts';
import { INBOUND_IDLE_MS, INBOUND_PER_PEER_MAX } from '../../src/peers/lane-server.ts';
import { TRICKLE_MS } from '../../src/peers/lane-watch.ts';
import type { LaneSocket } from '../../src/peers/wire.ts';
import { CHUNK_BYTES } from '../../src/proof/proof.ts';
import { type LaneNode, laneNodes, MemoryControl, patterned, readAll, until } from '../support/lane-pair.ts';
import { LaneNetwork } from '../support/memory-lane-wire.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

let life = new AbortController();
afterEach(() => {
  life.abort();
  life = new AbortController();
});

const LARGE = patterned(16 * CHUNK_BYTES);

/** A giver with a large content, and lanes to it in the hands of others. */
async function victim(names: readonly string[] = ['reader']) {
  const world = simulatedWorld();
  const network = new LaneNetwork();
  const control = new MemoryControl();
  const nodes = await laneNodes(['giver', ...names], {
    world,
    wire: () => network.wire('127.0.0.1'),
    control,
    signal: life.signal,
  });
  const giver = nodes[0]!;
  const digest = giver.shelf.put(LARGE);
  const lane = async ({ peer }: LaneNode): Promise<LaneSocket> => {
    const stream = await control
      .of(peer)
      .open(giver.peer, LANE_PROTOCOL, { maxFrame: 100, maxInbound: 1 }, life.signal);
    await stream.send(OFFER_REQUEST);
    const offer = parseOffer((await stream.receive())!);
    if ('refused' in offer) throw new Error(offer.refused);
    const identity = Buffer.from(offer.identity).toString('hex');
    const key = laneKey(offer.key, peer, giver.peer);
    return network.wire('127.0.0.1').dial(`127.0.0.1:${giver.lanes.port}`, identity, key, life.signal);
  };
  const ask = encodeRequest({ digest, offset: 0, length: LARGE.length });
  return { world, giver, readers: nodes.slice(1), lane, ask, digest };
}

const recorded = (giver: LaneNode, reader: LaneNode, code: Code): void =>
  assert.deepEqual(giver.records, [{ event: 'peer.refused', peer: reader.peer, address: '127.0.0.1', code }]);

void test('a reader that never reads costs three chunks, and is left after the stall', async () => {
  const { world, giver, readers, lane, ask } = await victim();
  const socket = await lane(readers[0]!);
  await socket.send(ask);
  await world.settle();
  assert.ok(giver.shelf.readBytes <= IN_FLIGHT_MAX * CHUNK_BYTES, `${giver.shelf.readBytes} bytes were read`);
  await world.advance(TRICKLE_MS);
  assert.equal(giver.lanes.countFor(readers[0]!.peer), 0);
  assert.equal(giver.shelf.done.length, 1);
  assert.ok(giver.shelf.done[0]! < CHUNK_BYTES);
  recorded(giver, readers[0]!, 'LANE_STALLED');
});

void test('a reader that takes a byte now and then is left too', async () => {
  const { world, giver, readers, lane, ask } = await victim();
  const socket = await lane(readers[0]!);
  let open = 0;
  // One small piece a second: far less than a chunk in TRICKLE_MS.
  socket.receive(() => open-- > 0);
  await socket.send(ask);
  for (let second = 0; second * 1000 < TRICKLE_MS; second++) {
    socket.resume();
    await world.advance(1000);
  }
  await world.advance(1000);
  assert.equal(giver.lanes.countFor(readers[0]!.peer), 0);
  recorded(giver, readers[0]!, 'LANE_STALLED');
});

void test('many readers that never read leave buffers for one that does', async () => {
  const names = ['evilA', 'evilB', 'evilC', 'evilD', 'honest'];
  const { world, giver, readers, lane, ask, digest } = await victim(names);
  const honest = readers.at(-1)!;
  for (const evil of readers.slice(0, -1))
    for (let lanes = 0; lanes < INBOUND_PER_PEER_MAX; lanes++) await (await lane(evil)).send(ask);
  await world.settle();
  assert.ok(giver.shelf.readBytes <= GIVING_BUFFERS_MAX * CHUNK_BYTES);
  const { bytes } = await readAll(honest.lanes.read(giver.peer, digest, 0, LARGE.length, life.signal));
  assert.ok(bytes.equals(LARGE));
});

void test('more lanes than a peer may have are closed, and recorded', async () => {
  const { world, giver, readers, lane } = await victim();
  for (let lanes = 0; lanes < INBOUND_PER_PEER_MAX; lanes++) await lane(readers[0]!);
  const one = await lane(readers[0]!);
  one.receive(() => true);
  let closed = false;
  void one.closed.then(() => (closed = true));
  await until(() => closed);
  await world.settle();
  assert.equal(giver.lanes.countFor(readers[0]!.peer), INBOUND_PER_PEER_MAX);
  recorded(giver, readers[0]!, 'LIMIT_EXCEEDED');
});

void test('nonsense instead of a request ends the lane, and is recorded', async () => {
  const { world, giver, readers, lane } = await victim();
  const socket = await lane(readers[0]!);
  socket.receive(() => true);
  await socket.send(patterned(REQUEST_BYTES, 'nonsense'));
  await socket.closed;
  await world.settle();
  assert.deepEqual(giver.shelf.asked, []);
  recorded(giver, readers[0]!, 'FRAME_INVALID');
});

void test('a range beyond any content ends the lane before the giver is asked', async () => {
  const { world, giver, readers, lane, ask } = await victim();
  const socket = await lane(readers[0]!);
  socket.receive(() => true);
  await socket.send(Buffer.from(ask).fill(0xff, REQUEST_BYTES - 8));
  let closed = false;
  void socket.closed.then(() => (closed = true));
  await until(() => closed);
  await world.settle();
  assert.deepEqual(giver.shelf.asked, []);
  recorded(giver, readers[0]!, 'FRAME_INVALID');
});

void test('requests that pile up end the lane', async () => {
  const { world, giver, readers, lane, ask } = await victim();
  const socket = await lane(readers[0]!);
  await socket.send(Buffer.concat([ask, ask, ask]));
  await world.settle();
  assert.equal(giver.lanes.countFor(readers[0]!.peer), 0);
  recorded(giver, readers[0]!, 'FRAME_INVALID');
});

void test('half a request and then silence ends the lane', async () => {
  const { world, giver, readers, lane, ask } = await victim();
  const socket = await lane(readers[0]!);
  await socket.send(ask.subarray(0, 10));
  await world.advance(INBOUND_IDLE_MS - 1000);
  // A byte more does not buy more time.
  await socket.send(ask.subarray(10, 11));
  await world.advance(1000);
  assert.equal(giver.lanes.countFor(readers[0]!.peer), 0);
  recorded(giver, readers[0]!, 'LANE_STALLED');
});

void test('what is not shared looks like what does not exist', async () => {
  const { world, readers, lane, digest, giver } = await victim();
  const answers: string[] = [];
  const socket = await lane(readers[0]!);
  socket.receive(bytes => answers.push(Buffer.from(bytes).toString('hex')) > 0);
  for (const request of [
    encodeRequest({ digest: digestOf(Buffer.from('no such content')), offset: 0, length: 5 }),
    encodeRequest({ digest, offset: 0, length: LARGE.length + 1 }),
  ]) {
    await socket.send(request);
    await world.settle();
  }
  assert.equal(answers.length, 2);
  assert.equal(answers[0], answers[1]);
  assert.equal(giver.shelf.asked.length, 2);
});

void test('a reader that vanishes in mid-stream leaves nothing behind', async () => {
  const { giver, readers, lane, ask, world } = await victim();
  const socket = await lane(readers[0]!);
  await socket.send(ask);
  await world.settle();
  socket.destroy();
  await until(() => giver.shelf.done.length === 1);
  assert.equal(giver.lanes.countFor(readers[0]!.peer), 0);
  assert.deepEqual(giver.records, []);
});

/** Attacks on a reader by a node that was admitted and gives: too much, too little, slowly, nothing, nonsense. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import type { PeerId } from '../../src/oci/oci.ts';
import { encodeAnswer, REQUEST_BYTES } from '../../src/peers/frame.ts';
import { OFFER_TIMEOUT_MS, LANE_PROTOCOL } from '../../src/peers/lane-offer.ts';
import { STALL_MS, TRICKLE_MS } from '../../src/peers/lane-watch.ts';
import type { Chunk } from '../../src/peers/peers.ts';
import type { LaneSocket, LaneWire } from '../../src/peers/wire.ts';
import { CHUNK_BYTES } from '../../src/proof/proof.ts';
import { type LaneNode, laneNodes, MemoryControl, patterned } from '../support/lane-pair.ts';
import { LaneNetwork } from '../support/memory-lane-wire.ts';
import { type SimulatedWorld, simulatedWorld } from '../support/simulated-world.ts';

let life = new AbortController();
afterEach(() => {
  life.abort();
  life = new AbortController();
});

const BYTES = patterned(2 * CHUNK_BYTES + 1000);
const fails = (code: Code) => (error: unknown) => hasCode(error, code);
/** The giver was cut off once, and that is on record. */
const recorded = (reader: LaneNode, giver: LaneNode, code: Code): void =>
  assert.deepEqual(reader.records, [{ event: 'peer.refused', peer: giver.peer, address: '127.0.0.1', code }]);

type Lie = (socket: LaneSocket, world: SimulatedWorld) => unknown;

/** A reader, and a giver of real keys whose lanes answer each request with `lie`. */
async function against(lie: Lie) {
  const world = simulatedWorld();
  const network = new LaneNetwork();
  const control = new MemoryControl();
  const liar = (): LaneWire => {
    const own = network.wire('127.0.0.1');
    return {
      ...own,
      listen: (address, take) =>
        own.listen(address, take, (socket: LaneSocket, _peer: PeerId) => {
          socket.receive(bytes => {
            if (bytes.length >= REQUEST_BYTES) void lie(socket, world);
            return true;
          });
        }),
    };
  };
  const [giver, reader] = await laneNodes(['giver', 'reader'], {
    world,
    wire: name => (name === 'giver' ? liar() : network.wire('127.0.0.1')),
    control,
    signal: life.signal,
  });
  const digest = giver.shelf.put(BYTES);
  let got = 0;
  const read = async (): Promise<void> => {
    const chunks: AsyncIterable<Chunk> = reader.lanes.read(giver.peer, digest, 0, BYTES.length, life.signal);
    for await (const chunk of chunks) {
      got += chunk.bytes.length;
      chunk.release();
    }
  };
  return { world, giver, reader, control, read, got: () => got };
}

const answer = encodeAnswer({ length: BYTES.length });
const quietly = async (...sends: Promise<void>[]): Promise<void> => void (await Promise.allSettled(sends));

void test('bytes after the end are found out, and the lane is closed', async () => {
  const { giver, reader, read, world } = await against(socket =>
    quietly(socket.send(answer), socket.send(BYTES), socket.send(Buffer.alloc(1))),
  );
  await read().catch((error: unknown) => assert.ok(fails('FRAME_INVALID')(error)));
  await world.settle();
  assert.equal(reader.lanes.countFor(giver.peer), 0);
  recorded(reader, giver, 'FRAME_INVALID');
});

void test('bytes that nobody asked for close an idle lane, and are recorded', async () => {
  const sockets: LaneSocket[] = [];
  const { giver, reader, read, world } = await against(socket => {
    sockets.push(socket);
    return quietly(socket.send(answer), socket.send(BYTES));
  });
  await read();
  assert.equal(reader.lanes.countFor(giver.peer), 1);
  await sockets[0]!.send(Buffer.alloc(5));
  await world.settle();
  assert.equal(reader.lanes.countFor(giver.peer), 0);
  recorded(reader, giver, 'FRAME_INVALID');
});

void test('an answer of another length than was asked is refused before its bytes', async () => {
  for (const length of [BYTES.length - 1, BYTES.length + 1]) {
    const { giver, reader, read, got } = await against(socket =>
      quietly(socket.send(encodeAnswer({ length })), socket.send(BYTES)),
    );
    await assert.rejects(read(), fails('FRAME_INVALID'));
    assert.equal(got(), 0);
    recorded(reader, giver, 'FRAME_INVALID');
  }
});

void test('nonsense instead of an answer is refused', async () => {
  const { giver, reader, read } = await against(socket => quietly(socket.send(patterned(100, 'nonsense'))));
  await assert.rejects(read(), fails('FRAME_INVALID'));
  recorded(reader, giver, 'FRAME_INVALID');
});

void test('bytes behind the word absent are refused', async () => {
  const { read } = await against(socket =>
    quietly(socket.send(Buffer.concat([encodeAnswer('absent'), Buffer.alloc(9)]))),
  );
  await assert.rejects(read(), fails('FRAME_INVALID'));
});

void test('a giver that ends too early gives its whole chunks and no more', async () => {
  const { giver, reader, read, got } = await against(async socket => {
    await quietly(socket.send(answer), socket.send(BYTES.subarray(0, CHUNK_BYTES + 10)));
    socket.end();
  });
  await assert.rejects(read(), fails('LANE_CLOSED'));
  assert.equal(got(), CHUNK_BYTES);
  assert.equal(reader.lanes.countFor(giver.peer), 0);
});

void test('a giver that closes instead of answering is left, and not asked twice', async () => {
  let asked = 0;
  const { read } = await against(socket => {
    asked++;
    socket.destroy();
  });
  await assert.rejects(read(), fails('LANE_CLOSED'));
  assert.equal(asked, 1);
});

void test('a kept lane that ends when it is asked again is dialled once more, and no oftener', async () => {
  const asked: LaneSocket[] = [];
  const { read } = await against(socket => {
    asked.push(socket);
    // The first lane ends with its second request, and the one after it too; from then on all do.
    if (asked.length === 2 || asked.length > 3) return socket.destroy();
    return quietly(socket.send(answer), socket.send(BYTES));
  });
  await read();
  await read();
  assert.equal(asked[1], asked[0]);
  assert.equal(asked.length, 3);
  await assert.rejects(read(), fails('LANE_CLOSED'));
  assert.equal(asked.length, 5);
});

void test('a giver that says nothing has stalled after five seconds', async () => {
  const { giver, reader, read, world } = await against(() => undefined);
  let refusal: unknown;
  read().catch((error: unknown) => (refusal = error));
  await world.advance(STALL_MS - 1);
  assert.equal(reader.lanes.countFor(giver.peer), 1);
  await world.advance(1);
  assert.ok(fails('LANE_STALLED')(refusal));
  assert.equal(reader.lanes.countFor(giver.peer), 0);
  recorded(reader, giver, 'LANE_STALLED');
});

void test('a giver that stalls in the middle has stalled, and its whole chunks count', async () => {
  const { read, world, got } = await against(socket =>
    quietly(socket.send(answer), socket.send(BYTES.subarray(0, CHUNK_BYTES + 10))),
  );
  const reading = assert.rejects(read(), fails('LANE_STALLED'));
  await world.advance(STALL_MS);
  await reading;
  assert.equal(got(), CHUNK_BYTES);
});

void test('a byte a second is a stall too', async () => {
  const { giver, reader, read, world, got } = await against(async (socket, clock) => {
    await quietly(socket.send(answer));
    for (let at = 0; at < 60 && !life.signal.aborted; at++) {
      await quietly(socket.send(BYTES.subarray(at, at + 1)));
      await clock.sleep(1000, life.signal);
    }
  });
  let refusal: unknown;
  read().catch((error: unknown) => (refusal = error));
  await world.advance(TRICKLE_MS - 1000);
  assert.equal(refusal, undefined);
  await world.advance(1000);
  assert.ok(fails('LANE_STALLED')(refusal));
  assert.equal(got(), 0);
  recorded(reader, giver, 'LANE_STALLED');
});

void test('a node that hands out no key, or nonsense for one, is left in time', async () => {
  const { giver, control, read, world } = await against(() => undefined);
  control.replace(giver.peer, LANE_PROTOCOL, async () => undefined);
  const silent = assert.rejects(read(), fails('PEER_UNREACHABLE'));
  await world.advance(OFFER_TIMEOUT_MS);
  await silent;
  control.replace(giver.peer, LANE_PROTOCOL, stream => stream.send(Buffer.alloc(50)));
  await assert.rejects(read(), fails('FRAME_INVALID'));
  control.replace(giver.peer, LANE_PROTOCOL, stream => stream.close());
  await assert.rejects(read(), fails('PEER_UNREACHABLE'));
});

void test('after any of this, an honest lane still reads', async () => {
  const { read, got } = await against(socket => quietly(socket.send(answer), socket.send(BYTES)));
  await read();
  assert.equal(got(), BYTES.length);
});

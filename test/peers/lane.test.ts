import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import { digestOf } from '../../src/oci/oci.ts';
import { HELD_MAX } from '../../src/peers/lane-answer.ts';
import { LANE_WAIT_MS, OUTBOUND_IDLE_MS, OUTBOUND_PER_PEER_MAX } from '../../src/peers/lane-client.ts';
import { IN_FLIGHT_MAX } from '../../src/peers/lane-pump.ts';
import { INBOUND_IDLE_MS } from '../../src/peers/lane-server.ts';
import type { Chunk } from '../../src/peers/peers.ts';
import { createLaneWire } from '../../src/peers/wire-lane.ts';
import type { LaneSocket, LaneWire } from '../../src/peers/wire.ts';
import { CHUNK_BYTES } from '../../src/proof/proof.ts';
import { realWorld } from '../../src/world.ts';
import { type LaneNodesOptions, laneNodes, nodeOf, patterned, readAll, until } from '../support/lane-pair.ts';
import { LaneNetwork } from '../support/memory-lane-wire.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

let life = new AbortController();
afterEach(() => {
  life.abort();
  life = new AbortController();
});

const MANY = patterned(3 * CHUNK_BYTES + 12_345);
const fails = (code: Code) => (error: unknown) => hasCode(error, code);

/** A giver and a reader in memory, on a simulated clock; `sockets` are the reader's. */
async function pair(options: Partial<LaneNodesOptions> = {}, dialled: () => void = () => undefined) {
  const world = simulatedWorld();
  const network = new LaneNetwork();
  const sockets: LaneSocket[] = [];
  const wire = (): LaneWire => {
    const own = network.wire('127.0.0.1');
    return {
      ...own,
      async dial(...where) {
        const socket = await own.dial(...where);
        sockets.push(socket);
        dialled();
        return socket;
      },
    };
  };
  const [giver, reader] = await laneNodes(['giver', 'reader'], { world, wire, signal: life.signal, ...options });
  const digest = giver.shelf.put(MANY);
  const read = (offset = 0, length = MANY.length - offset, of = digest): AsyncIterable<Chunk> =>
    reader.lanes.read(giver.peer, of, offset, length, life.signal);
  return { world, giver, reader, digest, read, sockets };
}

void test('content crosses TLS lanes whole, in chunks, and the giver is told once how much went out', async () => {
  const wire = createLaneWire({ world: realWorld });
  const { giver, reader, read } = await pair({ world: realWorld, wire: () => wire });
  const { bytes, lengths } = await readAll(read());
  assert.ok(bytes.equals(MANY));
  assert.deepEqual(lengths, [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, 12_345]);
  await until(() => giver.shelf.done.length > 0);
  assert.deepEqual(giver.shelf.done, [MANY.length]);
  assert.equal(giver.shelf.asked[0]!.node.peer, reader.peer);
  assert.deepEqual([...giver.records, ...reader.records], []);
});

void test('a part is read from a chunk boundary on', async () => {
  const { read } = await pair();
  const { bytes } = await readAll(read(2 * CHUNK_BYTES));
  assert.ok(bytes.equals(MANY.subarray(2 * CHUNK_BYTES)));
  const { bytes: one } = await readAll(read(CHUNK_BYTES, 10));
  assert.ok(one.equals(MANY.subarray(CHUNK_BYTES, CHUNK_BYTES + 10)));
});

void test('one lane carries requests one after another, and is closed when nobody used it for a while', async () => {
  const { world, giver, reader, read, sockets } = await pair();
  for (let round = 0; round < 5; round++) await readAll(read());
  assert.equal(sockets.length, 1);
  assert.equal(reader.lanes.countFor(giver.peer), 1);
  assert.equal(giver.lanes.countFor(reader.peer), 1);
  await world.advance(OUTBOUND_IDLE_MS - 1);
  assert.equal(reader.lanes.countFor(giver.peer), 1);
  await world.advance(1);
  assert.equal(reader.lanes.countFor(giver.peer), 0);
  assert.equal(giver.lanes.countFor(reader.peer), 0);
});

void test('two reads begun in the same moment never share an idle lane', async () => {
  const { read, sockets } = await pair();
  await readAll(read());
  const both = await Promise.all([readAll(read()), readAll(read(CHUNK_BYTES))]);
  assert.ok(both[0].bytes.equals(MANY));
  assert.ok(both[1].bytes.equals(MANY.subarray(CHUNK_BYTES)));
  assert.equal(sockets.length, 2);
});

void test('a lane that the giver closed while it was idle is dialled again, once', async () => {
  const { giver, reader, read, sockets } = await pair();
  await readAll(read());
  giver.lanes.dropPeer(reader.peer);
  const { bytes } = await readAll(read());
  assert.ok(bytes.equals(MANY));
  assert.equal(sockets.length, 2);
});

void test('what is absent costs an answer, not the lane', async () => {
  const { read, sockets } = await pair();
  await assert.rejects(readAll(read(0, 10, digestOf(Buffer.from('nothing')))), fails('CONTENT_ABSENT'));
  await assert.rejects(readAll(read(0, MANY.length + 1)), fails('CONTENT_ABSENT'));
  await readAll(read());
  assert.equal(sockets.length, 1);
});

void test('several reads use several lanes, up to the bound; one more waits, and gives up after a while', async () => {
  const { world, giver, reader, read } = await pair();
  const open = Array.from({ length: OUTBOUND_PER_PEER_MAX }, () => read()[Symbol.asyncIterator]());
  for (const one of open) await one.next();
  assert.equal(reader.lanes.countFor(giver.peer), OUTBOUND_PER_PEER_MAX);
  const late = readAll(read());
  const rejected = assert.rejects(late, fails('PEER_UNREACHABLE'));
  await world.advance(LANE_WAIT_MS);
  await rejected;
  const patient = readAll(read());
  await world.settle();
  await open[0]!.return!(undefined);
  const { bytes } = await patient;
  assert.ok(bytes.equals(MANY));
});

void test('a reader that keeps chunks pauses the lane, and the giver holds no more than it may', async () => {
  const { world, giver, reader } = await pair();
  const large = patterned(32 * CHUNK_BYTES);
  const digest = giver.shelf.put(large);
  const kept: Chunk[] = [];
  let got = 0;
  const reading = (async () => {
    for await (const chunk of reader.lanes.read(giver.peer, digest, 0, large.length, life.signal)) {
      assert.ok(Buffer.from(chunk.bytes).equals(large.subarray(got, got + chunk.bytes.length)));
      got += chunk.bytes.length;
      kept.push(chunk);
    }
  })();
  await world.settle();
  await world.settle();
  assert.equal(kept.length, HELD_MAX);
  assert.ok(giver.shelf.readBytes <= (HELD_MAX + 1 + IN_FLIGHT_MAX) * CHUNK_BYTES, `${giver.shelf.readBytes} bytes`);
  // Keeping chunks for longer than a stall is the reader's own affair.
  await world.advance(20_000);
  assert.equal(kept.length, HELD_MAX);
  while (got < large.length) {
    kept.shift()?.release();
    await world.settle();
  }
  await reading;
  assert.deepEqual(giver.shelf.done, [large.length]);
});

void test('a release counts once, however often it is called', async () => {
  const { giver, reader, world } = await pair();
  const large = patterned(16 * CHUNK_BYTES);
  const digest = giver.shelf.put(large);
  const chunks = reader.lanes.read(giver.peer, digest, 0, large.length, life.signal)[Symbol.asyncIterator]();
  const first = (await chunks.next()).value as Chunk;
  for (let times = 0; times < 20; times++) first.release();
  let held = 0;
  const rest = (async () => {
    while (!(await chunks.next()).done) held++;
  })();
  await world.settle();
  await world.settle();
  assert.equal(held, HELD_MAX);
  life.abort();
  await assert.rejects(rest, fails('STOPPED'));
});

void test('who leaves early loses the lane, and the giver is told what went out', async () => {
  const { world, giver, reader } = await pair();
  const large = patterned(16 * CHUNK_BYTES);
  const digest = giver.shelf.put(large);
  for await (const chunk of reader.lanes.read(giver.peer, digest, 0, large.length, life.signal)) {
    chunk.release();
    break;
  }
  await world.settle();
  assert.equal(reader.lanes.countFor(giver.peer), 0);
  assert.equal(giver.lanes.countFor(reader.peer), 0);
  assert.equal(giver.shelf.done.length, 1);
  assert.ok(giver.shelf.done[0]! < large.length);
  assert.deepEqual(giver.records, []);
});

void test('chunks stay whole after the loop was left, until they are released', async () => {
  const { read } = await pair();
  const kept: Chunk[] = [];
  for await (const chunk of read()) kept.push(chunk);
  for await (const chunk of read()) chunk.release();
  assert.ok(Buffer.concat(kept.map(({ bytes }) => bytes)).equals(MANY));
  for (const chunk of kept) chunk.release();
});

void test('revocation closes lanes both ways at once', async () => {
  const { giver, reader, read } = await pair();
  const chunks = read()[Symbol.asyncIterator]();
  await chunks.next();
  reader.lanes.dropPeer(giver.peer);
  await assert.rejects(
    (async () => {
      for (;;) if ((await chunks.next()).done) return;
    })(),
    fails('LANE_CLOSED'),
  );
  assert.equal(reader.lanes.countFor(giver.peer), 0);
  await until(() => giver.lanes.countFor(reader.peer) === 0);
});

void test('only nodes with the role fetch get a lane, and the refusal is recorded', async () => {
  const { giver, reader, read } = await pair();
  giver.nodes.set(reader.peer, nodeOf('reader', ['serve']));
  await assert.rejects(readAll(read()), fails('ROLE_MISSING'));
  assert.deepEqual(giver.records, [
    { event: 'peer.refused', peer: reader.peer, address: '127.0.0.1:5001', code: 'ROLE_MISSING' },
  ]);
});

void test('only nodes with the role serve are asked', async () => {
  const { giver, reader, read } = await pair();
  reader.nodes.set(giver.peer, nodeOf('giver', ['fetch']));
  await assert.rejects(readAll(read()), fails('ROLE_MISSING'));
  assert.deepEqual(giver.shelf.asked, []);
});

void test('a peer that loses its credential, or the role in it, loses its open lane with the next request', async () => {
  for (const now of [undefined, nodeOf('reader', ['serve'])]) {
    const { giver, reader, read, world } = await pair();
    await readAll(read());
    if (now) giver.nodes.set(reader.peer, now);
    else giver.nodes.delete(reader.peer);
    await assert.rejects(readAll(read()));
    await world.settle();
    assert.equal(giver.shelf.asked.length, 1);
    assert.equal(giver.lanes.countFor(reader.peer), 0);
    assert.ok(giver.records.length > 0 && giver.records.every(({ code }) => code === 'ROLE_MISSING'));
  }
});

void test('a node that loses its role while it is dialled is not asked', async () => {
  const { giver, reader, read, world } = await pair({}, () => reader.nodes.delete(giver.peer));
  await assert.rejects(readAll(read()), fails('ROLE_MISSING'));
  await world.settle();
  assert.equal(reader.lanes.countFor(giver.peer), 0);
  assert.deepEqual(giver.shelf.asked, []);
});

void test('a peer that is not connected is unreachable', async () => {
  const { giver, reader, read } = await pair();
  reader.addresses.delete(giver.peer);
  await assert.rejects(readAll(read()), fails('PEER_UNREACHABLE'));
});

void test('a read that is stopped ends, before and while bytes come', async () => {
  const { giver, reader, digest } = await pair();
  const stop = new AbortController();
  const chunks = reader.lanes.read(giver.peer, digest, 0, MANY.length, stop.signal)[Symbol.asyncIterator]();
  await chunks.next();
  stop.abort();
  await assert.rejects(
    (async () => {
      for (;;) if ((await chunks.next()).done) return;
    })(),
    fails('STOPPED'),
  );
  await assert.rejects(readAll(reader.lanes.read(giver.peer, digest, 0, 10, stop.signal)), fails('STOPPED'));
  assert.equal(reader.lanes.countFor(giver.peer), 0);
});

void test('a giver closes a lane that asks nothing', async () => {
  const { world, giver, reader, read } = await pair();
  await readAll(read());
  // The reader's own clock is not what ends it here.
  assert.ok(INBOUND_IDLE_MS > OUTBOUND_IDLE_MS);
  await world.advance(INBOUND_IDLE_MS);
  assert.equal(giver.lanes.countFor(reader.peer), 0);
});

void test('a limit of bandwidth is kept, in total and per peer', async () => {
  for (const limits of [{ bytesPerSecond: 1 << 20 }, { bytesPerSecondPerPeer: 1 << 20 }]) {
    const { world, read } = await pair({ limits });
    const begun = world.monotonic();
    let done = false;
    const reading = readAll(read()).finally(() => {
      done = true;
    });
    while (!done) await world.advance(100);
    const { bytes } = await reading;
    assert.ok(bytes.equals(MANY));
    const seconds = (world.monotonic() - begun) / 1000;
    const least = MANY.length / (1 << 20) - 0.1;
    assert.ok(seconds > least && seconds < least + 1, `${seconds} s`);
  }
});

void test('a limit under which lanes would stall is refused at the start', async () => {
  await assert.rejects(pair({ limits: { bytesPerSecond: 1000 } }), fails('CONFIG_INVALID'));
  await assert.rejects(pair({ limits: { bytesPerSecondPerPeer: 1000 } }), fails('CONFIG_INVALID'));
});

void test('closing ends reads and listening', async () => {
  const { giver, reader, read } = await pair();
  const chunks = read()[Symbol.asyncIterator]();
  await chunks.next();
  await Promise.all([giver.lanes.close(), reader.lanes.close()]);
  await assert.rejects(
    (async () => {
      for (;;) if ((await chunks.next()).done) return;
    })(),
  );
  await assert.rejects(readAll(read()), fails('STOPPED'));
});

/** A thousand handshakes of lanes that are begun and left: bounded, told in few records, and no honest lane is kept out. */
import assert from 'node:assert/strict';
import { connect as tcp, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { Refusals } from '../../src/audit/refusals.ts';
import { createLaneWire, HALF_OPEN_MAX, HALF_OPEN_PER_HOST_MAX } from '../../src/peers/wire-lane.ts';
import { laneNodes, patterned, readAll, until } from '../support/lane-pair.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

/** Half-open connections of an attack. */
const MANY = 1000;
/** Begun at once, so that the system's own queue of connections is not what bounds them. */
const BATCH = 50;
/** What the giver may need for all of it: far less than a thousand TLS sockets and their buffers. */
const MEMORY_MAX_BYTES = 64 << 20;

let stop: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of stop.reverse()) await one();
  stop = [];
});

/** A giver of TLS lanes, an honest reader, and connections to the giver that say nothing. */
async function ground() {
  const life = new AbortController();
  stop.push(() => life.abort());
  const world = simulatedWorld();
  const wire = createLaneWire({ world });
  const [giver, reader] = await laneNodes(['giver', 'reader'], { world, wire: () => wire, signal: life.signal });
  const digest = giver.shelf.put(patterned(1000));
  const silent = new Set<Socket>();
  stop.push(() => silent.forEach(socket => socket.destroy()));
  const open = (localAddress: string): void => {
    const socket = tcp({ port: giver.lanes.port, host: '127.0.0.1', localAddress });
    socket.on('error', () => undefined);
    socket.once('close', () => silent.delete(socket));
    silent.add(socket.resume());
  };
  /** Opens `MANY`, spread over the hosts; answers when all but what may stay are closed again. */
  const flood = async (hosts: readonly string[], most: number): Promise<void> => {
    for (let begun = 0; begun < MANY; begun += BATCH) {
      for (let at = 0; at < BATCH; at++) open(hosts[(begun + at) % hosts.length]!);
      await until(() => [...silent].every(socket => !socket.connecting) && silent.size <= most, 200_000);
    }
  };
  const read = (): Promise<{ bytes: Buffer }> => readAll(reader.lanes.read(giver.peer, digest, 0, 1000, life.signal));
  return { giver, flood, read, silent };
}

const hosts = (count: number): string[] => Array.from({ length: count }, (_, at) => `127.0.1.${at + 1}`);

void test('a thousand half-open handshakes from many hosts are bounded, and an honest lane opens beside them', async () => {
  const { giver, flood, read, silent } = await ground();
  const before = process.memoryUsage().rss;
  // The hosts of the attack fill every place, and none has more than a host may.
  await flood(hosts(2 * (HALF_OPEN_MAX / HALF_OPEN_PER_HOST_MAX)), HALF_OPEN_MAX);
  assert.equal(silent.size, HALF_OPEN_MAX);
  assert.equal((await read()).bytes.length, 1000);
  assert.ok(process.memoryUsage().rss - before < MEMORY_MAX_BYTES);
  await until(() => giver.records.length === MANY + 1 - HALF_OPEN_MAX);
  assert.ok(giver.records.every(({ code, address }) => code === 'LIMIT_EXCEEDED' && address.startsWith('127.0.1.')));
});

void test('a thousand from the host of an honest node do not keep that node out', async () => {
  const { giver, flood, read, silent } = await ground();
  await flood(['127.0.0.1'], HALF_OPEN_PER_HOST_MAX);
  assert.equal(silent.size, HALF_OPEN_PER_HOST_MAX);
  assert.equal((await read()).bytes.length, 1000);
  await until(() => giver.records.length === MANY + 1 - HALF_OPEN_PER_HOST_MAX);
  assert.ok(giver.records.every(({ code }) => code === 'LIMIT_EXCEEDED'));
});

void test('what a thousand refused handshakes of one host leave in the log is ten records and a count', async () => {
  const { giver, flood } = await ground();
  await flood(['127.0.0.1'], HALF_OPEN_PER_HOST_MAX);
  await until(() => giver.records.length === MANY - HALF_OPEN_PER_HOST_MAX);
  const world = simulatedWorld();
  const counts: (number | undefined)[] = [];
  const refusals = new Refusals(world, ({ count }) => counts.push(count));
  const single = giver.records.filter(record => refusals.single(record));
  await world.advance(10_000);
  assert.equal(single.length, 10);
  assert.deepEqual(counts, [giver.records.length - 10]);
});

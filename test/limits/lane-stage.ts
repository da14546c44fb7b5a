/** Givers and readers of lanes, raw sockets and a door of lanes: what the tries of lanes stand on. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { type Code, hasCode } from '../../src/errors.ts';
import { OFFER_REQUEST, parseOffer } from '../../src/peers/frame.ts';
import { laneKey } from '../../src/peers/lane-keys.ts';
import { LANE_PROTOCOL } from '../../src/peers/lane-offer.ts';
import { createLaneWire } from '../../src/peers/wire-lane.ts';
import type { LaneSocket } from '../../src/peers/wire.ts';
import { CHUNK_BYTES } from '../../src/proof/proof.ts';
import { type LaneNode, laneNodes, MemoryControl, patterned } from '../support/lane-pair.ts';
import { LaneNetwork } from '../support/memory-lane-wire.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

export const SMALL = patterned(2 * CHUNK_BYTES);
export const LARGE = patterned(12 * CHUNK_BYTES);

/** A giver and readers in memory, on a simulated clock. */
export async function stage(names: readonly string[] = ['reader'], givers: readonly string[] = ['giver']) {
  const life = new AbortController();
  const world = simulatedWorld();
  const network = new LaneNetwork();
  const control = new MemoryControl();
  const nodes = await laneNodes([...givers, ...names], {
    world,
    wire: () => network.wire('127.0.0.1'),
    control,
    signal: life.signal,
  });
  const [giver] = nodes;
  const [small, large] = [SMALL, LARGE].map(
    bytes => nodes.slice(0, givers.length).map(one => one.shelf.put(bytes))[0]!,
  );
  /** A lane in the hands of who asked for it. */
  const lane = async ({ peer }: LaneNode): Promise<LaneSocket> => {
    const limits = { maxFrame: 100, maxInbound: 1 };
    const stream = await control.of(peer).open(giver!.peer, LANE_PROTOCOL, limits, life.signal);
    await stream.send(OFFER_REQUEST);
    const offer = parseOffer((await stream.receive())!);
    if ('refused' in offer) throw new Error(offer.refused);
    const key = laneKey(offer.key, peer, giver!.peer);
    const identity = Buffer.from(offer.identity).toString('hex');
    return network.wire('127.0.0.1').dial(`127.0.0.1:${giver!.lanes.port}`, identity, key, life.signal);
  };
  const read = (from: LaneNode, of = large!, length = LARGE.length) =>
    nodes.at(-1)!.lanes.read(from.peer, of, 0, length, life.signal)[Symbol.asyncIterator]();
  return {
    world,
    giver: giver!,
    givers: nodes.slice(0, givers.length),
    readers: nodes.slice(givers.length),
    lane,
    read,
    small: small!,
    large: large!,
    end: () => life.abort(),
  };
}

export const codesOf = (node: LaneNode): readonly Code[] => node.records.map(({ code }) => code);

/** Sockets to a port from hosts of loopback, and those that were closed on them. */
export async function sockets(port: number, hosts: readonly string[]): Promise<{ end(): void; closed(): number }> {
  let closed = 0;
  const all: Socket[] = [];
  for (const localAddress of hosts) {
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    all.push(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => closed++);
    socket.resume();
    await new Promise(done => socket.once('connect', done).once('close', done));
  }
  return { closed: () => closed, end: () => all.forEach(socket => socket.destroy()) };
}

/** A door of lanes on loopback. */
export async function door() {
  const told: Code[] = [];
  const wire = createLaneWire({ world: simulatedWorld() });
  const listening = await wire.listen(
    '127.0.0.1:0',
    () => undefined,
    () => undefined,
    (_, { code }) => told.push(code),
  );
  return { ...listening, told };
}

export const turns = async (holds: () => boolean): Promise<void> => {
  for (let turn = 0; turn < 1000 && !holds(); turn++) await new Promise(done => setTimeout(done, 5));
  assert.ok(holds(), holds.toString());
};

/** `work` is open until `ms` have passed, and is refused with `code` then. */
export async function settlesAt(
  world: { advance(ms: number): Promise<void>; settle(): Promise<void> },
  ms: number,
  work: Promise<unknown>,
  code: Code,
): Promise<void> {
  let error: unknown;
  work.catch((reason: unknown) => (error = reason));
  await world.settle();
  await world.advance(ms - 1);
  assert.equal(error, undefined);
  await world.advance(1);
  assert.ok(hasCode(error, code), String(error));
}

/** Tries of the limits on connections of the control plane, over loopback where a number is of the wire. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import type { PeerId } from '../../src/oci/oci.ts';
import { formatAddress, parseAddress, parseBootstrap } from '../../src/peers/address.ts';
import { Discovery, type DiscoveryOptions } from '../../src/peers/discovery.ts';
import { Knocks } from '../../src/peers/knocks.ts';
import { Standing } from '../../src/peers/standing.ts';
import { createControlWire, type ListeningWire } from '../../src/peers/wire-libp2p.ts';
import type { ControlWire, Greet, Link } from '../../src/peers/wire.ts';
import { realWorld, type World } from '../../src/world.ts';
import { peerNamed } from '../support/lane-pair.ts';
import { simulatedWorld } from '../support/simulated-world.ts';
import { is, type Tries } from './table.ts';

const live = (): AbortSignal => new AbortController().signal;
const welcome: Greet = async () => undefined;

interface Wires {
  wire(seed: number, greet?: Greet, world?: World): Promise<ListeningWire>;
  /** Codes of what was refused, by all of them. */
  readonly told: string[];
  end(): Promise<void>;
}

function wires(): Wires {
  const all: ListeningWire[] = [];
  const told: string[] = [];
  return {
    told,
    async wire(seed, greet = welcome, world = realWorld) {
      const wire = await createControlWire({
        seed: Buffer.alloc(32, seed),
        prologue: Buffer.from('limits'),
        listen: '127.0.0.1:0',
        greet,
        world,
        signal: live(),
        refused: (_, { code }) => told.push(code),
      });
      all.push(wire);
      return wire;
    },
    end: async () => void (await Promise.all(all.map(wire => wire.close()))),
  };
}

const eventually = async (holds: () => boolean): Promise<void> => {
  for (let turn = 0; turn < 1000 && !holds(); turn++) await realWorld.sleep(10);
  assert.ok(holds(), holds.toString());
};

/** Seeks by a wire that answers nobody, or has links already. */
function seeking(options: Partial<DiscoveryOptions>, links: readonly Link[] = [], byte = 0) {
  const world = { ...simulatedWorld(), random: (length: number) => new Uint8Array(length).fill(byte) };
  const dials: number[] = [];
  const wire = {
    links: () => links,
    dial: async () => {
      dials.push(world.monotonic());
      throw new Error('nobody');
    },
  } as unknown as ControlWire;
  const stop = new AbortController();
  const discovery = new Discovery({
    world,
    wire,
    self: peerNamed('self'),
    own: new Set(),
    bootstrap: [],
    resolve: async () => [],
    known: () => [],
    log: () => undefined,
    signal: stop.signal,
    ...options,
  });
  return { world, dials, discovery, stop };
}

export const linkTries: Tries = {
  greeting: async ({ numbers: [ms], codes: [code] }) => {
    const on = wires();
    // The same deadline, sooner: it is the one that is asked for.
    const hasty: World = {
      ...realWorld,
      sleep: (asked, signal) => realWorld.sleep(asked === ms ? 300 : asked, signal),
    };
    const errors: unknown[] = [];
    const victim = await on.wire(
      1,
      async (_peer, stream, _address, signal) => {
        await stream.receive().catch(() => undefined);
        errors.push(signal.reason);
        throw signal.reason as Error;
      },
      hasty,
    );
    const mute = await on.wire(2, async (_peer, stream) => {
      while (await stream.receive());
      throw new Error('closed');
    });
    const begin = performance.now();
    await assert.rejects(mute.dial(victim.addresses[0]!, live()));
    assert.ok(performance.now() - begin < ms);
    await eventually(() => errors.length > 0);
    assert.ok(is(code)(errors[0]), String(errors[0]));
    await on.end();
  },
  'pending-greetings': async ({ numbers: [most], codes: [code] }) => {
    const on = wires();
    const victim = await on.wire(1);
    const { host, port } = parseAddress(victim.addresses[0]!);
    let closed = 0;
    const open = (): Promise<ReturnType<typeof connect>> =>
      new Promise(done => {
        const socket = connect({ host, port });
        socket.on('error', () => undefined);
        socket.on('close', () => closed++);
        socket.resume();
        for (const event of ['connect', 'close']) socket.once(event, () => done(socket));
      });
    const all = [];
    for (let at = 0; at < most; at++) all.push(await open());
    await realWorld.sleep(50);
    assert.equal(closed, 0);
    all.push(await open());
    await eventually(() => closed === 1);
    assert.deepEqual(on.told, [code]);
    // The oldest made room.
    assert.deepEqual([all[0]!.closed, all.at(-1)!.closed], [true, false]);
    for (const socket of all) socket.destroy();
    await on.end();
  },
  'failed-handshakes': async ({ numbers: [burst, perSecond], codes: [code] }) => {
    const world = simulatedWorld();
    const told: string[] = [];
    const knocks = new Knocks(world, (_, error) => told.push(error.code));
    for (let at = 1; at < burst; at++) knocks.failed('10.0.0.1');
    assert.equal(knocks.check('10.0.0.1'), false);
    knocks.failed('10.0.0.1');
    assert.deepEqual([knocks.check('10.0.0.1'), knocks.check('10.0.0.2'), told], [true, false, [code]]);
    await world.advance(1000 / perSecond - 1);
    assert.equal(knocks.check('10.0.0.1'), true);
    await world.advance(2);
    assert.equal(knocks.check('10.0.0.1'), false);
  },
  'links-with-one': async ({ numbers: [most], codes: [code] }) => {
    const on = wires();
    const victim = await on.wire(1);
    const dial = async (): Promise<unknown> => (await on.wire(2)).dial(victim.addresses[0]!, live());
    for (let at = 0; at < most; at++) await dial();
    await eventually(() => victim.links().length === most);
    assert.deepEqual(on.told, []);
    // Who dials has had its greeting; it is told by the end of the connection.
    await dial().catch(() => undefined);
    await eventually(() => on.told.length > 0);
    assert.deepEqual([victim.links().length, on.told], [most, [code]]);
    await on.end();
  },
  'links-sought': async ({ numbers: [most] }) => {
    const known = (): [PeerId, string[]][] => [[peerNamed('another'), [formatAddress('10.0.0.1', 1)]]];
    const links = (count: number): Link[] =>
      Array.from({ length: count }, (_, at) => ({
        peer: peerNamed(`n${'abcdefgh'[at % 8]}${'abcdefghij'[Math.floor(at / 8)]}`),
        address: 'a:1',
        inbound: true,
      }));
    const few = seeking({ known }, links(most - 1));
    await few.discovery.round();
    await few.world.settle();
    assert.equal(few.dials.length, 1);
    const enough = seeking({ known }, links(most));
    await enough.discovery.round();
    await enough.world.settle();
    assert.equal(enough.dials.length, 0);
  },
  redial: async ({ numbers: [first, longest] }) => {
    // Chance makes a pause half as long at most, and half as long again at most.
    for (const [byte, factor] of [
      [0, 0.5],
      [255, 1.5],
    ] as const) {
      const { world, dials, discovery, stop } = seeking({ bootstrap: [parseBootstrap('10.9.9.9:5001')] }, [], byte);
      const running = discovery.run();
      await world.advance(12 * longest);
      stop.abort();
      await running;
      const pauses = dials.slice(1).map((at, i) => at - dials[i]!);
      // It is looked once a second what is due.
      const about = (pause: number, ms: number): boolean => pause >= ms * factor && pause <= ms * factor + 1_000;
      assert.ok(about(pauses[0]!, first), String(pauses[0]));
      assert.ok(about(pauses.at(-1)!, longest) && about(Math.max(...pauses), longest), pauses.join());
    }
  },
  shunned: async ({ numbers: [ms] }) => {
    const world = simulatedWorld();
    const standing = new Standing(world);
    const holder = (name: string) => ({
      node: { peer: peerNamed(name), name, roles: new Set<never>(), issuedAt: 1, expiresAt: 2, zone: 'z' },
    });
    const [liar, far] = [holder('liar'), { node: { ...holder('far').node, zone: 'other' } }];
    standing.shun(liar.node.peer);
    const first = (): string => standing.rank([liar, far], 'z', new Set())[0]!.node.name;
    await world.advance(ms - 1);
    assert.equal(first(), 'far');
    await world.advance(1);
    assert.equal(first(), 'liar');
  },
};

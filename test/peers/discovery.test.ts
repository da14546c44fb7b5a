/** Discovery on a simulated clock: bootstrap, names, pauses, node records, dials on demand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import type { PeerId } from '../../src/oci/oci.ts';
import { parseBootstrap } from '../../src/peers/address.ts';
import { BACKOFF_LONGEST_MS, Discovery, type DiscoveryOptions } from '../../src/peers/discovery.ts';
import { peerOf } from '../support/fake-peers.ts';
import { MemoryNetwork, type MemoryWire } from '../support/memory-wire.ts';
import { type SimulatedWorld, simulatedWorld } from '../support/simulated-world.ts';

const ids = Array.from({ length: 5 }, (_, n) => peerOf(Buffer.alloc(32, n + 1)));
const welcome = async (): Promise<void> => undefined;

interface Scene {
  readonly world: SimulatedWorld;
  readonly network: MemoryNetwork;
  readonly wire: MemoryWire;
  readonly discovery: Discovery;
  readonly dials: string[];
  readonly stop: AbortController;
}

function scene(
  options: Partial<DiscoveryOptions> & { bootstrap?: DiscoveryOptions['bootstrap'] } = {},
  network = new MemoryNetwork(),
): Scene {
  const world = simulatedWorld();
  const wire = network.wire(ids[0]!, welcome);
  const dials: string[] = [];
  const dial = wire.dial.bind(wire);
  wire.dial = (address, signal) => {
    dials.push(address);
    return dial(address, signal);
  };
  const stop = new AbortController();
  const discovery = new Discovery({
    world,
    wire,
    self: ids[0]!,
    own: new Set(wire.addresses),
    bootstrap: [],
    resolve: async () => [],
    known: () => [],
    log: () => undefined,
    signal: stop.signal,
    ...options,
  });
  return { world, network, wire, discovery, dials, stop };
}

void test('that nobody answers is told once, until somebody has', async () => {
  const told: string[] = [];
  const bootstrap = ['10.0.0.9:5001'].map(parseBootstrap);
  const log: DiscoveryOptions['log'] = (level, text) => {
    if (level === 'warn') told.push(text);
  };
  const { world, discovery, dials, stop } = scene({ bootstrap, log });
  const running = discovery.run();
  await world.advance(60_000);
  assert.ok(dials.length > 2);
  assert.equal(told.length, 1);
  stop.abort();
  await running;
});

void test('it dials its bootstrap, but never itself, and not again while the link stands', async () => {
  const network = new MemoryNetwork();
  const other = network.wire(ids[1]!, welcome);
  const bootstrap = [...other.addresses, '10.0.0.2:5001'].map(parseBootstrap);
  const { world, wire, discovery, dials, stop } = scene({ bootstrap }, network);
  const running = discovery.run();
  await world.advance(10_000);
  assert.deepEqual(dials, [other.addresses[0]]);
  assert.deepEqual(
    wire.links().map(link => link.peer),
    [ids[1]],
  );
  await other.disconnect(ids[0]!);
  await world.advance(5_000);
  assert.equal(dials.length, 2, 'a link that ended is sought again');
  stop.abort();
  await running;
});

void test('after failures it pauses longer and longer, up to a bound', async () => {
  const { world, discovery, dials, stop } = scene({ bootstrap: [parseBootstrap('10.9.9.9:5001')] });
  const running = discovery.run();
  await world.advance(10_000);
  const early = dials.length;
  assert.ok(early >= 3 && early <= 7, `${early} dials in the first ten seconds`);
  await world.advance(20 * BACKOFF_LONGEST_MS);
  assert.ok(
    dials.length - early >= 10 && dials.length - early <= 45,
    `${dials.length - early} dials in twenty minutes`,
  );
  stop.abort();
  await running;
});

void test('a name stands for all of its addresses, which are asked for again now and then', async () => {
  const network = new MemoryNetwork();
  const [b, c] = [network.wire(ids[1]!, welcome), network.wire(ids[2]!, welcome)];
  const hosts = [b.addresses[0]!.split(':')[0]!];
  let asked = 0;
  const resolve = async (host: string): Promise<string[]> => {
    asked += 1;
    assert.equal(host, 'peers.example');
    if (asked === 1) throw new Error('no answer');
    return hosts;
  };
  const { world, wire, discovery, stop } = scene(
    { bootstrap: [parseBootstrap('dns:peers.example:5001')], resolve },
    network,
  );
  const running = discovery.run();
  await world.advance(20_000);
  assert.deepEqual(
    wire.links().map(link => link.peer),
    [ids[1]],
  );
  hosts.push(c.addresses[0]!.split(':')[0]!);
  await world.advance(30_000);
  assert.deepEqual(new Set(wire.links().map(link => link.peer)), new Set([ids[1], ids[2]]));
  assert.ok(asked <= 6, `asked ${asked} times in fifty seconds`);
  stop.abort();
  await running;
});

void test('it goes on from node records, without any bootstrap', async () => {
  const network = new MemoryNetwork();
  const other = network.wire(ids[1]!, welcome);
  const { world, wire, discovery, stop } = scene(
    {
      known: () => [
        [ids[1]!, other.addresses],
        [ids[2]!, []],
      ],
    },
    network,
  );
  const running = discovery.run();
  await world.advance(2_000);
  assert.equal(wire.links().length, 1);
  stop.abort();
  await running;
});

void test('a node is dialled on demand once for all who ask, and must be who it should be', async () => {
  const network = new MemoryNetwork();
  const [b, c] = [network.wire(ids[1]!, welcome), network.wire(ids[2]!, welcome)];
  const { discovery, dials, stop } = scene({}, network);
  const { signal } = stop;
  const links = await Promise.all(
    [1, 2, 3].map(() => discovery.connect(ids[1]!, ['10.9.9.9:5001', ...b.addresses], signal)),
  );
  assert.deepEqual(
    links.map(link => link.peer),
    [ids[1], ids[1], ids[1]],
  );
  assert.equal(dials.length, 2);
  await assert.rejects(discovery.connect(ids[3]!, c.addresses, signal), error => hasCode(error, 'PEER_UNREACHABLE'));
  await assert.rejects(discovery.connect(ids[4]!, [], signal), error => hasCode(error, 'PEER_UNREACHABLE'));
});

void test('with links enough it seeks no more', async () => {
  const network = new MemoryNetwork();
  const bootstrap = [parseBootstrap('10.9.9.9:5001')];
  const { wire, discovery, dials } = scene({ bootstrap }, network);
  const many = Array.from({ length: 64 }, (_, i) => ({
    peer: `p${i}` as PeerId,
    address: `10.1.0.${i}:1`,
    inbound: true,
  }));
  wire.links = () => many;
  await discovery.round();
  assert.deepEqual(dials, []);
});

/** The wires of a storm, whose bytes take their time, pass the suites of wires. */
import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach } from 'node:test';
import { laneWireConformance } from '../conformance/lane-wire.ts';
import { wireConformance } from '../conformance/wire.ts';
import { peerOf } from '../support/fake-peers.ts';
import { Chance } from './chance.ts';
import { Network } from './network.ts';
import { Scheduler } from './scheduler.ts';

/** Simulated milliseconds that pass in a turn of the loop. */
const TURN_MS = 20;

/** A storm's network whose time goes on by itself, until `close`. */
function running(): { readonly network: Network; readonly close: () => void } {
  const scheduler = new Scheduler();
  const network = new Network(scheduler, new Chance('conformance'));
  let open = true;
  void (async () => {
    while (open) {
      await scheduler.run(scheduler.now + TURN_MS, () => Promise.resolve());
      await turn();
    }
  })();
  return { network, close: () => void (open = false) };
}

wireConformance('in a storm', async () => {
  const { network, close } = running();
  return {
    node: async greet => {
      const peer = peerOf(randomBytes(32));
      const wire = network.control.wire(peer, greet);
      return { wire, peer, address: wire.addresses[0]! };
    },
    close: async () => close(),
  };
});

const closes: (() => void)[] = [];
afterEach(() => closes.splice(0).forEach(close => close()));

laneWireConformance('memory, in a storm', () => {
  const { network, close } = running();
  closes.push(close);
  return { near: network.lanes.wire('127.0.0.1'), far: network.lanes.wire('127.0.0.1') };
});

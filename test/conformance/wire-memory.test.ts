/** The wire in memory passes the suite of control wires. */
import { randomBytes } from 'node:crypto';
import { peerOf } from '../support/fake-peers.ts';
import { MemoryNetwork, type MemoryWire } from '../support/memory-wire.ts';
import { wireConformance } from './wire.ts';

wireConformance('memory', async () => {
  const network = new MemoryNetwork();
  const wires: MemoryWire[] = [];
  return {
    node: async greet => {
      const peer = peerOf(randomBytes(32));
      const wire = network.wire(peer, greet);
      wires.push(wire);
      return { wire, peer, address: wire.addresses[0]! };
    },
    close: async () => {
      for (const wire of wires) await wire.close();
    },
  };
});

/** The wire on libp2p, over loopback, passes the suite of control wires. */
import { randomBytes } from 'node:crypto';
import { createControlWire } from '../../src/peers/wire-libp2p.ts';
import { realWorld } from '../../src/world.ts';
import { peerOf } from '../support/fake-peers.ts';
import { wireConformance } from './wire.ts';

wireConformance('libp2p', async () => {
  const stop = new AbortController();
  const wires: { close(): Promise<void> }[] = [];
  return {
    node: async greet => {
      const seed = randomBytes(32);
      const prologue = Buffer.from('pinnace/1/test');
      const wire = await createControlWire({
        seed,
        prologue,
        listen: '127.0.0.1:0',
        greet,
        world: realWorld,
        signal: stop.signal,
      });
      wires.push(wire);
      return { wire, peer: peerOf(seed), address: wire.addresses[0]! };
    },
    close: async () => {
      await Promise.all(wires.map(wire => wire.close()));
    },
  };
});

import { verifyPeer } from '../../src/identity/key.ts';
import { createPeers, type OpenPeers } from '../../src/peers/peers-node.ts';
import { realWorld } from '../../src/world.ts';
import { makeCluster, memoryKeep } from '../support/cluster.ts';
import { peersConformance } from './peers.ts';

peersConformance('real nodes on loopback', async () => {
  const cluster = await makeCluster();
  const running = new Map<string, { peers: OpenPeers; stop: AbortController }>();
  const end = async (name: string): Promise<void> => {
    const { peers, stop } = running.get(name)!;
    await peers.close();
    stop.abort();
    running.delete(name);
  };
  return {
    async start(name, giver) {
      const own = await cluster.add(name);
      const stop = new AbortController();
      const members = await own.members({}, stop.signal);
      const bootstrap = [...running.values()].flatMap(({ peers }) => peers.addresses);
      const peers = await createPeers({
        world: realWorld,
        self: own.self,
        members,
        verify: verifyPeer,
        giver,
        record: async () => undefined,
        log: () => undefined,
        keeps: { nodes: memoryKeep(), tags: memoryKeep() },
        config: { listen: '127.0.0.1:0', lanePort: 0, advertise: [], peerCidrs: [], bootstrap },
        signal: stop.signal,
      });
      running.set(name, { peers, stop });
      return { node: own.self.node(), peers };
    },
    cut: end,
    async end() {
      for (const name of running.keys()) await end(name);
    },
  };
});

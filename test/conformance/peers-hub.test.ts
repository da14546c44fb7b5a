import { Hub } from '../support/hub.ts';
import { peersConformance } from './peers.ts';

peersConformance('hub', async () => {
  const hub = new Hub();
  return {
    async start(name, giver) {
      const peers = hub.join(name);
      peers.serve(giver);
      return { node: peers.node, peers };
    },
    cut: async name => hub.connect(name, false),
    end: async () => undefined,
  };
});

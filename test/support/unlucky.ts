/**
 * Bad luck on purpose: an honest node that asks one given peer before all others, until that peer has failed it; a signal
 * makes it forget, and the next content goes to the same peer again. All else is the node's own: its patience, its checks,
 * and how it stands to that peer once it has met it. So many pulls can be made to meet a bad peer for the first time.
 */
import type { Rooms } from '../../src/mirror/mirror.ts';
import type { Peers } from '../../src/peers/peers.ts';
import { bound } from './hostile.ts';

/** The signal that makes the process of an unlucky node forget. */
export const FORGET = 'SIGUSR2';

/** Makes the running node of `rooms` ask `first` first; the answer makes it forget that this was a mistake. */
export function unlucky(rooms: Rooms, first: string): () => void {
  const { peers } = rooms;
  let grudge = false;
  const isFirst = (name: string): number => (name === first && !grudge ? 0 : 1);
  const others: Peers = {
    ...bound(peers),
    holders: digest => [...peers.holders(digest)].sort((a, b) => isFirst(a.node.name) - isFirst(b.node.name)),
    shun(peer, doubt) {
      grudge ||= peers.status().some(({ node }) => node.peer === peer && node.name === first);
      peers.shun(peer, doubt);
    },
  };
  Object.assign(rooms, { peers: others });
  return () => {
    grudge = false;
    for (const { id } of rooms.evidence.list()) void rooms.evidence.clear(id);
  };
}

/**
 * Lanes: bulk bytes between two named nodes. Promises: each lane is keyed by a one-time key that was handed out over the
 * control connection and binds both peer ids; everything is bounded; revocation closes lanes. Refuses to know who is
 * trusted, what is shared and whether bytes are true: it is given functions, and readers check. Spec: PROTOCOL.md, "Lanes".
 */
import type { Digest, PeerId } from '../oci/oci.ts';
import { LaneClient } from './lane-client.ts';
import { LaneKeys } from './lane-keys.ts';
import { offerKeys } from './lane-offer.ts';
import type { LaneRooms } from './lane-rooms.ts';
import { LaneServer } from './lane-server.ts';
import type { Chunk } from './peers.ts';

/** The lanes of this node. */
export interface Lanes {
  /** Where inbound lanes are accepted. */
  readonly port: number;
  /**
   * Bytes of `digest` from chunk boundary `offset` to `offset + length`, in chunks and in order; they are not checked.
   * Leaving the loop early closes the lane. A chunk must be released also after the loop was left.
   * @throws PEER_UNREACHABLE, LANE_REFUSED, HANDSHAKE_TIMEOUT, ROLE_MISSING, CONTENT_ABSENT, LANE_STALLED, LANE_CLOSED,
   * FRAME_INVALID, STOPPED when `signal` aborts
   */
  read(peer: PeerId, digest: Digest, offset: number, length: number, signal: AbortSignal): AsyncIterable<Chunk>;
  /** Open lanes with `peer`, both ways. */
  countFor(peer: PeerId): number;
  /** Closes the lanes with `peer` and forgets its keys: it was revoked. */
  dropPeer(peer: PeerId): void;
  /** Stops listening and closes all lanes. */
  close(): Promise<void>;
}

/** Listens, and answers peers that ask for keys. @throws PORT_TAKEN, CONFIG_INVALID for a bandwidth limit too low */
export async function createLanes(rooms: LaneRooms): Promise<Lanes> {
  const keys = new LaneKeys(rooms.world, rooms.self);
  const server = new LaneServer(rooms);
  const over = new AbortController();
  const client = new LaneClient({ ...rooms, signal: AbortSignal.any([rooms.signal, over.signal]) });
  const listener = await rooms.wire.listen(
    rooms.listen,
    identity => keys.take(identity),
    (socket, peer) => server.accept(socket, peer),
    (address, { code }) => {
      // Nothing is done for who was refused; where the record fails, the audit says so itself.
      rooms.record({ event: 'peer.refused', address, code }).catch(() => undefined);
    },
  );
  offerKeys(rooms, keys);
  const close = async (): Promise<void> => {
    over.abort();
    server.drop();
    client.drop();
    await listener.close();
  };
  rooms.signal.addEventListener('abort', () => void close(), { once: true });
  return {
    port: listener.port,
    read: (peer, digest, offset, length, signal) => client.read(peer, { digest, offset, length }, signal),
    countFor: peer => client.countFor(peer) + server.countFor(peer),
    dropPeer(peer) {
      keys.drop(peer);
      server.drop(peer);
      client.drop(peer);
    },
    close,
  };
}

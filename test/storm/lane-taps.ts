/** Lanes through which a giver's bytes pass on their way out. Refuses to know what is done with them there. */
import type { PeerId } from '../../src/oci/oci.ts';
import type { LaneSocket, LaneWire } from '../../src/peers/wire.ts';

/** Sends bytes to `peer`, who dialled: through `socket`, or otherwise. */
export type Sender = (socket: LaneSocket, peer: PeerId, bytes: Uint8Array) => Promise<void>;

/** A wire on which what is given goes through `send`. */
export const tapped = (wire: LaneWire, send: Sender): LaneWire => ({
  dial: (address, identity, key, signal) => wire.dial(address, identity, key, signal),
  listen: (address, take, accepted, refused) =>
    wire.listen(address, take, (socket, peer) => accepted(tap(socket, peer, send), peer), refused),
});

const tap = (socket: LaneSocket, peer: PeerId, send: Sender): LaneSocket => ({
  remoteAddress: socket.remoteAddress,
  closed: socket.closed,
  receive: on => socket.receive(on),
  resume: () => socket.resume(),
  send: bytes => send(socket, peer, bytes),
  end: () => socket.end(),
  destroy: () => socket.destroy(),
});

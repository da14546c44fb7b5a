/** What lanes need of the rest of the node, as functions; nothing here knows who is trusted or what is shared. */
import type { Code } from '../errors.ts';
import type { Node, PeerId } from '../oci/oci.ts';
import type { World } from '../world.ts';
import type { Giver } from './peers.ts';
import type { ControlWire, LaneWire } from './wire.ts';

/** What lanes record: a peer, or a stranger, that was turned away or cut off. */
export interface LaneEvent {
  readonly event: 'peer.refused';
  readonly peer?: PeerId;
  /** The remote host, or `host:port` of the control connection. */
  readonly address: string;
  readonly code: Code;
}

/** Bytes per second that this node gives; the default is no limit. At least `RATE_MIN_BYTES`. */
export interface LaneLimits {
  readonly bytesPerSecond?: number;
  readonly bytesPerSecondPerPeer?: number;
}

export interface LaneRooms {
  readonly world: World;
  readonly wire: LaneWire;
  /** This node. */
  readonly self: PeerId;
  /** `host:port` for inbound lanes. */
  readonly listen: string;
  readonly giver: Giver;
  readonly control: Pick<ControlWire, 'open' | 'handle'>;
  /** The peer as its current credential says; undefined where it has none that holds. */
  nodeOf(peer: PeerId): Node | undefined;
  /** The control connection's own remote host, and the lane port of the peer's node record. */
  addressOf(peer: PeerId): { readonly host: string; readonly lanePort: number } | undefined;
  /** Answers when the record is with the system. @throws AUDIT_UNAVAILABLE */
  record(event: LaneEvent): Promise<void>;
  readonly limits?: LaneLimits;
  /** Closes everything. */
  readonly signal: AbortSignal;
}

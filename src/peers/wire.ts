/**
 * The network's narrow port: everything of libp2p and node:tls that the room uses, so that a whole cluster also runs on a
 * simulated wire. `wire-libp2p.ts` and `wire-lane.ts` are the only files that know the libraries. Promises: a link exists
 * only to a peer whose handshake `greet` accepted, before any muxer; sizes, numbers and times are bounded.
 */
import type { MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';

/** One bounded message stream: each side sends and receives whole frames. */
export interface Stream {
  /** Resolves when the frame was taken; waits while the other side is slow. @throws LIMIT_EXCEEDED, PEER_UNREACHABLE */
  send(frame: Uint8Array): Promise<void>;
  /** The next frame, undefined at the end. @throws LIMIT_EXCEEDED for a frame over `maxFrame`, PEER_UNREACHABLE */
  receive(): Promise<Uint8Array | undefined>;
  /** Ends the own side; the other may still send. */
  close(): Promise<void>;
  abort(reason: Error): void;
}

/** A secured, admitted connection. */
export interface Link {
  readonly peer: PeerId;
  /** The remote `host:port` of the connection itself. */
  readonly address: string;
  readonly inbound: boolean;
}

export interface StreamLimits {
  /** Bytes of one frame. */
  readonly maxFrame: number;
  /** Streams of this protocol that one peer may have open towards us. */
  readonly maxInbound: number;
}

/** Runs on the secured bytes before any muxer: says who we are, judges who they are. @throws to refuse the connection */
export type Greet = (peer: PeerId, stream: Stream, address: string, signal: AbortSignal) => Promise<void>;

/** The control plane: libp2p with noise and yamux. */
export interface ControlWire {
  /** Dials `host:port` (an address or a name that was resolved before); the peer is whoever proves to be there. @throws PEER_UNREACHABLE, PEER_REFUSED */
  dial(address: string, signal: AbortSignal): Promise<Link>;
  links(): readonly Link[];
  /** Calls `listener` for each new and each ended link. */
  onLink(listener: (link: Link, open: boolean) => void): void;
  /** Closes all links to `peer`. */
  disconnect(peer: PeerId): Promise<void>;
  open(peer: PeerId, protocol: string, limits: StreamLimits, signal: AbortSignal): Promise<Stream>;
  handle(protocol: string, limits: StreamLimits, handler: (stream: Stream, link: Link) => Promise<void>): void;
  /** Gossip: at most 64 KiB; `judge` says whether a message is passed on. */
  publish(topic: string, message: Uint8Array): Promise<void>;
  subscribe(topic: string, judge: (from: PeerId, message: Uint8Array) => Promise<'accept' | 'ignore' | 'reject'>): void;
  close(): Promise<void>;
}

/** A lane's socket: raw bytes both ways over TLS 1.3 keyed by a one-time PSK. */
export interface LaneSocket {
  readonly remoteAddress: string;
  /**
   * Calls `on`, set once, with each piece of bytes in one reused buffer (copy what you keep); false pauses until `resume`,
   * though a few pieces that were on their way may still come.
   */
  receive(on: (bytes: Uint8Array) => boolean): void;
  resume(): void;
  /** Resolves when the system took the bytes and their memory may be used again. @throws LANE_CLOSED */
  send(bytes: Uint8Array): Promise<void>;
  /** Ends with FIN after what was sent. */
  end(): void;
  destroy(): void;
  /** Settles when the socket is closed, with the reason where there was one. */
  readonly closed: Promise<Error | undefined>;
}

/** The data plane: node:tls. */
export interface LaneWire {
  /**
   * Accepts lanes on `host:port`. `take` is asked for the key of an identity, which is used up by that; a socket whose
   * own handshake did not consume a live identity is destroyed. `accepted` gets the socket and what `take` said it is for;
   * `refused` hears of every connection that was not, with its remote host. @throws PORT_TAKEN, CONFIG_INVALID
   */
  listen(
    address: string,
    take: (identity: string) => { readonly key: Uint8Array; readonly peer: PeerId } | undefined,
    accepted: (socket: LaneSocket, peer: PeerId) => void,
    refused?: (host: string, error: MirrorError) => void,
  ): Promise<{ readonly port: number; close(): Promise<void> }>;
  /** Dials with a PSK and insists that the session was by PSK. @throws LANE_REFUSED, PEER_UNREACHABLE, HANDSHAKE_TIMEOUT */
  dial(address: string, identity: string, key: Uint8Array, signal: AbortSignal): Promise<LaneSocket>;
}

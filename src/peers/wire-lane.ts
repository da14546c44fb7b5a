/**
 * The data plane on node:tls. Promises: TLS 1.3 with one cipher suite, keyed by an external PSK that is used once, with an
 * ephemeral exchange beside it; no certificates on either side; handshakes are bounded in time and number. Refuses to
 * know who hands out keys. Spec: RFC 8446 section 4.2.11; PROTOCOL.md, "Lanes".
 */
import { constants } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { connect, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { asMirrorError, MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import { type World, within } from '../world.ts';
import { parseAddress, withinRanges } from './address.ts';
import { HalfOpen } from './half-open.ts';
import { Knocks } from './knocks.ts';
import { hostOf, Inlet, SocketLane } from './lane-socket.ts';
import type { LaneSocket, LaneWire } from './wire.ts';

/** From the TCP connection to the end of the handshake. */
export const LANE_HANDSHAKE_MS = 5_000;
/** Inbound handshakes under way. */
export const HALF_OPEN_MAX = 128;
/** Inbound handshakes under way from one host. */
export const HALF_OPEN_PER_HOST_MAX = 16;
/** What a dialled lane receives into; TLS hands on at most one record of 16 KiB at a time, so that more buys nothing. */
const RECEIVE_BYTES = 64 * 1024;

const SUITE = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  // The hash of an external PSK is that of its suite: SHA-256 and no other.
  ciphers: 'TLS_AES_128_GCM_SHA256',
} as const;

type ListenArguments = Parameters<LaneWire['listen']>;
interface Gate {
  readonly allowed: (host: string) => boolean;
  readonly knocks: Knocks;
  readonly take: ListenArguments[1];
  readonly accepted: ListenArguments[2];
  readonly refused: NonNullable<ListenArguments[3]>;
}

export interface LaneWireOptions {
  readonly world: World;
  /** Only these may connect, e.g. 10.0.0.0/8; none: everybody may try. */
  readonly peerCidrs?: readonly string[];
}

/** Lanes over this machine's network; only hosts in `peerCidrs` may connect, none given: all. @throws CONFIG_INVALID */
export function createLaneWire({ world, peerCidrs = [] }: LaneWireOptions): LaneWire {
  const allowed = withinRanges(peerCidrs);
  return {
    listen: (address, take, accepted, refused = () => undefined) =>
      listen(address, { allowed, take, accepted, refused, knocks: new Knocks(world, refused) }),
    dial: (address, identity, key, signal) => dial(world, address, identity, key, signal),
  };
}

async function listen(address: string, gate: Gate): Promise<{ readonly port: number; close(): Promise<void> }> {
  const { host, port } = parseAddress(address, true);
  const handshakes = new Handshakes(gate);
  const server = createServer({ noDelay: true, keepAlive: true, blockList: gate.knocks }, socket =>
    handshakes.begin(socket),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => reject(asMirrorError(error, 'PORT_TAKEN', `listening for lanes on ${address}`)));
    server.listen(port, host, resolve);
  });
  // An accept that fails for want of file descriptors is one connection less.
  server.on('error', () => undefined);
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound ? bound.port : port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        handshakes.destroyAll();
      }),
  };
}

/** One TCP connection until it closes. */
interface Connection {
  readonly host: string;
  readonly socket: Socket;
  secured: boolean;
  error: MirrorError;
}

/** Inbound connections, from TCP to a proved peer. */
class Handshakes {
  readonly #gate: Gate;
  readonly #connections = new Map<Socket, Connection>();
  /** By remote host and port, which a TLS socket has in common with its TCP socket. */
  readonly #byRemote = new Map<string, Connection>();
  readonly #halfOpen = new HalfOpen<Socket>(
    { most: HALF_OPEN_MAX, mostPerHost: HALF_OPEN_PER_HOST_MAX },
    (socket, error) => {
      this.#connections.get(socket)!.error = error;
      socket.destroy();
    },
  );
  readonly #consumed = new WeakMap<
    TLSSocket,
    { readonly identity: string; readonly key: Uint8Array; readonly peer: PeerId }
  >();
  readonly #tls = createTlsServer({
    ...SUITE,
    handshakeTimeout: LANE_HANDSHAKE_MS,
    secureOptions: constants.SSL_OP_NO_TICKET,
    pskCallback: (socket, identity) => this.#psk(socket, identity),
  });

  constructor(gate: Gate) {
    this.#gate = gate;
    this.#tls.on('secureConnection', socket => this.#secured(socket));
    this.#tls.on('tlsClientError', (error: Error & { code?: string }, socket) => {
      const connection = this.#byRemote.get(remoteOf(socket));
      if (connection && error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT')
        connection.error = new MirrorError(
          'HANDSHAKE_TIMEOUT',
          `${connection.host}: no handshake within ${LANE_HANDSHAKE_MS} ms`,
        );
      // The server only says so: who says nothing more would stay for ever.
      socket.destroy();
    });
  }

  /** Takes a new TCP connection, or refuses it. */
  begin(socket: Socket): void {
    const host = hostOf(socket);
    socket.on('error', () => undefined);
    if (!this.#gate.allowed(host)) {
      socket.destroy();
      return this.#gate.refused(host, new MirrorError('LANE_REFUSED', `${host} is outside peerCidrs`));
    }
    const connection = {
      host,
      socket,
      secured: false,
      error: new MirrorError('LANE_REFUSED', `${host} has no live one-time key`),
    };
    const remote = remoteOf(socket);
    this.#halfOpen.enter(host, socket);
    this.#connections.set(socket, connection);
    this.#byRemote.set(remote, connection);
    socket.once('close', () => {
      this.#halfOpen.leave(host, socket);
      this.#connections.delete(socket);
      this.#byRemote.delete(remote);
      if (connection.secured) return;
      // Who only waited has cost nothing, and is crowded out above.
      if (connection.error.code === 'LANE_REFUSED') this.#gate.knocks.failed(host);
      this.#gate.refused(host, connection.error);
    });
    this.#tls.emit('connection', socket);
  }

  destroyAll(): void {
    for (const socket of this.#connections.keys()) socket.destroy();
  }

  /** The key of an identity, used up by that; one handshake consumes at most one, however often it names it. */
  #psk(socket: TLSSocket, identity: string): Uint8Array | null {
    const before = this.#consumed.get(socket);
    if (before) return before.identity === identity ? before.key : null;
    const taken = this.#gate.take(identity);
    if (!taken) return null;
    this.#consumed.set(socket, { identity, ...taken });
    return taken.key;
  }

  #secured(socket: TLSSocket): void {
    const consumed = this.#consumed.get(socket);
    const connection = this.#byRemote.get(remoteOf(socket));
    socket.on('error', () => undefined);
    // A resumed session ends here: its handshake consumed nothing.
    if (!consumed || !connection) return void socket.destroy();
    connection.secured = true;
    this.#halfOpen.leave(connection.host, connection.socket);
    const inlet = new Inlet();
    const lane = new SocketLane(socket, inlet);
    this.#gate.accepted(lane, consumed.peer);
    socket.on('data', (bytes: Buffer) => {
      if (!inlet.deliver(bytes)) socket.pause();
    });
  }
}

const remoteOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;

async function dial(
  world: World,
  address: string,
  identity: string,
  key: Uint8Array,
  signal: AbortSignal,
): Promise<LaneSocket> {
  const { host, port } = parseAddress(address);
  const inlet = new Inlet();
  const what = `dialling a lane to ${address}`;
  let connected = false;
  const options = {
    ...SUITE,
    host,
    port,
    ca: [],
    pskCallback: () => ({ psk: key, identity }),
    // There is no certificate: that the key was used is looked at below.
    checkServerIdentity: () => undefined,
    onread: {
      buffer: Buffer.allocUnsafeSlow(RECEIVE_BYTES),
      callback: (length: number, buffer: Uint8Array) => inlet.deliver(buffer.subarray(0, length)),
    },
  };
  const socket = connect(options);
  socket.once('connect', () => {
    connected = true;
  });
  try {
    await within(world, LANE_HANDSHAKE_MS, signal, 'HANDSHAKE_TIMEOUT', what, () => secured(socket));
    if (!socket.isSessionReused() || Object.keys(socket.getPeerCertificate()).length > 0)
      throw new MirrorError('LANE_REFUSED', `${what}: it did not use the one-time key`);
    return new SocketLane(socket, inlet);
  } catch (error) {
    socket.on('error', () => undefined);
    socket.destroy();
    if (!connected && !signal.aborted)
      throw new MirrorError('PEER_UNREACHABLE', `${what}: nobody answers`, { cause: error });
    throw asMirrorError(error, 'LANE_REFUSED', what);
  }
}

const secured = (socket: TLSSocket): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed during the handshake')));
  });

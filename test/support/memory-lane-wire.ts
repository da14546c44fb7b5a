/**
 * The fake of the port `LaneWire`: sockets in memory, by address, with a small window and one reused buffer. Promises what
 * the real one does (test/conformance/lane-wire.ts), without time of its own.
 */
import { MirrorError } from '../../src/errors.ts';
import { formatAddress, parseAddress } from '../../src/peers/address.ts';
import type { LaneSocket, LaneWire } from '../../src/peers/wire.ts';

/** Bytes that a socket takes before its reader took any. */
const WINDOW_BYTES = 256 * 1024;
/** Bytes handed on at a time. */
const PIECE_BYTES = 16 * 1024;

type Listening = {
  readonly take: Parameters<LaneWire['listen']>[1];
  readonly accept: (socket: MemorySocket, peer: Parameters<Parameters<LaneWire['listen']>[2]>[1]) => void;
  readonly refused: NonNullable<Parameters<LaneWire['listen']>[3]>;
};

/** All hosts that can reach each other. */
export class LaneNetwork {
  readonly #listening = new Map<string, Listening>();
  #nextPort = 40_000;

  /** The wire of `host`. */
  wire(host: string): LaneWire {
    return {
      listen: async (address, take, accepted, refused = () => undefined) => {
        const asked = parseAddress(address, true);
        const port = asked.port || this.#nextPort++;
        const where = formatAddress(asked.host, port);
        if (this.#listening.has(where)) throw new MirrorError('PORT_TAKEN', `${where} is taken`);
        const open = new Set<MemorySocket>();
        const accept: Listening['accept'] = (socket, peer) => {
          open.add(socket);
          accepted(socket, peer);
        };
        this.#listening.set(where, { take, accept, refused });
        return {
          port,
          close: async () => {
            this.#listening.delete(where);
            for (const socket of open) socket.destroy();
          },
        };
      },
      dial: async (address, identity, key, signal) => {
        const { host: to, port } = parseAddress(address);
        const listening = this.#listening.get(formatAddress(to, port));
        await Promise.resolve();
        if (signal.aborted) throw new MirrorError('STOPPED', `dialling ${address}: stopped`);
        if (!listening) throw new MirrorError('PEER_UNREACHABLE', `nobody listens at ${address}`);
        const taken = listening.take(identity);
        if (!taken || !Buffer.from(taken.key).equals(key)) {
          const error = new MirrorError('LANE_REFUSED', `${host} has no live one-time key`);
          listening.refused(host, error);
          throw error;
        }
        const [near, far] = socketPair(to, host);
        listening.accept(far, taken.peer);
        return near;
      },
    };
  }
}

/** Two ends of one connection; each sees the other's host. */
export function socketPair(nearSees: string, farSees: string): [MemorySocket, MemorySocket] {
  const near = new MemorySocket(nearSees);
  const far = new MemorySocket(farSees);
  near.connect(far);
  far.connect(near);
  return [near, far];
}

interface Sent {
  bytes: Uint8Array;
  readonly copied: boolean;
  readonly taken: () => void;
  readonly lost: () => void;
}

export class MemorySocket implements LaneSocket {
  readonly remoteAddress: string;
  readonly closed: Promise<Error | undefined>;
  /** Bytes that this end was sent and has not read. */
  unread = 0;
  readonly #queue: Sent[] = [];
  readonly #buffer = new Uint8Array(PIECE_BYTES);
  #other!: MemorySocket;
  #on: ((bytes: Uint8Array) => boolean) | undefined;
  #paused = false;
  #running = false;
  #ended = false;
  #gone = false;
  #close!: () => void;

  constructor(remoteAddress: string) {
    this.remoteAddress = remoteAddress;
    this.closed = new Promise(resolve => {
      this.#close = () => resolve(undefined);
    });
  }

  connect(other: MemorySocket): void {
    this.#other = other;
  }

  receive(on: (bytes: Uint8Array) => boolean): void {
    this.#on = on;
    this.#run();
  }

  resume(): void {
    this.#paused = false;
    this.#run();
  }

  async send(bytes: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const lost = (): void => reject(new MirrorError('LANE_CLOSED', `the lane to ${this.remoteAddress} is closed`));
      if (this.#gone || this.#other.#gone || this.#other.#ended) return lost();
      const other = this.#other;
      // A system takes a copy of what fits its window, and the rest when that is read.
      const copied = other.unread + bytes.length <= WINDOW_BYTES;
      other.unread += bytes.length;
      other.#queue.push({
        bytes: copied ? Uint8Array.from(bytes) : bytes,
        copied,
        taken: copied ? () => undefined : resolve,
        lost,
      });
      if (copied) resolve();
      other.#run();
    });
  }

  end(): void {
    this.#other.#ended = true;
    this.#other.#run();
  }

  destroy(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.unread = 0;
    for (const sent of this.#queue.splice(0)) sent.lost();
    // What the system had not copied of the own sends never leaves; the other end gets the rest.
    const left = this.#other.#queue.splice(0);
    this.#other.#queue.push(...left.filter(sent => sent.copied));
    for (const sent of left) sent.lost();
    queueMicrotask(() => {
      this.#close();
      this.end();
    });
  }

  /** Hands on what waits, later and in pieces. */
  #run(): void {
    if (this.#running) return;
    this.#running = true;
    queueMicrotask(() => {
      this.#running = false;
      while (this.#on && !this.#paused && !this.#gone && this.#queue.length > 0) {
        const first = this.#queue[0]!;
        const piece = first.bytes.subarray(0, PIECE_BYTES);
        this.#buffer.set(piece);
        first.bytes = first.bytes.subarray(piece.length);
        this.unread -= piece.length;
        if (first.bytes.length === 0) {
          this.#queue.shift();
          first.taken();
        }
        if (!this.#on(this.#buffer.subarray(0, piece.length))) this.#paused = true;
      }
      if (this.#ended && this.#queue.length === 0) this.destroy();
    });
  }
}

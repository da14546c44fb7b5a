/**
 * The fake of the port `LaneWire`: sockets in memory, by address, with a small window and one reused buffer. Promises what
 * the real one does (test/conformance/lane-wire.ts), without time of its own: what is on its way takes as long as the
 * transit says.
 */
import { MirrorError } from '../../src/errors.ts';
import { formatAddress, parseAddress } from '../../src/peers/address.ts';
import type { LaneSocket, LaneWire } from '../../src/peers/wire.ts';
import { arrival, atOnce, type Transit, unless } from './transit.ts';

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
  readonly #sockets = new Set<MemorySocket>();
  readonly #transit: Transit;
  #nextPort = 40_000;

  constructor(transit: Transit = atOnce) {
    this.#transit = transit;
  }

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
        const listening = { take, accept, refused };
        this.#listening.set(where, listening);
        return {
          port,
          close: async () => {
            if (this.#listening.get(where) === listening) this.#listening.delete(where);
            for (const socket of open) socket.destroy();
          },
        };
      },
      dial: (address, identity, key, signal) => this.#dial(host, address, identity, key, signal),
    };
  }

  /** Everything of `host` that touches `other`, or anybody, breaks here; the other side is not told. */
  lose(host: string, other?: string): void {
    for (const socket of this.#sockets)
      if (socket.host === host && (other === undefined || socket.remoteAddress === other)) socket.lose();
  }

  /** Ends of lanes that are open at `host`, with `other` at the far end. */
  between(host: string, other: string): number {
    let count = 0;
    for (const socket of this.#sockets)
      if (socket.host === host && socket.remoteAddress === other && socket.open) count++;
    return count;
  }

  /** Nobody listens on `host` any more. */
  vanish(host: string): void {
    for (const where of this.#listening.keys()) if (parseAddress(where).host === host) this.#listening.delete(where);
  }

  async #dial(
    host: string,
    address: string,
    identity: string,
    key: Uint8Array,
    signal: AbortSignal,
  ): Promise<LaneSocket> {
    const late = (): Error => new MirrorError('STOPPED', `dialling ${address}: stopped`);
    const { host: to, port } = parseAddress(address);
    await unless(signal, arrival(this.#transit, host, to), late);
    const listening = this.#listening.get(formatAddress(to, port));
    if (!listening) throw new MirrorError('PEER_UNREACHABLE', `nobody listens at ${address}`);
    const taken = listening.take(identity);
    if (!taken || !Buffer.from(taken.key).equals(key)) {
      const error = new MirrorError('LANE_REFUSED', `${host} has no live one-time key`);
      listening.refused(host, error);
      throw error;
    }
    const [near, far] = [new MemorySocket(host, to, this.#transit), new MemorySocket(to, host, this.#transit)];
    near.connect(far);
    far.connect(near);
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      void socket.closed.then(() => this.#sockets.delete(socket));
    }
    listening.accept(far, taken.peer);
    await unless(signal, arrival(this.#transit, to, host), late).catch((error: unknown) => {
      near.destroy();
      throw error;
    });
    return near;
  }
}

interface Sent {
  bytes: Uint8Array;
  readonly copied: boolean;
  readonly taken: () => void;
  readonly lost: () => void;
}

export class MemorySocket implements LaneSocket {
  readonly host: string;
  readonly remoteAddress: string;
  readonly closed: Promise<Error | undefined>;
  /** Bytes that this end was sent and has not read. */
  unread = 0;
  readonly #transit: Transit;
  readonly #queue: Sent[] = [];
  readonly #way = new Set<Sent>();
  readonly #buffer = new Uint8Array(PIECE_BYTES);
  #other!: MemorySocket;
  #on: ((bytes: Uint8Array) => boolean) | undefined;
  #paused = false;
  #running = false;
  #ended = false;
  #gone = false;
  #close!: () => void;

  constructor(host: string, remoteAddress: string, transit: Transit) {
    this.host = host;
    this.remoteAddress = remoteAddress;
    this.#transit = transit;
    this.closed = new Promise(resolve => {
      this.#close = () => resolve(undefined);
    });
  }

  get open(): boolean {
    return !this.#gone;
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
      const other = this.#other;
      if (this.#gone || other.#gone || other.#ended) return lost();
      // A system takes a copy of what fits its window, and the rest when that is read.
      const copied = other.unread + bytes.length <= WINDOW_BYTES;
      other.unread += bytes.length;
      const sent: Sent = {
        bytes: copied ? Uint8Array.from(bytes) : bytes,
        copied,
        taken: copied ? () => undefined : resolve,
        lost,
      };
      if (copied) resolve();
      other.#way.add(sent);
      this.#carry(() => {
        if (!other.#way.delete(sent) || other.#gone) return lost();
        other.#queue.push(sent);
        other.#run();
      });
    });
  }

  end(): void {
    this.#carry(() => {
      this.#other.#ended = true;
      this.#other.#run();
    });
  }

  destroy(): void {
    if (this.#gone) return;
    this.lose();
    // What the system had not copied of the own sends never leaves; the other end gets the rest.
    const other = this.#other;
    const left = other.#queue.splice(0);
    other.#queue.push(...left.filter(sent => sent.copied));
    for (const sent of [...left, ...other.#way]) sent.lost();
    for (const sent of other.#way) if (!sent.copied) other.#way.delete(sent);
    queueMicrotask(() => this.end());
  }

  /** This end breaks, and the other is not told. */
  lose(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.unread = 0;
    for (const sent of [...this.#queue.splice(0), ...this.#way]) sent.lost();
    this.#way.clear();
    queueMicrotask(() => this.#close());
  }

  #carry(arrive: () => void): void {
    this.#transit.carry(this.host, this.remoteAddress, this, arrive);
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

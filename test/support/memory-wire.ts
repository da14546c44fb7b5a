/**
 * The fake of the port `ControlWire`: nodes of one process, streams in memory. Passes test/conformance/wire.ts like the
 * wire on libp2p. A node can be cut off without a word, as when its cable is pulled.
 */
import { createHash } from 'node:crypto';
import { asMirrorError, MirrorError } from '../../src/errors.ts';
import type { PeerId } from '../../src/oci/oci.ts';
import type { ControlWire, Greet, Link, Stream, StreamLimits } from '../../src/peers/wire.ts';
import { type Carry, type MemoryStream, Pipe, streams } from './memory-stream.ts';
import { arrival, atOnce, type Transit, unless } from './transit.ts';

const GOSSIP_MAX_BYTES = 64 * 1024;
/** Messages that are known again when they come once more; older ones are judged anew, as after a while on libp2p. */
const SEEN_MAX = 32;
const GREETING: StreamLimits = { maxFrame: 256 * 1024, maxInbound: 1 };

type Judge = (from: PeerId, message: Uint8Array) => Promise<'accept' | 'ignore' | 'reject'>;
type Handler = (stream: Stream, link: Link) => Promise<void>;

/** Where memory wires find each other. */
export class MemoryNetwork {
  readonly wires = new Map<string, MemoryWire>();
  readonly transit: Transit;
  #next = 1;

  constructor(transit: Transit = atOnce) {
    this.transit = transit;
  }

  /** A wire with an address of its own, or at `address` in place of an earlier one. */
  wire(peer: PeerId, greet: Greet, address?: string): MemoryWire {
    const at = address ?? `10.0.${this.#next >> 8}.${this.#next++ & 255}:5001`;
    const wire = new MemoryWire(this, peer, at, greet);
    this.wires.set(at, wire);
    return wire;
  }
}

/** One end of a connection; the other end may not know yet that this one is gone. */
interface End {
  readonly link: Link;
  readonly wire: MemoryWire;
  readonly streams: Set<MemoryStream>;
  other: End;
}

export class MemoryWire implements ControlWire {
  readonly peer: PeerId;
  readonly addresses: readonly string[];
  readonly greet: Greet;
  readonly #address: string;
  readonly #network: MemoryNetwork;
  readonly #ends = new Set<End>();
  readonly #listeners: ((link: Link, open: boolean) => void)[] = [];
  readonly #handlers = new Map<string, { limits: StreamLimits; handler: Handler; open: Map<PeerId, number> }>();
  readonly #judges = new Map<string, Judge>();
  readonly #seen = new Set<string>();

  constructor(network: MemoryNetwork, peer: PeerId, address: string, greet: Greet) {
    this.#network = network;
    this.#address = address;
    this.peer = peer;
    this.addresses = [address];
    this.greet = greet;
  }

  async dial(address: string, signal: AbortSignal): Promise<Link> {
    const late = (): Error => asMirrorError(signal.reason, 'PEER_UNREACHABLE', `dialling ${address}`);
    await unless(signal, arrival(this.#network.transit, this.#address, address), late);
    const other = this.#network.wires.get(address);
    if (!other) throw new MirrorError('PEER_UNREACHABLE', `nobody is at ${address}`);
    const [there, back] = [new Pipe(this.#carry(other)), new Pipe(other.#carry(this))];
    const [mine, theirs] = streams(there, back, GREETING, GREETING);
    const greets = Promise.allSettled([
      this.greet(other.peer, mine, address, signal).catch((error: unknown) => fail(mine, error)),
      other.greet(this.peer, theirs, this.#address, signal).catch((error: unknown) => fail(theirs, error)),
    ]);
    const [own, others] = await unless(signal, greets, late);
    if (own.status === 'rejected') throw own.reason;
    if (others.status === 'rejected' || this.#network.wires.get(address) !== other)
      throw new MirrorError('PEER_REFUSED', `${address} closed`);
    return this.#link(other, address);
  }

  /** Both ends of a new connection. */
  #link(other: MemoryWire, address: string): Link {
    const mine = { link: { peer: other.peer, address, inbound: false }, wire: this, streams: new Set<MemoryStream>() };
    const theirs = {
      link: { peer: this.peer, address: this.#address, inbound: true },
      wire: other,
      streams: new Set<MemoryStream>(),
    };
    const [near, far] = [mine as Partial<End> as End, theirs as Partial<End> as End];
    [near.other, far.other] = [far, near];
    for (const end of [far, near]) end.wire.#ends.add(end);
    for (const end of [far, near])
      if (end.wire.#ends.has(end)) for (const listener of end.wire.#listeners) listener(end.link, true);
    return near.link;
  }

  links(): readonly Link[] {
    return [...this.#ends].map(end => end.link);
  }

  onLink(listener: (link: Link, open: boolean) => void): void {
    this.#listeners.push(listener);
  }

  async disconnect(peer: PeerId): Promise<void> {
    for (const end of this.#ends) {
      if (end.link.peer !== peer) continue;
      this.#drop(end);
      this.#carry(end.other.wire)(end, () => end.other.wire.#drop(end.other));
    }
  }

  /** All connections with that address end here, and the other side is not told, as when a cable is pulled. */
  lose(address: string): void {
    for (const end of this.#ends) if (end.link.address === address) this.#drop(end);
  }

  /** Looks whether connections with that address still have another end, as pings do. */
  ping(address: string): void {
    for (const end of this.#ends)
      if (end.link.address === address && !end.other.wire.#ends.has(end.other)) this.#drop(end);
  }

  #drop(end: End): void {
    if (!this.#ends.delete(end)) return;
    for (const stream of end.streams) stream.lose(new MirrorError('PEER_UNREACHABLE', 'the connection ended'));
    for (const listener of this.#listeners) listener(end.link, false);
  }

  async open(peer: PeerId, protocol: string, limits: StreamLimits, signal: AbortSignal): Promise<Stream> {
    const end = [...this.#ends].find(one => one.link.peer === peer);
    if (!end) throw new MirrorError('PEER_UNREACHABLE', `there is no link with ${peer}`);
    const { wire } = end.other;
    const [there, back] = [new Pipe(this.#carry(wire)), new Pipe(wire.#carry(this))];
    const [local, remote] = streams(there, back, limits, wire.#handlers.get(protocol)?.limits ?? limits);
    end.streams.add(local);
    const stop = (): void => local.abort(asMirrorError(signal.reason, 'STOPPED', protocol));
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    there.arrives(() => wire.#accept(end.other, protocol, remote));
    return local;
  }

  #accept(end: End, protocol: string, stream: MemoryStream): void {
    const registered = this.#handlers.get(protocol);
    if (!registered || !this.#ends.has(end))
      return stream.abort(new MirrorError('PEER_UNREACHABLE', `${this.peer} does not take ${protocol}`));
    const { limits, handler, open } = registered;
    const { peer } = end.link;
    const count = open.get(peer) ?? 0;
    if (count >= limits.maxInbound)
      return stream.abort(new MirrorError('LIMIT_EXCEEDED', `more than ${limits.maxInbound} streams`));
    open.set(peer, count + 1);
    end.streams.add(stream);
    void handler(stream, end.link)
      .then(
        () => stream.close(),
        (error: unknown) => stream.abort(asMirrorError(error, 'PEER_UNREACHABLE', protocol)),
      )
      .finally(() => {
        open.set(peer, (open.get(peer) ?? 1) - 1);
        end.streams.delete(stream);
      });
  }

  handle(protocol: string, limits: StreamLimits, handler: Handler): void {
    this.#handlers.set(protocol, { limits, handler, open: new Map() });
  }

  async publish(topic: string, message: Uint8Array): Promise<void> {
    if (message.length > GOSSIP_MAX_BYTES) throw new MirrorError('LIMIT_EXCEEDED', `${message.length} bytes of gossip`);
    this.#see(idOf(message));
    this.#pass(topic, message);
  }

  subscribe(topic: string, judge: Judge): void {
    this.#judges.set(topic, judge);
  }

  /** Gossip that `from` brings. */
  async heard(from: PeerId, topic: string, message: Uint8Array): Promise<void> {
    const judge = this.#judges.get(topic);
    const id = idOf(message);
    if (!judge || this.#seen.has(id)) return;
    this.#see(id);
    if ((await judge(from, message)) === 'accept') this.#pass(topic, message, from);
  }

  async close(): Promise<void> {
    for (const end of this.#ends) await this.disconnect(end.link.peer);
    this.vanish();
  }

  #see(id: string): void {
    this.#seen.add(id);
    for (const oldest of this.#seen) if (this.#seen.size > SEEN_MAX) this.#seen.delete(oldest);
  }

  /** Cuts the node off without a word: nobody is told, nobody can dial it. */
  vanish(): void {
    for (const address of this.addresses)
      if (this.#network.wires.get(address) === this) this.#network.wires.delete(address);
  }

  #carry(to: MemoryWire): Carry {
    return (way, arrive) => this.#network.transit.carry(this.#address, to.#address, way, arrive);
  }

  /** To one end of each peer; gossip keeps no order. */
  #pass(topic: string, message: Uint8Array, but?: PeerId): void {
    const ends = new Map([...this.#ends].map(end => [end.link.peer, end.other]));
    for (const [peer, end] of ends)
      if (peer !== but)
        this.#carry(end.wire)({}, () => {
          if (end.wire.#ends.has(end)) void end.wire.heard(this.peer, topic, message);
        });
  }
}

const idOf = (message: Uint8Array): string => createHash('sha256').update(message).digest('hex');

function fail(stream: MemoryStream, error: unknown): never {
  stream.abort(new MirrorError('PEER_REFUSED', 'the other side closed'));
  throw error;
}

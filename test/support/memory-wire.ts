/**
 * The fake of the port `ControlWire`: nodes of one process, streams in memory. Passes test/conformance/wire.ts like the
 * wire on libp2p. A node can be cut off without a word, as when its cable is pulled.
 */
import { createHash } from 'node:crypto';
import { asMirrorError, MirrorError } from '../../src/errors.ts';
import type { PeerId } from '../../src/oci/oci.ts';
import type { ControlWire, Greet, Link, Stream, StreamLimits } from '../../src/peers/wire.ts';

/** Bytes on the way in one direction before the sender waits. */
const WINDOW_BYTES = 1 << 20;
const GOSSIP_MAX_BYTES = 64 * 1024;
const GREETING: StreamLimits = { maxFrame: 256 * 1024, maxInbound: 1 };

type Judge = (from: PeerId, message: Uint8Array) => Promise<'accept' | 'ignore' | 'reject'>;
type Handler = (stream: Stream, link: Link) => Promise<void>;

/** One direction of a stream. */
class Pipe {
  readonly frames: Uint8Array[] = [];
  bytes = 0;
  ended = false;
  error: Error | undefined;
  #waiters: (() => void)[] = [];

  changed(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }

  wait(): Promise<void> {
    return new Promise(resolve => this.#waiters.push(resolve));
  }
}

class MemoryStream implements Stream {
  readonly #out: Pipe;
  readonly #in: Pipe;
  readonly #maxFrame: number;

  constructor(out: Pipe, into: Pipe, maxFrame: number) {
    this.#out = out;
    this.#in = into;
    this.#maxFrame = maxFrame;
  }

  async send(frame: Uint8Array): Promise<void> {
    if (frame.length > this.#maxFrame) throw new MirrorError('LIMIT_EXCEEDED', `a frame of ${frame.length} bytes`);
    while (this.#out.bytes >= WINDOW_BYTES && !this.#out.error) await this.#out.wait();
    if (this.#out.error) throw asMirrorError(this.#out.error, 'PEER_UNREACHABLE', 'the stream ended');
    this.#out.frames.push(Uint8Array.from(frame));
    this.#out.bytes += frame.length;
    this.#out.changed();
  }

  async receive(): Promise<Uint8Array | undefined> {
    while (this.#in.frames.length === 0 && !this.#in.ended && !this.#in.error) await this.#in.wait();
    const frame = this.#in.frames.shift();
    if (!frame) {
      if (this.#in.error) throw asMirrorError(this.#in.error, 'PEER_UNREACHABLE', 'the stream ended');
      return undefined;
    }
    this.#in.bytes -= frame.length;
    this.#in.changed();
    if (frame.length <= this.#maxFrame) return frame;
    const error = new MirrorError('LIMIT_EXCEEDED', `a frame of ${frame.length} bytes came`);
    this.abort(error);
    throw error;
  }

  async close(): Promise<void> {
    this.#out.ended = true;
    this.#out.changed();
  }

  abort(reason: Error): void {
    for (const pipe of [this.#out, this.#in]) {
      pipe.error ??= reason;
      pipe.changed();
    }
  }
}

function streams(a: StreamLimits, b: StreamLimits): [MemoryStream, MemoryStream] {
  const [there, back] = [new Pipe(), new Pipe()];
  return [new MemoryStream(there, back, a.maxFrame), new MemoryStream(back, there, b.maxFrame)];
}

/** Where memory wires find each other. */
export class MemoryNetwork {
  readonly wires = new Map<string, MemoryWire>();
  #next = 1;

  /** A wire with an address of its own. */
  wire(peer: PeerId, greet: Greet): MemoryWire {
    const address = `10.0.${this.#next >> 8}.${this.#next++ & 255}:5001`;
    const wire = new MemoryWire(this, peer, address, greet);
    this.wires.set(address, wire);
    return wire;
  }
}

interface Ended {
  readonly link: Link;
  readonly other: MemoryWire;
  readonly open: Set<MemoryStream>;
}

export class MemoryWire implements ControlWire {
  readonly peer: PeerId;
  readonly addresses: readonly string[];
  readonly greet: Greet;
  readonly #network: MemoryNetwork;
  readonly #ends = new Set<Ended>();
  readonly #listeners: ((link: Link, open: boolean) => void)[] = [];
  readonly #handlers = new Map<string, { limits: StreamLimits; handler: Handler; open: Map<PeerId, number> }>();
  readonly #judges = new Map<string, Judge>();
  readonly #seen = new Set<string>();

  constructor(network: MemoryNetwork, peer: PeerId, address: string, greet: Greet) {
    this.#network = network;
    this.peer = peer;
    this.addresses = [address];
    this.greet = greet;
  }

  async dial(address: string, signal: AbortSignal): Promise<Link> {
    const other = this.#network.wires.get(address);
    if (!other) throw new MirrorError('PEER_UNREACHABLE', `nobody is at ${address}`);
    const [mine, theirs] = streams(GREETING, GREETING);
    const greets = await Promise.allSettled([
      this.greet(other.peer, mine, address, signal).catch((error: unknown) => fail(mine, error)),
      other.greet(this.peer, theirs, this.addresses[0]!, signal).catch((error: unknown) => fail(theirs, error)),
    ]);
    for (const end of greets)
      if (end.status === 'rejected') {
        const own = greets[0].status === 'rejected' ? (greets[0].reason as unknown) : undefined;
        throw own ?? new MirrorError('PEER_REFUSED', `${address} closed`);
      }
    const link: Link = { peer: other.peer, address, inbound: false };
    other.linked({ peer: this.peer, address: this.addresses[0]!, inbound: true }, this);
    this.linked(link, other);
    return link;
  }

  links(): readonly Link[] {
    return [...this.#ends].map(end => end.link);
  }

  onLink(listener: (link: Link, open: boolean) => void): void {
    this.#listeners.push(listener);
  }

  linked(link: Link, other: MemoryWire): void {
    this.#ends.add({ link, other, open: new Set() });
    for (const listener of this.#listeners) listener(link, true);
  }

  async disconnect(peer: PeerId): Promise<void> {
    for (const end of this.#ends)
      if (end.link.peer === peer) {
        end.other.unlinked(this.peer);
        this.unlinked(peer);
      }
  }

  unlinked(peer: PeerId): void {
    for (const end of this.#ends) {
      if (end.link.peer !== peer) continue;
      this.#ends.delete(end);
      for (const stream of end.open) stream.abort(new MirrorError('PEER_UNREACHABLE', 'the connection ended'));
      for (const listener of this.#listeners) listener(end.link, false);
    }
  }

  async open(peer: PeerId, protocol: string, limits: StreamLimits, signal: AbortSignal): Promise<Stream> {
    const end = [...this.#ends].find(one => one.link.peer === peer);
    if (!end) throw new MirrorError('PEER_UNREACHABLE', `there is no link with ${peer}`);
    const stream = end.other.accept(this.peer, protocol, limits);
    if (!stream) throw new MirrorError('PEER_UNREACHABLE', `${peer} does not take ${protocol}`);
    end.open.add(stream);
    signal.addEventListener('abort', () => stream.abort(asMirrorError(signal.reason, 'STOPPED', protocol)), {
      once: true,
    });
    return stream;
  }

  accept(peer: PeerId, protocol: string, theirs: StreamLimits): MemoryStream | undefined {
    const registered = this.#handlers.get(protocol);
    const end = [...this.#ends].find(one => one.link.peer === peer);
    if (!registered || !end) return undefined;
    const { limits, handler, open } = registered;
    const [remote, local] = streams(theirs, limits);
    const count = open.get(peer) ?? 0;
    if (count >= limits.maxInbound) {
      local.abort(new MirrorError('LIMIT_EXCEEDED', `more than ${limits.maxInbound} streams`));
      return remote;
    }
    open.set(peer, count + 1);
    end.open.add(local);
    void handler(local, end.link)
      .then(
        () => local.close(),
        (error: unknown) => local.abort(asMirrorError(error, 'PEER_UNREACHABLE', protocol)),
      )
      .finally(() => {
        open.set(peer, (open.get(peer) ?? 1) - 1);
        end.open.delete(local);
      });
    return remote;
  }

  handle(protocol: string, limits: StreamLimits, handler: Handler): void {
    this.#handlers.set(protocol, { limits, handler, open: new Map() });
  }

  async publish(topic: string, message: Uint8Array): Promise<void> {
    if (message.length > GOSSIP_MAX_BYTES) throw new MirrorError('LIMIT_EXCEEDED', `${message.length} bytes of gossip`);
    this.#seen.add(idOf(message));
    this.#pass(topic, message);
  }

  subscribe(topic: string, judge: Judge): void {
    this.#judges.set(topic, judge);
  }

  async heard(from: PeerId, topic: string, message: Uint8Array): Promise<void> {
    const judge = this.#judges.get(topic);
    if (!judge || this.#seen.has(idOf(message))) return;
    this.#seen.add(idOf(message));
    if ((await judge(from, message)) === 'accept') this.#pass(topic, message, from);
  }

  async close(): Promise<void> {
    for (const end of this.#ends) await this.disconnect(end.link.peer);
    this.vanish();
  }

  /** Cuts the node off without a word: nobody is told, nobody can dial it. */
  vanish(): void {
    for (const address of this.addresses) this.#network.wires.delete(address);
  }

  #pass(topic: string, message: Uint8Array, but?: PeerId): void {
    const peers = new Map([...this.#ends].map(end => [end.link.peer, end.other]));
    for (const [peer, wire] of peers) if (peer !== but) void wire.heard(this.peer, topic, message);
  }
}

const idOf = (message: Uint8Array): string => createHash('sha256').update(message).digest('hex');

function fail(stream: MemoryStream, error: unknown): never {
  stream.abort(new MirrorError('PEER_REFUSED', 'the other side closed'));
  throw error;
}

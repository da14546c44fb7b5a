/**
 * The control plane on libp2p: tcp, noise inside our encrypter, yamux, identify, gossipsub. Promises: the port `wire.ts`;
 * handshakes, connections, streams and buffers are bounded by the constants here; nothing else is registered. Refuses to
 * know statements and who is trusted. Spec: PROTOCOL.md, "Connections" and "Gossip".
 */
import { createHash } from 'node:crypto';
import { yamux } from '@chainsafe/libp2p-yamux';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { type GossipSub, gossipsub, StrictNoSign, TopicValidatorResult } from '@libp2p/gossipsub';
import { identify } from '@libp2p/identify';
import type { Connection, MessageStream } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr';
import { createLibp2p, type Libp2p } from 'libp2p';
import { asMirrorError, MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import type { World } from '../world.ts';
import { formatAddress, parseAddress, withinRanges } from './address.ts';
import { encrypter, GREETING_TIMEOUT_MS } from './encrypter.ts';
import { type ByteStream, FramedStream } from './framed.ts';
import { InboundHandshakes, PENDING_MAX } from './inbound-handshakes.ts';
import { InboundStreams, type Refused, type StreamHandler } from './inbound-streams.ts';
import { Knocks } from './knocks.ts';
import type { ControlWire, Greet, Link, StreamLimits } from './wire.ts';

/** What libp2p may count: it notices late that one has ended. */
const PENDING_COUNTED_MAX = 4 * PENDING_MAX;
/** Connections in all, both ways. */
export const CONNECTIONS_MAX = 256;
/** Connections with one peer; two arise when both dial at once. */
export const CONNECTIONS_PER_PEER_MAX = 4;
/** New inbound connections per second from one host; many nodes may share one address. */
export const INBOUND_PER_HOST_PER_SECOND = 128;
/** One gossip message. */
export const GOSSIP_MAX_BYTES = 64 * 1024;

/** What choosing noise may take before the greeting begins to count. */
const NEGOTIATION_MS = 1_000;
const PING_INTERVAL_MS = 5_000;
const PING_TIMEOUT_MS = { minTimeout: 5_000, maxTimeout: 10_000 };
const STREAM_WINDOW_MAX_BYTES = 1 << 20;
const STREAMS_PER_CONNECTION_MAX = 64;
const SOCKET_QUIET_MAX_MS = 60_000;
/** Twice the bound reaches the judge, so that it can be refused by name; more is dropped by gossipsub. */
const GOSSIP_DECODE_MAX_BYTES = 2 * GOSSIP_MAX_BYTES;
const TOPICS = ['pinnace/1', 'pinnace/policy/1'];

export interface ControlWireOptions {
  /** The 32-byte Ed25519 seed of the node key. */
  readonly seed: Uint8Array;
  /** Bytes that both sides must agree on; names the cluster. */
  readonly prologue: Uint8Array;
  /** `host:port` to listen on; port 0 takes a free one. */
  readonly listen: string;
  readonly greet: Greet;
  /** Only these may connect, e.g. 10.0.0.0/8; none: everybody may try. */
  readonly peerCidrs?: readonly string[];
  readonly world: World;
  /** Closes everything. */
  readonly signal: AbortSignal;
  /** Hears of refusals that no greeting made: foreign handshakes, ranges, too many connections or streams. */
  readonly refused?: Refused;
}

/** A wire that listens at `addresses`, each `host:port`; for a wildcard, those of all interfaces. */
export type ListeningWire = ControlWire & { readonly addresses: readonly string[] };

/** Listens and is ready to dial. @throws PORT_TAKEN, CONFIG_INVALID */
export async function createControlWire(options: ControlWireOptions): Promise<ListeningWire> {
  const wire = new Libp2pWire(options);
  await wire.start();
  options.signal.addEventListener('abort', () => void wire.close(), { once: true });
  return wire;
}

class Libp2pWire implements ControlWire {
  readonly #options: ControlWireOptions;
  readonly #allowed: (host: string) => boolean;
  readonly #links = new Map<Connection, Link>();
  readonly #greeting = new Map<PeerId, number>();
  readonly #handshakes: InboundHandshakes;
  readonly #knocks: Knocks;
  readonly #dialErrors = new Map<string, MirrorError>();
  readonly #listeners: ((link: Link, open: boolean) => void)[] = [];
  #node!: Libp2p<{ pubsub: GossipSub }>;

  constructor(options: ControlWireOptions) {
    this.#options = options;
    this.#handshakes = new InboundHandshakes(options.refused);
    this.#allowed = withinRanges(options.peerCidrs ?? []);
    this.#knocks = new Knocks(options.world, (host, error) => options.refused?.(host, error));
  }

  get addresses(): readonly string[] {
    return [...new Set(this.#node.getMultiaddrs().map(hostPort))];
  }

  async start(): Promise<void> {
    try {
      this.#node = await this.#create();
    } catch (error) {
      const taken = String(error).includes('EADDRINUSE');
      const what = `cannot listen on ${this.#options.listen}`;
      throw asMirrorError(error, taken ? 'PORT_TAKEN' : 'CONFIG_INVALID', what);
    }
    this.#node.addEventListener('connection:open', event => this.#opened(event.detail));
    this.#node.addEventListener('connection:close', event => this.#closed(event.detail));
    await this.#node.start();
  }

  async dial(address: string, signal: AbortSignal): Promise<Link> {
    const { host, port } = parseAddress(address);
    const target = multiaddr(`/${host.includes(':') ? 'ip6' : 'ip4'}/${host}/tcp/${port}`);
    const key = hostPort(target);
    try {
      this.#dialErrors.delete(key);
      const connection = await this.#node.dial(target, { signal });
      const link = this.#links.get(connection);
      if (!link) throw new MirrorError('PEER_UNREACHABLE', `${address} closed the connection at once`);
      return link;
    } catch (error) {
      throw this.#dialErrors.get(key) ?? asMirrorError(error, 'PEER_UNREACHABLE', `nobody answers at ${address}`);
    } finally {
      this.#dialErrors.delete(key);
    }
  }

  links(): readonly Link[] {
    return [...this.#links.values()];
  }

  onLink(listener: (link: Link, open: boolean) => void): void {
    this.#listeners.push(listener);
  }

  async disconnect(peer: PeerId): Promise<void> {
    for (const [connection, link] of this.#links)
      if (link.peer === peer)
        connection.abort(new MirrorError('PEER_REFUSED', `this node ended the connection with ${peer}`));
  }

  async open(peer: PeerId, protocol: string, limits: StreamLimits, signal: AbortSignal): Promise<FramedStream> {
    const connection = [...this.#links].find(([c, link]) => link.peer === peer && c.status === 'open')?.[0];
    if (!connection) throw new MirrorError('PEER_UNREACHABLE', `there is no connection with ${peer}`);
    try {
      const stream = await connection.newStream(protocol, { signal, maxOutboundStreams: STREAMS_PER_CONNECTION_MAX });
      const framed = new FramedStream(stream as unknown as ByteStream, limits.maxFrame);
      const stop = (): void => framed.abort(asMirrorError(signal.reason, 'STOPPED', `${protocol} with ${peer}`));
      signal.addEventListener('abort', stop, { once: true });
      stream.addEventListener('close', () => signal.removeEventListener('abort', stop), { once: true });
      return framed;
    } catch (error) {
      throw asMirrorError(error, 'PEER_UNREACHABLE', `${peer} does not take a stream of ${protocol}`);
    }
  }

  handle(protocol: string, limits: StreamLimits, handler: StreamHandler): void {
    const inbound = new InboundStreams(protocol, limits, handler, this.#options.refused);
    const onStream = (stream: unknown, connection: Connection): void =>
      void inbound.accept(stream as ByteStream, this.#links.get(connection));
    void this.#node.handle(protocol, onStream, { maxInboundStreams: STREAMS_PER_CONNECTION_MAX });
  }

  async publish(topic: string, message: Uint8Array): Promise<void> {
    if (message.length > GOSSIP_MAX_BYTES)
      throw new MirrorError('LIMIT_EXCEEDED', `${message.length} bytes are too many for gossip (${GOSSIP_MAX_BYTES})`);
    try {
      await this.#node.services.pubsub.publish(topic, message);
    } catch (error) {
      throw asMirrorError(error, 'PEER_UNREACHABLE', `gossip on ${topic}`);
    }
  }

  subscribe(
    topic: string,
    judge: (from: PeerId, message: Uint8Array) => Promise<'accept' | 'ignore' | 'reject'>,
  ): void {
    this.#node.services.pubsub.topicValidators.set(topic, async (from, message) => {
      const verdict = await judge(from.toString() as PeerId, message.data);
      if (verdict === 'accept') return TopicValidatorResult.Accept;
      return verdict === 'ignore' ? TopicValidatorResult.Ignore : TopicValidatorResult.Reject;
    });
    this.#node.services.pubsub.subscribe(topic);
  }

  async close(): Promise<void> {
    for (const connection of this.#links.keys()) connection.abort(new MirrorError('STOPPED', 'this node stops'));
    await this.#node.stop();
  }

  async #create(): Promise<Libp2p<{ pubsub: GossipSub }>> {
    const { host, port } = parseAddress(this.#options.listen, true);
    // libp2p hands them on to the server of node:net, and names only some of them.
    const listenOpts = { noDelay: true, blockList: this.#knocks };
    return createLibp2p({
      privateKey: await generateKeyPairFromSeed('Ed25519', this.#options.seed),
      start: false,
      nodeInfo: { name: 'pinnace', version: '1', userAgent: 'pinnace/1' },
      addresses: { listen: [`/${host.includes(':') ? 'ip6' : 'ip4'}/${host}/tcp/${port}`] },
      transports: [
        tcp({
          listenOpts,
          inboundSocketInactivityTimeout: SOCKET_QUIET_MAX_MS,
          outboundSocketInactivityTimeout: SOCKET_QUIET_MAX_MS,
        }),
      ],
      connectionEncrypters: [this.#encrypter()],
      streamMuxers: [
        yamux({
          maxInboundStreams: STREAMS_PER_CONNECTION_MAX,
          maxOutboundStreams: STREAMS_PER_CONNECTION_MAX,
          streamOptions: { maxStreamWindowSize: STREAM_WINDOW_MAX_BYTES },
        }),
      ],
      connectionMonitor: { pingInterval: PING_INTERVAL_MS, pingTimeout: PING_TIMEOUT_MS, protocolPrefix: 'pinnace' },
      connectionManager: {
        maxConnections: CONNECTIONS_MAX,
        maxIncomingPendingConnections: PENDING_COUNTED_MAX,
        inboundConnectionThreshold: INBOUND_PER_HOST_PER_SECOND,
        inboundUpgradeTimeout: GREETING_TIMEOUT_MS + NEGOTIATION_MS,
        dialTimeout: 2 * GREETING_TIMEOUT_MS,
        reconnectRetries: 0,
      },
      connectionGater: {
        denyDialMultiaddr: () => false,
        denyInboundConnection: raw => {
          const address = hostPort(raw.remoteAddr);
          if (this.#outside(address)) return true;
          this.#handshakes.begin(raw, address);
          return false;
        },
      },
      services: { identify: identify({ runOnConnectionOpen: true }), pubsub: this.#gossip() },
    });
  }

  #encrypter(): ReturnType<typeof encrypter> {
    return encrypter({
      world: this.#options.world,
      prologue: this.#options.prologue,
      greet: this.#options.greet,
      reserve: peer => this.#reserve(peer),
      began: address => this.#handshakes.began(address),
      addressOf: (connection: MessageStream) =>
        hostPort((connection as unknown as { remoteAddr: Multiaddr }).remoteAddr),
      failed: (stage, inbound, address, error, peer) => {
        if (!inbound) return void this.#dialErrors.set(address, error);
        this.#knocks.failed(parseAddress(address).host);
        if (stage === 'before') this.#options.refused?.(address, error, peer);
      },
    });
  }

  #gossip(): ReturnType<typeof gossipsub> {
    return gossipsub({
      globalSignaturePolicy: StrictNoSign,
      msgIdFn: message => createHash('sha256').update(message.data).digest(),
      allowedTopics: TOPICS,
      allowPublishToZeroTopicPeers: true,
      ignoreDuplicatePublishError: true,
      fallbackToFloodsub: false,
      doPX: false,
      emitSelf: false,
      floodPublish: true,
      maxInboundDataLength: GOSSIP_DECODE_MAX_BYTES,
      maxOutboundBufferSize: 8 * GOSSIP_DECODE_MAX_BYTES,
    });
  }

  #outside(address: string): boolean {
    if (this.#allowed(parseAddress(address).host)) return false;
    this.#options.refused?.(address, new MirrorError('PEER_REFUSED', `${address} is outside peerCidrs`));
    return true;
  }

  /** Counts finished and greeting connections together, so that a burst cannot pass the bound. */
  #reserve(peer: PeerId): () => void {
    const greeting = this.#greeting.get(peer) ?? 0;
    const linked = this.links().filter(link => link.peer === peer).length;
    if (greeting + linked >= CONNECTIONS_PER_PEER_MAX)
      throw new MirrorError(
        'LIMIT_EXCEEDED',
        `${peer} has ${CONNECTIONS_PER_PEER_MAX} connections with this node already`,
      );
    this.#greeting.set(peer, greeting + 1);
    return () => {
      const left = (this.#greeting.get(peer) ?? 1) - 1;
      if (left > 0) this.#greeting.set(peer, left);
      else this.#greeting.delete(peer);
    };
  }

  #opened(connection: Connection): void {
    const link: Link = {
      peer: connection.remotePeer.toString() as PeerId,
      address: hostPort(connection.remoteAddr),
      inbound: connection.direction === 'inbound',
    };
    if (link.inbound) this.#handshakes.linked(link.address);
    this.#links.set(connection, link);
    for (const listener of this.#listeners) listener(link, true);
  }

  #closed(connection: Connection): void {
    const link = this.#links.get(connection);
    this.#links.delete(connection);
    if (link) for (const listener of this.#listeners) listener(link, false);
  }
}

function hostPort(address: Multiaddr): string {
  const parts = address.getComponents();
  const value = (name: string): string => parts.find(part => part.name === name)?.value ?? '';
  return formatAddress(value('ip4') || value('ip6'), Number(value('tcp')));
}

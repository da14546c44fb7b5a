/**
 * The room as one: implements the port `Peers` on the control plane and the lanes. Promises: a look-up is local memory; a
 * question to a node that is not connected dials it first; a peer that failed is asked later. Refuses to know whom to
 * trust and what to give away: it is given `members` and a `giver`.
 */
import { resolve4, resolve6 } from 'node:dns/promises';
import { hasCode } from '../errors.ts';
import type { Digest, Node, PeerId, TagReference } from '../oci/oci.ts';
import type { Proof } from '../proof/proof.ts';
import type { Keep, World } from '../world.ts';
import { formatAddress, isLoopback, parseAddress, parseBootstrap } from './address.ts';
import { ADDRESSES_MAX } from './bodies.ts';
import { ControlPlane } from './control-plane.ts';
import type { Resolve } from './discovery.ts';
import { greeter } from './greeting.ts';
import { createLanes, type Lanes } from './lane.ts';
import type { LaneLimits } from './lane-rooms.ts';
import type {
  Chunk,
  Giver,
  Holder,
  Holding,
  Log,
  Membership,
  OwnKey,
  Peers,
  PeerStatus,
  RecordEvent,
  TagStatement,
  Verify,
} from './peers.ts';
import { Standing } from './standing.ts';
import { createLaneWire } from './wire-lane.ts';
import { createControlWire } from './wire-libp2p.ts';
import type { ControlWire, LaneWire, Link } from './wire.ts';

/** What every node of a cluster must agree on; the cluster's id follows. */
const PROLOGUE = 'pinnace/1/';

export interface PeersConfig {
  /** `host:port` of the control plane; lanes listen on the same host. */
  readonly listen: string;
  readonly lanePort: number;
  /** What others dial; none: the addresses that are listened on. */
  readonly advertise: readonly string[];
  /** `host:port` or `dns:NAME:PORT`. */
  readonly bootstrap: readonly string[];
  readonly peerCidrs: readonly string[];
  readonly lanes?: LaneLimits;
}

export interface PeersOptions {
  readonly world: World;
  readonly self: OwnKey & { readonly seed: Uint8Array; readonly cluster: { readonly id: string } };
  readonly members: Membership;
  readonly verify: Verify;
  readonly giver: Giver;
  readonly record: RecordEvent;
  readonly log: Log;
  readonly keeps: { readonly nodes: Keep; readonly tags: Keep };
  readonly config: PeersConfig;
  /** Ends everything. */
  readonly signal: AbortSignal;
  /** All addresses of a host name; the machine's own resolver unless given. */
  readonly resolve?: Resolve;
  /** Other wires than the machine's network; both or none. */
  readonly wires?: {
    readonly control: ControlWire & { readonly addresses: readonly string[] };
    readonly lane: LaneWire;
  };
}

/** The port, and what its builder alone uses. */
export interface OpenPeers extends Peers {
  /** The `host:port`s that other nodes are told to dial. */
  readonly addresses: readonly string[];
  /** The link with a known node, dialled where there is none. @throws PEER_UNREACHABLE, PEER_REFUSED, STOPPED */
  connect(peer: PeerId, signal: AbortSignal): Promise<Link>;
  /** Ends all links and lanes, and writes what waits to be kept. */
  close(): Promise<void>;
}

/** Listens, says where it is, and begins to seek others. @throws PORT_TAKEN, CONFIG_INVALID, FILE_UNREADABLE, AUDIT_UNAVAILABLE */
export async function createPeers(options: PeersOptions): Promise<OpenPeers> {
  const { world, self, members, record, log, config, signal, wires } = options;
  const control = wires?.control ?? (await listen(options));
  const addresses = advertised(config, control.addresses);
  let lanes: Lanes | undefined;
  try {
    const plane = new ControlPlane({
      ...options,
      wire: control,
      bootstrap: config.bootstrap.map(parseBootstrap),
      resolve: options.resolve ?? resolveHost,
      own: [...control.addresses, ...addresses],
      revoked: peer => lanes?.dropPeer(peer),
    });
    const { host } = parseAddress(config.listen, true);
    lanes = await createLanes({
      ...{ world, control, record, signal, giver: options.giver, self: self.peer },
      wire: wires?.lane ?? createLaneWire({ world, peerCidrs: config.peerCidrs }),
      listen: formatAddress(host, config.lanePort),
      nodeOf: peer => members.node(peer),
      addressOf: peer => laneOf(control, plane, peer),
      ...(config.lanes ? { limits: config.lanes } : {}),
    });
    await members.offerCredential(self.credential()).catch((error: unknown) => {
      log('warn', `this node's own credential does not hold: ${(error as Error).message}`);
    });
    await plane.start();
    await plane.stating.reachable(addresses, lanes.port);
    return new PeersNode(options, control, plane, lanes, addresses);
  } catch (error) {
    await lanes?.close();
    await control.close();
    throw error;
  }
}

/** What others are told to dial; loopback only where nothing else is listened on. */
function advertised({ advertise }: PeersConfig, listening: readonly string[]): readonly string[] {
  if (advertise.length > 0) return advertise.slice(0, ADDRESSES_MAX);
  const outer = listening.filter(address => !isLoopback(parseAddress(address).host));
  return (outer.length > 0 ? outer : listening).slice(0, ADDRESSES_MAX);
}

function listen({
  world,
  self,
  members,
  record,
  log,
  config,
  signal,
}: PeersOptions): ReturnType<typeof createControlWire> {
  return createControlWire({
    ...{ world, signal, seed: self.seed, listen: config.listen, peerCidrs: config.peerCidrs },
    prologue: Buffer.from(PROLOGUE + self.cluster.id),
    greet: greeter({ self, members, record }),
    refused: (address, { code }, peer) => {
      record({ event: 'peer.refused', address, code, ...(peer ? { peer } : {}) }).catch((error: unknown) =>
        log('warn', `no record of ${address}: ${String(error)}`),
      );
    },
  });
}

/** Lanes go where the control connection went, not where a record says. */
function laneOf(
  control: ControlWire,
  plane: ControlPlane,
  peer: PeerId,
): { host: string; lanePort: number } | undefined {
  const link = control.links().find(one => one.peer === peer);
  const lanePort = plane.table.nodes.get(peer)?.body.lanePort;
  return link && lanePort ? { host: parseAddress(link.address).host, lanePort } : undefined;
}

async function resolveHost(host: string): Promise<readonly string[]> {
  const found = await Promise.allSettled([resolve4(host), resolve6(host)]);
  const hosts = found.flatMap(one => (one.status === 'fulfilled' ? one.value : []));
  if (hosts.length === 0 && found[0]?.status === 'rejected') throw found[0].reason;
  return hosts;
}

class PeersNode implements OpenPeers {
  readonly addresses: readonly string[];
  readonly #options: PeersOptions;
  readonly #control: ControlWire;
  readonly #plane: ControlPlane;
  readonly #lanes: Lanes;
  readonly #standing: Standing;

  constructor(
    options: PeersOptions,
    control: ControlWire,
    plane: ControlPlane,
    lanes: Lanes,
    addresses: readonly string[],
  ) {
    this.#options = options;
    this.#control = control;
    this.#plane = plane;
    this.#lanes = lanes;
    this.#standing = new Standing(options.world);
    this.addresses = addresses;
  }

  holders(digest: Digest): readonly Holder[] {
    const { world, self, members } = this.#options;
    const holders = this.#plane.table.holdings.find(digest, world.now()).flatMap(found => {
      const node = members.node(found.peer);
      if (!node?.roles.has('serve') || found.peer === self.peer) return [];
      return {
        node,
        ...found.holding,
        get statement() {
          return found.statement();
        },
      };
    });
    return this.#standing.rank(holders, members.node(self.peer)?.zone, this.#linked());
  }

  tagStatements(reference: TagReference): readonly (TagStatement & { readonly node: Node })[] {
    return [...this.#plane.table.tagIndex.find(reference)].flatMap(([peer, tag]) => this.#counting(peer, [tag]));
  }

  statedTags(): readonly (TagStatement & { readonly node: Node })[] {
    return [...this.#plane.table.tags.entries()].flatMap(([peer, { body }]) => this.#counting(peer, body.tags));
  }

  hold(holdings: readonly Holding[]): Promise<void> {
    return this.#plane.stating.hold(holdings);
  }

  stateTags(tags: readonly TagStatement[]): Promise<void> {
    return this.#plane.stating.stateTags(tags);
  }

  async proof(peer: PeerId, digest: Digest, size: number, signal: AbortSignal): Promise<Proof> {
    try {
      await this.connect(peer, signal);
      return await this.#plane.questions.proof(peer, digest, size, signal);
    } catch (error) {
      this.#failed(peer, error, signal);
      throw error;
    }
  }

  async *read(peer: PeerId, digest: Digest, offset: number, length: number, signal: AbortSignal): AsyncIterable<Chunk> {
    try {
      await this.connect(peer, signal);
      yield* this.#lanes.read(peer, digest, offset, length, signal);
    } catch (error) {
      this.#failed(peer, error, signal);
      throw error;
    }
  }

  shun(peer: PeerId, doubt?: Digest): void {
    this.#standing.shun(peer);
    if (doubt === undefined || !this.#linked().has(peer)) return;
    this.#plane.questions.doubt(peer, doubt).catch((error: unknown) => {
      this.#options.log('debug', `telling ${peer} a doubt: ${(error as Error).message}`, { peer });
    });
  }

  status(): readonly PeerStatus[] {
    const links = new Map(this.#control.links().map(link => [link.peer, link]));
    return this.#options.members
      .nodes()
      .filter(node => node.peer !== this.#options.self.peer)
      .map(node => {
        const address = links.get(node.peer)?.address ?? this.#plane.addressesOf(node.peer)[0];
        const shunnedUntil = this.#standing.shunnedUntil(node.peer);
        const mark = this.#plane.table.holdings.mark(node.peer);
        return {
          node,
          connected: links.has(node.peer),
          holdings: mark && mark.notAfter > this.#options.world.now() ? mark.count : 0,
          lanes: this.#lanes.countFor(node.peer),
          ...(address === undefined ? {} : { address }),
          ...(shunnedUntil === undefined ? {} : { shunnedUntil }),
        };
      });
  }

  connect(peer: PeerId, signal: AbortSignal): Promise<Link> {
    return this.#plane.connect(peer, signal);
  }

  async close(): Promise<void> {
    await this.#lanes.close();
    await this.#control.close();
    await this.#plane.flush();
  }

  /** Statements of `peer`, where they count: it holds a credential with the role, and is not this node. */
  #counting(peer: PeerId, tags: readonly TagStatement[]): (TagStatement & { readonly node: Node })[] {
    const node = peer === this.#options.self.peer ? undefined : this.#options.members.node(peer);
    return node?.roles.has('attest') ? tags.map(tag => ({ ...tag, node })) : [];
  }

  #linked(): ReadonlySet<PeerId> {
    return new Set(this.#control.links().map(link => link.peer));
  }

  #failed(peer: PeerId, error: unknown, signal: AbortSignal): void {
    // A reader that was called off, or content that is not there, says nothing about the peer.
    if (!signal.aborted && !hasCode(error, 'CONTENT_ABSENT', 'STOPPED')) this.#standing.failed(peer);
  }
}

/**
 * The port `Peers` on an open control plane and open lanes. Promises: a look-up is local memory; a question to a node that
 * is not connected dials it first; a peer that failed is asked later. Refuses to know wires and whom to trust.
 */
import { hasCode } from '../errors.ts';
import type { Digest, Node, PeerId, TagReference } from '../oci/oci.ts';
import type { Proof } from '../proof/proof.ts';
import type { World } from '../world.ts';
import type { ControlPlane } from './control-plane.ts';
import type { Lanes } from './lane.ts';
import type {
  Chunk,
  Clone,
  Holder,
  Holding,
  Log,
  Membership,
  Peers,
  PeerStatus,
  Referrer,
  TagStatement,
} from './peers.ts';
import { Standing } from './standing.ts';
import type { ControlWire, Link } from './wire.ts';

/** The port, and what its builder alone uses. */
export interface OpenPeers extends Peers {
  /** The `host:port`s that other nodes are told to dial. */
  readonly addresses: readonly string[];
  /** The link with a known node, dialled where there is none. @throws PEER_UNREACHABLE, PEER_REFUSED, STOPPED */
  connect(peer: PeerId, signal: AbortSignal): Promise<Link>;
  /** Ends all links and lanes, and writes what waits to be kept. */
  close(): Promise<void>;
}

export interface RoomOptions {
  readonly world: World;
  readonly self: { readonly peer: PeerId };
  readonly members: Membership;
  readonly log: Log;
}

/** The room on a control plane and lanes that are open already. */
export class PeersNode implements OpenPeers {
  readonly addresses: readonly string[];
  readonly #options: RoomOptions;
  readonly #control: ControlWire;
  readonly #plane: ControlPlane;
  readonly #lanes: Lanes;
  readonly #standing: Standing;

  constructor(
    options: RoomOptions,
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
    return this.#plane.hold(holdings);
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

  async referrers(peer: PeerId, subject: Digest, signal: AbortSignal): Promise<readonly Referrer[]> {
    try {
      await this.connect(peer, signal);
      return await this.#plane.questions.referrers(peer, subject, signal);
    } catch (error) {
      // A node of an older version takes no such stream, and is as good for content as before.
      if (hasCode(error, 'FRAME_INVALID', 'LIMIT_EXCEEDED', 'TIMED_OUT')) this.#failed(peer, error, signal);
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
        const now = this.#options.world.now();
        const mark = this.#plane.table.holdings.mark(node.peer);
        const told = this.#plane.table.limited.count(node.peer, now);
        return {
          node,
          connected: links.has(node.peer),
          holdings: (mark && mark.notAfter > now ? mark.count : 0) + told,
          lanes: this.#lanes.countFor(node.peer),
          ...(address === undefined ? {} : { address }),
          ...(shunnedUntil === undefined ? {} : { shunnedUntil }),
        };
      });
  }

  clones(): readonly (Clone & { readonly node: Node })[] {
    return this.#plane.table.clones.list().flatMap(clone => {
      const node = this.#options.members.node(clone.peer);
      return node ? { ...clone, node } : [];
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

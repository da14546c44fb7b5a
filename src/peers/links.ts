/** The links that are open, since when, and some of their peers by chance. Refuses to know what is said on them. */
import type { PeerId } from '../oci/oci.ts';
import type { World } from '../world.ts';
import type { ControlWire, Link } from './wire.ts';

/** Gossip does not reach a younger link yet: a stream does. */
const YOUNG_LINK_MS = 5_000;

export class Links {
  readonly #world: World;
  readonly #wire: ControlWire;
  readonly #openedAt = new Map<Link, number>();

  constructor(world: World, wire: ControlWire) {
    this.#world = world;
    this.#wire = wire;
  }

  /** Begins to watch; `opened` hears of each link that this node dialled. */
  start(opened: (link: Link) => void): void {
    this.#wire.onLink((link, open) => {
      if (!open) return void this.#openedAt.delete(link);
      this.#openedAt.set(link, this.#world.monotonic());
      if (!link.inbound) opened(link);
    });
  }

  /** Whether the link is still there. */
  has(link: Link): boolean {
    return this.#openedAt.has(link);
  }

  /** Peers whom gossip may not have reached. */
  young(): readonly PeerId[] {
    const since = this.#world.monotonic() - YOUNG_LINK_MS;
    return [...this.#openedAt].flatMap(([{ peer }, at]) => (at > since ? [peer] : []));
  }

  /** Up to `most` connected peers, by chance. */
  some(most: number, but?: PeerId): readonly PeerId[] {
    const peers = [...new Set(this.#wire.links().map(link => link.peer))].filter(peer => peer !== but);
    const chance = this.#world.random(peers.length);
    return peers
      .map((peer, i) => [chance[i]!, peer] as const)
      .sort((a, b) => a[0] - b[0])
      .slice(0, most)
      .map(([, peer]) => peer);
  }
}

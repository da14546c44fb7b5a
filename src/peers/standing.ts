/**
 * Whom to ask first: nodes of the own zone, then who failed least recently, then who is connected, then chance; who was
 * shunned comes last for a while. Refuses to know what was asked and why it failed.
 */
import type { Node, PeerId } from '../oci/oci.ts';
import type { World } from '../world.ts';

/** How long a peer is asked last after it lied or stalled. */
export const SHUN_MS = 60_000;
/** How long a failure counts. */
const FAILURE_MS = 600_000;

export class Standing {
  readonly #world: World;
  readonly #shunned = new Map<PeerId, number>();
  readonly #failed = new Map<PeerId, number>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Puts a peer last for SHUN_MS. */
  shun(peer: PeerId): void {
    this.#shunned.set(peer, this.#world.now() + SHUN_MS);
    this.failed(peer);
  }

  /** A peer did not answer. */
  failed(peer: PeerId): void {
    const now = this.#world.now();
    for (const [one, at] of this.#failed) if (at + FAILURE_MS < now) this.#failed.delete(one);
    for (const [one, until] of this.#shunned) if (until < now) this.#shunned.delete(one);
    this.#failed.set(peer, now);
  }

  /** Milliseconds since 1970 until which `peer` is asked last. */
  shunnedUntil(peer: PeerId): number | undefined {
    const until = this.#shunned.get(peer);
    return until !== undefined && until > this.#world.now() ? until : undefined;
  }

  /** Sorts, the best to ask first. */
  rank<T extends { readonly node: Node }>(
    all: readonly T[],
    zone: string | undefined,
    linked: ReadonlySet<PeerId>,
  ): T[] {
    const chance = this.#world.random(4 * all.length);
    const view = new DataView(chance.buffer, chance.byteOffset, chance.byteLength);
    return all
      .map((item, i) => {
        const { peer } = item.node;
        const shunned = this.shunnedUntil(peer) === undefined ? 0 : 1;
        const far = zone !== undefined && item.node.zone === zone ? 0 : 1;
        const keys = [
          shunned,
          far,
          this.#failed.get(peer) ?? 0,
          linked.has(peer) ? 0 : 1,
          view.getUint32(4 * i),
        ] as const;
        return { item, keys };
      })
      .sort((a, b) => compare(a.keys, b.keys))
      .map(({ item }) => item);
  }
}

function compare(a: readonly number[], b: readonly number[]): number {
  const i = a.findIndex((key, at) => key !== b[at]);
  return i < 0 ? 0 : a[i]! - b[i]!;
}

/**
 * Whom to ask first: nodes of the own zone, then who failed least recently, then who is connected, then chance; who was
 * shunned comes last for a while. Refuses to know what was asked and why it failed.
 */
import type { Node, PeerId } from '../oci/oci.ts';
import type { World } from '../world.ts';

/** How long a peer is asked last after it lied or stalled. */
export const SHUN_MS = 60_000;
/** Peers that are put in order, of however many; a look-up among a thousand holders must stay far below a millisecond. */
export const RANKED = 32;
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

  /** All of them, the best RANKED to ask first and in order; whoever asks more has bad luck enough. */
  rank<T extends { readonly node: Node }>(
    all: readonly T[],
    zone: string | undefined,
    linked: ReadonlySet<PeerId>,
  ): T[] {
    const chance = this.#world.random(4 * all.length);
    const view = new DataView(chance.buffer, chance.byteOffset, chance.byteLength);
    const best: Place[] = [];
    const rest: T[] = [];
    all.forEach((item, at) => {
      const { peer, zone: where } = item.node;
      const group = (this.shunnedUntil(peer) === undefined ? 0 : 2) + (zone !== undefined && where === zone ? 0 : 1);
      const luck = (linked.has(peer) ? 0 : 1) + view.getUint32(4 * at) / 2 ** 32;
      const place = { at, group, failedAt: this.#failed.get(peer) ?? 0, luck };
      const last = best.at(-1);
      if (best.length === RANKED && last && order(place, last) > 0) {
        rest.push(item);
        return;
      }
      insert(best, place);
      if (best.length > RANKED) rest.push(all[best.pop()!.at]!);
    });
    return [...best.map(({ at }) => all[at]!), ...rest];
  }
}

/** Where an item stands: the lower, the earlier it is asked. */
interface Place {
  readonly at: number;
  readonly group: number;
  readonly failedAt: number;
  readonly luck: number;
}

const order = (a: Place, b: Place): number => a.group - b.group || a.failedAt - b.failedAt || a.luck - b.luck;

function insert(sorted: Place[], place: Place): void {
  let at = sorted.length;
  while (at > 0 && order(place, sorted[at - 1]!) < 0) at -= 1;
  sorted.splice(at, 0, place);
}

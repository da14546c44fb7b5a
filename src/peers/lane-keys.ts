/**
 * One-time keys of lanes. Promises: a key opens one lane, within seconds, for the one peer that it was offered to; it is
 * mixed with both peer ids, so that a node that passes an offer on gains nothing. Refuses to know how offers travel.
 */
import { createHmac } from 'node:crypto';
import { MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import type { World } from '../world.ts';
import { IDENTITY_BYTES, KEY_BYTES } from './frame.ts';

/** How long an offer can be taken up. */
export const KEY_LIFE_MS = 10_000;
/** Offers to one peer that are not yet taken up. */
export const KEYS_PER_PEER_MAX = 4;

const KEY_DOMAIN = 'pinnace/lane/1';

/** The PSK of a lane: HMAC-SHA256 by the offered `key` over domain, dialer and giver, each ended by a line feed. */
export const laneKey = (key: Uint8Array, dialer: PeerId, giver: PeerId): Uint8Array =>
  createHmac('sha256', key).update(`${KEY_DOMAIN}\n${dialer}\n${giver}\n`).digest();

interface Pending {
  readonly peer: PeerId;
  readonly key: Uint8Array;
  readonly until: number;
}

/** The giver's offers that wait for their lane. */
export class LaneKeys {
  readonly #world: World;
  readonly #self: PeerId;
  /** By identity in hex, oldest first: all live equally long. */
  readonly #pending = new Map<string, Pending>();

  constructor(world: World, self: PeerId) {
    this.#world = world;
    this.#self = self;
  }

  /** A key for one lane of `peer`. @throws LIMIT_EXCEEDED where it left too many unused */
  offer(peer: PeerId): { readonly identity: Uint8Array; readonly key: Uint8Array } {
    this.#expire();
    let pending = 0;
    for (const entry of this.#pending.values()) if (entry.peer === peer) pending++;
    if (pending >= KEYS_PER_PEER_MAX)
      throw new MirrorError(
        'LIMIT_EXCEEDED',
        `${peer} asked for more than ${KEYS_PER_PEER_MAX} lanes that it has not dialled`,
      );
    const identity = this.#world.random(IDENTITY_BYTES);
    const key = this.#world.random(KEY_BYTES);
    this.#pending.set(Buffer.from(identity).toString('hex'), {
      peer,
      key: laneKey(key, peer, this.#self),
      until: this.#world.monotonic() + KEY_LIFE_MS,
    });
    return { identity, key };
  }

  /** The PSK that `identity` (hex) stands for, once; undefined for one that is unknown, used or too old. */
  take(identity: string): { readonly key: Uint8Array; readonly peer: PeerId } | undefined {
    this.#expire();
    const entry = this.#pending.get(identity);
    this.#pending.delete(identity);
    return entry;
  }

  /** Forgets what was offered to `peer`. */
  drop(peer: PeerId): void {
    for (const [identity, entry] of this.#pending) if (entry.peer === peer) this.#pending.delete(identity);
  }

  #expire(): void {
    const now = this.#world.monotonic();
    for (const [identity, entry] of this.#pending) {
      if (entry.until > now) return;
      this.#pending.delete(identity);
    }
  }
}

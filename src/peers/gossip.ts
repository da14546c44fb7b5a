/**
 * What is new goes round at once. Promises: only what was new and held is passed on, at most 64 KiB each, and a peer that
 * floods is cut off and recorded. Refuses to know what does not fit: sync carries that. Spec: PROTOCOL.md, "Gossip".
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import type { World } from '../world.ts';
import { Buckets, type Rate } from './buckets.ts';
import type { Intake, Taken } from './intake.ts';
import type { Log } from './peers.ts';
import type { ControlWire } from './wire.ts';

export const TOPIC = 'pinnace/1';
/** Policy bundles go where older nodes, who have no word for them, do not listen. */
export const POLICY_TOPIC = 'pinnace/policy/1';
/** One message. */
export const GOSSIP_ITEM_MAX_BYTES = 64 * 1024;
/** What one peer may hand over; a cluster of 1,000 sends 17 heads a second. */
export const GOSSIP_RATE = { burst: 2000, perSecond: 100, what: 'gossip messages' };
/** A bundle costs many signatures, and is rare. */
export const POLICY_GOSSIP_RATE = { burst: 16, perSecond: 1, what: 'policies' };

/** A topic of its own for one sort of item. */
export interface Channel {
  readonly topic: string;
  readonly rate: Rate;
  /** Judges an item; its refusal has been recorded. */
  readonly take: (item: Uint8Array, from: PeerId) => Promise<Taken>;
}

type Verdict = 'accept' | 'ignore' | 'reject';

export interface GossipOptions {
  readonly world: World;
  readonly wire: ControlWire;
  readonly intake: Intake;
  readonly log: Log;
  /** What goes round: everything but policy bundles unless given. */
  readonly channel?: Channel;
  /** Hears of each item that was judged, e.g. one that builds on something that is not here. */
  readonly taken: (what: Taken, from: PeerId) => void;
}

export class Gossip {
  readonly #options: GossipOptions;
  readonly #channel: Channel;
  readonly #rate: Buckets;

  constructor(options: GossipOptions) {
    this.#options = options;
    const { intake } = options;
    this.#channel = options.channel ?? {
      topic: TOPIC,
      rate: GOSSIP_RATE,
      take: (item, from) => intake.take(item, from, 'gossip'),
    };
    this.#rate = new Buckets(options.world, this.#channel.rate);
  }

  /** Begins to listen. */
  start(): void {
    this.#options.wire.subscribe(this.#channel.topic, (from, message) => this.#judge(from, message));
  }

  /** Sends an item round; false where it is too large for that. Never rejects: whom it does not reach, sync does. */
  async publish(item: Uint8Array): Promise<boolean> {
    if (item.length > GOSSIP_ITEM_MAX_BYTES) return false;
    await this.#options.wire.publish(this.#channel.topic, item).catch((error: unknown) => {
      this.#options.log('debug', `gossip did not go out: ${String(error)}`);
    });
    return true;
  }

  async #judge(from: PeerId, message: Uint8Array): Promise<Verdict> {
    const { intake, wire, taken } = this.#options;
    try {
      if (!this.#rate.allows(from)) {
        await intake.refused(from, 'gossip', this.#flood(from));
        await wire.disconnect(from);
        return 'ignore';
      }
      if (message.length > GOSSIP_ITEM_MAX_BYTES) {
        await intake.refused(from, 'gossip', new MirrorError('LIMIT_EXCEEDED', `${message.length} bytes of gossip`));
        return 'reject';
      }
      const what = await this.#channel.take(message, from);
      taken(what, from);
      return what.outcome === 'taken' || what.outcome === 'ahead' ? 'accept' : 'ignore';
    } catch (error) {
      const reason = asMirrorError(error, 'STATEMENT_INVALID', `gossip of ${from}`);
      this.#options.log('info', reason.message, { peer: from, code: reason.code });
      return reason.kind === 'hostile' && reason.code !== 'LIMIT_EXCEEDED' ? 'reject' : 'ignore';
    }
  }

  #flood(from: PeerId): MirrorError {
    const { burst, perSecond, what } = this.#channel.rate;
    return new MirrorError('LIMIT_EXCEEDED', `${from} sent more than ${burst} ${what} at once and ${perSecond}/s`);
  }
}

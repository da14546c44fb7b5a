/**
 * Policy bundles between peers: two nodes compare serials over one stream, and who has the higher one hands its bundle over.
 * Promises: bounded in bytes, time and rate; nothing is sent to whom it is no news. Refuses to know what a bundle says and
 * whose signatures count: members judge. Spec: PROTOCOL.md, "Policy".
 */
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import { within, type World } from '../world.ts';
import { Buckets } from './buckets.ts';
import { encodeItem, type Intake, POLICY_MAX_BYTES, type Taken } from './intake.ts';
import type { Log, Membership } from './peers.ts';
import { Turns } from './turns.ts';
import type { ControlWire, Link, Stream, StreamLimits } from './wire.ts';

export const POLICY_PROTOCOL = '/pinnace/policy/1';
/** One exchange, both ways. */
export const POLICY_TIMEOUT_MS = 60_000;
/** How often one peer may open an exchange here. */
export const POLICY_RATE = { burst: 8, perSecond: 1 / 3, what: 'exchanges of policies' };
/** How often this node opens one: below what the other side allows. */
const OWN_RATE = { burst: 4, perSecond: 1 / 4, what: 'exchanges of policies' };

/** A bundle that did not hold is not taken again from the same peer for so long, unless the roster changes. */
export const POLICY_AGAIN_MS = 600_000;
/** Peers whose refused bundles are remembered; more peers than members cannot be. */
const REFUSED_MAX = 4096;

const HEAD_MAX_BYTES = 64;
const HEAD = /^\{"policy":1,"serial":(0|[1-9]\d{0,15})\}$/;
const LIMITS: StreamLimits = { maxFrame: 1 + POLICY_MAX_BYTES, maxInbound: 2 };

export const encodePolicyHead = (serial: number): Uint8Array => Buffer.from(JSON.stringify({ policy: 1, serial }));

/** The serial in a head; 0: none. @throws FRAME_INVALID */
export function parsePolicyHead(frame: Uint8Array): number {
  const text = frame.length <= HEAD_MAX_BYTES ? Buffer.from(frame).toString('latin1') : '';
  const serial = Number(HEAD.exec(text)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(serial)) throw new MirrorError('FRAME_INVALID', 'not the serial of a policy');
  return serial;
}

export interface PolicyExchangeOptions {
  readonly world: World;
  readonly wire: ControlWire;
  readonly members: Membership;
  readonly intake: Intake;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Hears of each bundle that was judged. */
  readonly taken: (what: Taken, from: PeerId) => void;
}

/** A bundle of a peer that did not hold, under which roster, and when (monotonic ms). */
interface Refused {
  readonly serial: number;
  readonly roster: number;
  readonly at: number;
}

export class PolicyExchange {
  readonly #options: PolicyExchangeOptions;
  readonly #theirs: Buckets;
  readonly #mine: Turns;
  readonly #refused = new Map<PeerId, Refused>();

  constructor(options: PolicyExchangeOptions) {
    this.#options = options;
    this.#theirs = new Buckets(options.world, POLICY_RATE);
    this.#mine = new Turns(options.world, OWN_RATE, options.signal);
  }

  /** Begins to answer. */
  start(): void {
    this.#options.wire.handle(POLICY_PROTOCOL, LIMITS, (stream, link) => this.#answer(stream, link));
  }

  /** Compares with a connected peer, now or after what is running. Never rejects: a peer may have no word for it. */
  async request(peer: PeerId): Promise<void> {
    const { log } = this.#options;
    await this.#mine.take(
      peer,
      () => this.#open(peer),
      ({ message }) => log('debug', `comparing policies with ${peer}: ${message}`, { peer }),
    );
  }

  async #open(peer: PeerId): Promise<void> {
    const { world, wire, signal } = this.#options;
    await within(world, POLICY_TIMEOUT_MS, signal, 'TIMED_OUT', `comparing policies with ${peer}`, async inner => {
      const stream = await wire.open(peer, POLICY_PROTOCOL, LIMITS, inner);
      await this.#converse(stream, peer);
    });
  }

  async #answer(stream: Stream, { peer }: Link): Promise<void> {
    const { world, signal, intake } = this.#options;
    try {
      this.#theirs.take(peer);
    } catch (error) {
      await intake.refused(peer, 'policy', asMirrorError(error, 'LIMIT_EXCEEDED', POLICY_PROTOCOL));
      throw error;
    }
    await within(world, POLICY_TIMEOUT_MS, signal, 'TIMED_OUT', `comparing policies with ${peer}`, () =>
      this.#converse(stream, peer),
    );
  }

  async #converse(stream: Stream, peer: PeerId): Promise<void> {
    const { members, intake } = this.#options;
    const mine = members.policy;
    try {
      await stream.send(encodePolicyHead(mine?.serial ?? 0));
      const theirs = parsePolicyHead(await next(stream, peer));
      if (mine && mine.serial > theirs) await stream.send(encodeItem('policy', mine.bytes));
      await stream.close();
      if (theirs <= (mine?.serial ?? 0)) return;
      if (this.#wasRefused(peer, theirs))
        return stream.abort(new MirrorError('PEER_REFUSED', 'it did not hold before'));
      await this.#take(await next(stream, peer), peer, theirs);
    } catch (error) {
      const reason = asMirrorError(error, 'PEER_UNREACHABLE', `comparing policies with ${peer}`);
      if (hasCode(reason, 'FRAME_INVALID', 'LIMIT_EXCEEDED')) await intake.refused(peer, 'policy', reason);
      stream.abort(reason);
      throw reason;
    }
  }

  /** Its refusal is recorded by the intake. */
  async #take(item: Uint8Array, peer: PeerId, serial: number): Promise<void> {
    const { intake, members, world, taken } = this.#options;
    const { seq } = members.roster;
    try {
      taken(await intake.policy(item, peer), peer);
      this.#refused.delete(peer);
    } catch (error) {
      if (this.#refused.size >= REFUSED_MAX) this.#refused.clear();
      this.#refused.set(peer, { serial, roster: seq, at: world.monotonic() });
      throw error;
    }
  }

  #wasRefused(peer: PeerId, serial: number): boolean {
    const { members, world } = this.#options;
    const last = this.#refused.get(peer);
    return (
      last?.serial === serial && last.roster === members.roster.seq && world.monotonic() - last.at < POLICY_AGAIN_MS
    );
  }
}

async function next(stream: Stream, peer: PeerId): Promise<Uint8Array> {
  const frame = await stream.receive();
  if (!frame) throw new MirrorError('PEER_UNREACHABLE', `${peer} ended without its policy`);
  return frame;
}

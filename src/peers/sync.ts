/**
 * Sync: two peers compare heads over one stream, and each sends what the other lacks. Promises: bounded in bytes, items,
 * time and rate; whatever comes goes through the intake; asking twice for one peer is one sync after another. Refuses to
 * know when a sync is due. Spec: PROTOCOL.md, "Sync".
 */
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import { within, type World } from '../world.ts';
import { Buckets } from './buckets.ts';
import { encodeHeads, HEADS_MAX_BYTES, headsOf, lacking, parseHeads } from './heads.ts';
import { type Intake, ITEM_MAX_BYTES, type Taken } from './intake.ts';
import type { Log, Membership } from './peers.ts';
import type { Table } from './table.ts';
import { Turns } from './turns.ts';
import type { ControlWire, Link, Stream, StreamLimits } from './wire.ts';

export const SYNC_PROTOCOL = '/pinnace/sync/1';
/** One sync, both ways. */
export const SYNC_TIMEOUT_MS = 60_000;
/** What one side may send in a sync. */
export const SYNC_ITEMS_MAX = 16_384;
export const SYNC_MAX_BYTES = 128 << 20;
/** Refused items after which a sync is given up. */
export const SYNC_STRIKES_MAX = 8;
/** How often one peer may open a sync here. */
export const SYNC_RATE = { burst: 8, perSecond: 1 / 3, what: 'syncs' };
/** How often this node opens one: below what the other side allows. */
const OWN_RATE = { burst: 4, perSecond: 1 / 4, what: 'syncs' };

const LIMITS: StreamLimits = { maxFrame: Math.max(ITEM_MAX_BYTES, HEADS_MAX_BYTES), maxInbound: 2 };

export interface SyncOptions {
  readonly world: World;
  readonly wire: ControlWire;
  readonly members: Membership;
  readonly table: Table;
  readonly intake: Intake;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Hears of each item that was judged. */
  readonly taken: (what: Taken, from: PeerId, item: Uint8Array) => void;
}

export class Sync {
  readonly #options: SyncOptions;
  readonly #theirs: Buckets;
  readonly #mine: Turns;

  constructor(options: SyncOptions) {
    this.#options = options;
    this.#theirs = new Buckets(options.world, SYNC_RATE);
    this.#mine = new Turns(options.world, OWN_RATE, options.signal);
  }

  /** Begins to answer. */
  start(): void {
    this.#options.wire.handle(SYNC_PROTOCOL, LIMITS, (stream, link) => this.#answer(stream, link));
  }

  /** Syncs with a connected peer, now or after the one that is running. False where it failed. Never rejects. */
  request(peer: PeerId): Promise<boolean> {
    const { log } = this.#options;
    return this.#mine.take(
      peer,
      () => this.#open(peer),
      ({ message }) => log('debug', `sync with ${peer}: ${message}`, { peer }),
    );
  }

  async #open(peer: PeerId): Promise<void> {
    const { world, wire, signal } = this.#options;
    await within(world, SYNC_TIMEOUT_MS, signal, 'TIMED_OUT', `sync with ${peer}`, async inner => {
      const stream = await wire.open(peer, SYNC_PROTOCOL, LIMITS, inner);
      await this.#converse(stream, peer);
    });
  }

  async #answer(stream: Stream, { peer }: Link): Promise<void> {
    const { world, signal, intake } = this.#options;
    try {
      this.#theirs.take(peer);
      await within(world, SYNC_TIMEOUT_MS, signal, 'TIMED_OUT', `sync with ${peer}`, () =>
        this.#converse(stream, peer),
      );
    } catch (error) {
      const reason = asMirrorError(error, 'PEER_UNREACHABLE', `sync with ${peer}`);
      if (hasCode(reason, 'LIMIT_EXCEEDED')) await intake.refused(peer, 'sync', reason);
      throw reason;
    }
  }

  async #converse(stream: Stream, peer: PeerId): Promise<void> {
    const { members, table, world, intake } = this.#options;
    try {
      await stream.send(encodeHeads(headsOf(members, table)));
      const first = await stream.receive();
      if (!first) throw new MirrorError('PEER_UNREACHABLE', `${peer} ended a sync without a word`);
      if (first.length > HEADS_MAX_BYTES) throw new MirrorError('LIMIT_EXCEEDED', `heads of ${first.length} bytes`);
      const theirs = parseHeads(first);
      await Promise.all([
        this.#send(stream, lacking(members, table, theirs, peer, world.now())),
        this.#receive(stream, peer),
      ]);
    } catch (error) {
      const reason = asMirrorError(error, 'PEER_UNREACHABLE', `sync with ${peer}`);
      if (hasCode(reason, 'STATEMENT_INVALID', 'FRAME_INVALID')) await intake.refused(peer, 'sync', reason);
      stream.abort(reason);
      throw reason;
    }
  }

  async #send(stream: Stream, items: Iterable<Uint8Array>): Promise<void> {
    let [sent, bytes] = [0, 0];
    for (const item of items) {
      if (sent + 1 > SYNC_ITEMS_MAX || bytes + item.length > SYNC_MAX_BYTES) break;
      await stream.send(item);
      sent += 1;
      bytes += item.length;
    }
    await stream.close();
  }

  async #receive(stream: Stream, peer: PeerId): Promise<void> {
    let [received, bytes, strikes] = [0, 0, 0];
    for (let item = await stream.receive(); item; item = await stream.receive()) {
      received += 1;
      bytes += item.length;
      if (received > SYNC_ITEMS_MAX || bytes > SYNC_MAX_BYTES)
        throw new MirrorError('LIMIT_EXCEEDED', `${peer} sent ${received} items and ${bytes} bytes in one sync`);
      try {
        this.#options.taken(await this.#options.intake.take(item, peer, 'sync'), peer, item);
      } catch (error) {
        if (hasCode(error, 'AUDIT_UNAVAILABLE')) throw error;
        strikes += 1;
        if (strikes >= SYNC_STRIKES_MAX)
          throw new MirrorError('LIMIT_EXCEEDED', `${peer}: ${strikes} items of one sync did not hold`, {
            cause: error,
          });
      }
    }
  }
}

/**
 * Outbound lanes: dialled when asked for, used one request after another, kept for a while. Promises: bounded lanes per
 * peer and reads in all; only nodes that may serve are asked; an early leave costs the lane, not the memory. Refuses to
 * know whom to ask first.
 */
import { asMirrorError, type Code, hasCode, MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import { within } from '../world.ts';
import { formatAddress } from './address.ts';
import type { LaneRequest } from './frame.ts';
import { Answer } from './lane-answer.ts';
import { Buffers } from './lane-buffers.ts';
import { askKey } from './lane-offer.ts';
import type { LaneRooms } from './lane-rooms.ts';
import { Slots } from './lane-slots.ts';
import { watch } from './lane-watch.ts';
import type { Chunk } from './peers.ts';
import type { LaneSocket } from './wire.ts';

/** Outbound lanes to one peer. */
export const OUTBOUND_PER_PEER_MAX = 4;
/** Reads under way to all peers; the others wait. */
export const READS_MAX = 16;
/** How long a read waits for a lane to a peer that all others use. */
export const LANE_WAIT_MS = 5_000;
/** Bytes after which a lane is not used again: one AES-GCM key may protect some 380 GB (RFC 8446, section 5.5). */
export const LANE_BYTES_MAX = 128 * 2 ** 30;
/** How long a lane is kept without a request; the giver keeps it longer. */
export const OUTBOUND_IDLE_MS = 30_000;

/** What a giver is cut off for, and recorded. */
const CUT: readonly Code[] = ['FRAME_INVALID', 'LANE_STALLED'];
/** What a dialled lane is refused for. */
const NO_KEY: readonly Code[] = ['LANE_REFUSED', 'HANDSHAKE_TIMEOUT'];

type ClientRooms = Pick<
  LaneRooms,
  'world' | 'wire' | 'self' | 'control' | 'nodeOf' | 'addressOf' | 'record' | 'signal'
>;

/** A lane that this node dialled. */
interface Lane {
  readonly peer: PeerId;
  readonly socket: LaneSocket;
  /** What is being read; none while idle. */
  answer?: Answer | undefined;
  /** Aborted when it is taken up again, or ends. */
  idle?: AbortController | undefined;
  /** Bytes asked over it. */
  asked: number;
}

/** All outbound lanes. */
export class LaneClient {
  readonly #rooms: ClientRooms;
  readonly #lanes = new Set<Lane>();
  readonly #buffers = new Buffers();
  readonly #reads = new Slots(READS_MAX);
  readonly #perPeer = new Map<PeerId, { readonly slots: Slots; users: number }>();

  constructor(rooms: ClientRooms) {
    this.#rooms = rooms;
  }

  /** Lanes to `peer` that are open. */
  countFor(peer: PeerId): number {
    let count = 0;
    for (const lane of this.#lanes) if (lane.peer === peer) count++;
    return count;
  }

  /** Ends the lanes to `peer`, or to everybody. */
  drop(peer?: PeerId): void {
    for (const lane of this.#lanes) if (peer === undefined || lane.peer === peer) this.#close(lane);
  }

  /** The chunks of `request` from `peer`. @throws as `Lanes.read` */
  async *read(peer: PeerId, request: LaneRequest, signal: AbortSignal): AsyncGenerator<Chunk, void, void> {
    const inner = AbortSignal.any([signal, this.#rooms.signal]);
    const leave = await this.#enter(peer, inner);
    try {
      for (let fresh = false; ; fresh = true) {
        const lane = await this.#lane(peer, fresh, inner);
        const reused = lane.asked > 0;
        const answer = this.#begin(lane, request);
        const stop = (): void => answer.fail(stopped(peer, inner));
        inner.addEventListener('abort', stop, { once: true });
        if (inner.aborted) stop();
        try {
          return yield* answer.chunks();
        } catch (error) {
          this.#record(peer, lane.socket.remoteAddress, error, CUT);
          // A kept lane may have ended just now for no fault of the peer.
          if (!reused || answer.begun || !hasCode(error, 'LANE_CLOSED')) throw error;
        } finally {
          inner.removeEventListener('abort', stop);
          this.#finish(lane, answer);
        }
      }
    } finally {
      leave();
    }
  }

  /** Waits for a place among all reads, then among those from this peer. */
  async #enter(peer: PeerId, signal: AbortSignal): Promise<() => void> {
    const entry = this.#perPeer.get(peer) ?? { slots: new Slots(OUTBOUND_PER_PEER_MAX), users: 0 };
    this.#perPeer.set(peer, entry);
    entry.users++;
    const ways: (() => void)[] = [
      () => {
        if (--entry.users === 0) this.#perPeer.delete(peer);
      },
    ];
    const leave = (): void => ways.forEach(way => way());
    let entering: Promise<() => void> | undefined;
    const enter = (late: AbortSignal): Promise<() => void> => {
      entering = entry.slots.enter(late);
      return entering;
    };
    try {
      const what = `waiting for one of the ${OUTBOUND_PER_PEER_MAX} lanes to ${peer}`;
      ways.push(await within(this.#rooms.world, LANE_WAIT_MS, signal, 'PEER_UNREACHABLE', what, enter));
      ways.push(await this.#reads.enter(signal));
      return leave;
    } catch (error) {
      // A place that was given in the moment of the deadline goes back.
      if (ways.length === 1) entering?.then(way => way()).catch(() => undefined);
      leave();
      throw signal.aborted ? stopped(peer, signal) : error;
    }
  }

  /** An idle lane to `peer`, unless `fresh`, or a new one. */
  async #lane(peer: PeerId, fresh: boolean, signal: AbortSignal): Promise<Lane> {
    const { wire, addressOf } = this.#rooms;
    this.#judge(peer);
    for (const lane of this.#lanes) {
      if (lane.peer !== peer || !lane.idle) continue;
      if (fresh) this.#close(lane);
      else {
        // Taken at once: another read that looks in the same turn must not find it idle.
        this.#wake(lane);
        return lane;
      }
    }
    try {
      const { identity, key } = await askKey(this.#rooms, peer, signal);
      const address = addressOf(peer);
      if (!address) throw new MirrorError('PEER_UNREACHABLE', `${peer} is not connected, or says nothing of lanes`);
      const socket = await wire
        .dial(formatAddress(address.host, address.lanePort), identity, key, signal)
        .catch((error: unknown) => {
          this.#record(peer, address.host, error, NO_KEY);
          throw error;
        });
      const lane = this.#open(peer, socket);
      // It may have been revoked meanwhile.
      this.#judge(peer);
      return lane;
    } catch (error) {
      throw signal.aborted ? stopped(peer, signal) : asMirrorError(error, 'PEER_UNREACHABLE', `a lane to ${peer}`);
    }
  }

  /** @throws ROLE_MISSING, and closes the lanes to `peer`, where it may not serve */
  #judge(peer: PeerId): void {
    if (this.#rooms.nodeOf(peer)?.roles.has('serve')) return;
    this.drop(peer);
    throw new MirrorError('ROLE_MISSING', `${peer} has no credential with the role serve now; another is asked`);
  }

  #open(peer: PeerId, socket: LaneSocket): Lane {
    const lane: Lane = { peer, socket, asked: 0 };
    this.#lanes.add(lane);
    socket.receive(bytes => {
      if (lane.answer) return lane.answer.receive(bytes);
      this.#excess(lane);
      return false;
    });
    void socket.closed.then(reason => {
      const detail = reason ? `: ${reason.message}` : '';
      lane.answer?.fail(new MirrorError('LANE_CLOSED', `${peer} closed the lane early${detail}; another is asked`));
      this.#close(lane);
    });
    return lane;
  }

  #begin(lane: Lane, request: LaneRequest): Answer {
    lane.asked += request.length;
    lane.answer = new Answer(
      { world: this.#rooms.world, buffers: this.#buffers, who: lane.peer },
      lane.socket,
      request,
    );
    return lane.answer;
  }

  #finish(lane: Lane, answer: Answer): void {
    lane.answer = undefined;
    if (!answer.clean || !this.#lanes.has(lane) || lane.asked > LANE_BYTES_MAX) return this.#close(lane);
    const idle = new AbortController();
    lane.idle = idle;
    const due = this.#rooms.world.monotonic() + OUTBOUND_IDLE_MS;
    void watch(
      this.#rooms.world,
      idle.signal,
      () => due,
      () => this.#close(lane),
    );
    // Listening again: an end or a byte that nobody asked for is noticed.
    lane.socket.resume();
  }

  #wake(lane: Lane): void {
    lane.idle?.abort();
    lane.idle = undefined;
  }

  #close(lane: Lane): void {
    this.#wake(lane);
    lane.socket.destroy();
    this.#lanes.delete(lane);
    if (this.#lanes.size === 0) this.#buffers.trim();
  }

  #excess({ peer, socket, ...lane }: Lane): void {
    socket.destroy();
    if (!lane.idle) return;
    const error = new MirrorError('FRAME_INVALID', `${peer} sent bytes that nobody asked for`);
    this.#record(peer, socket.remoteAddress, error, CUT);
  }

  #record(peer: PeerId, address: string, error: unknown, codes: readonly Code[]): void {
    if (!hasCode(error, ...codes)) return;
    // The lane is gone already; where the record fails, the audit says so itself.
    this.#rooms.record({ event: 'peer.refused', peer, address, code: error.code }).catch(() => undefined);
  }
}

const stopped = (peer: PeerId, signal: AbortSignal): MirrorError =>
  new MirrorError('STOPPED', `reading from ${peer}: stopped`, { cause: signal.reason });

/**
 * Inbound lanes: requests are answered one after another, each judged anew. Promises: bounded lanes, memory and patience;
 * what is absent and what is not for this peer get the same answer. Refuses to know what is shared: the giver judges.
 */
import { type Code, MirrorError } from '../errors.ts';
import type { Node, PeerId } from '../oci/oci.ts';
import { within } from '../world.ts';
import { encodeAnswer, Gather, type LaneRequest, parseRequest, REQUEST_BYTES } from './frame.ts';
import { Buffers } from './lane-buffers.ts';
import { GIVING_BUFFERS_MAX, Pump } from './lane-pump.ts';
import { Rate } from './lane-rate.ts';
import type { LaneRooms } from './lane-rooms.ts';
import { TRICKLE_MS, watch } from './lane-watch.ts';
import type { Gift } from './peers.ts';
import type { LaneSocket } from './wire.ts';

/** Inbound lanes of one peer: two more than it opens, for those whose end is still on its way. */
export const INBOUND_PER_PEER_MAX = 6;
/** Inbound lanes of all peers. */
export const INBOUND_MAX = 256;
/** How long a lane may wait for its next whole request; longer than a dialer keeps it. */
export const INBOUND_IDLE_MS = 45_000;

type ServerRooms = Pick<LaneRooms, 'world' | 'giver' | 'nodeOf' | 'record' | 'limits'>;

/** What a lane tells the log and the peer that it ends for; anything else was only a connection that ended. */
const CUT: ReadonlySet<Code> = new Set<Code>(['ROLE_MISSING', 'FRAME_INVALID', 'LIMIT_EXCEEDED', 'LANE_STALLED']);

/** All inbound lanes. */
export class LaneServer {
  readonly #rooms: ServerRooms;
  readonly #lanes = new Set<GivingLane>();
  readonly #buffers = new Buffers(GIVING_BUFFERS_MAX);
  readonly #total: Rate | undefined;
  readonly #perPeer = new Map<PeerId, Rate>();

  /** @throws CONFIG_INVALID for a bandwidth limit that is too low */
  constructor(rooms: ServerRooms) {
    const { bytesPerSecond, bytesPerSecondPerPeer } = rooms.limits ?? {};
    this.#rooms = rooms;
    this.#total = bytesPerSecond === undefined ? undefined : new Rate(rooms.world, bytesPerSecond);
    // Only so that a wrong setting is told at the start.
    if (bytesPerSecondPerPeer !== undefined) new Rate(rooms.world, bytesPerSecondPerPeer);
  }

  /** Takes a lane whose handshake proved `peer`. */
  accept(socket: LaneSocket, peer: PeerId): void {
    if (this.countFor(peer) >= INBOUND_PER_PEER_MAX || this.#lanes.size >= INBOUND_MAX) {
      socket.destroy();
      return this.#record(peer, socket.remoteAddress, 'LIMIT_EXCEEDED');
    }
    const lane = new GivingLane(this.#rooms, this.#buffers, this.#ratesOf(peer), socket, peer);
    this.#lanes.add(lane);
    void lane.run().then(({ code }) => {
      this.#lanes.delete(lane);
      if (this.#lanes.size === 0) this.#buffers.trim();
      if (this.countFor(peer) === 0) this.#perPeer.delete(peer);
      if (CUT.has(code)) this.#record(peer, socket.remoteAddress, code);
    });
  }

  /** Inbound lanes of `peer` that are open. */
  countFor(peer: PeerId): number {
    let count = 0;
    for (const lane of this.#lanes) if (lane.peer === peer) count++;
    return count;
  }

  /** Ends the lanes of `peer`, or of everybody. */
  drop(peer?: PeerId): void {
    for (const lane of this.#lanes) if (peer === undefined || lane.peer === peer) lane.destroy();
  }

  #ratesOf(peer: PeerId): Rate[] {
    const perSecond = this.#rooms.limits?.bytesPerSecondPerPeer;
    const rates = this.#total ? [this.#total] : [];
    if (perSecond === undefined) return rates;
    const own = this.#perPeer.get(peer) ?? new Rate(this.#rooms.world, perSecond);
    this.#perPeer.set(peer, own);
    return [own, ...rates];
  }

  #record(peer: PeerId, address: string, code: Code): void {
    // The lane is gone already; where the record fails, the audit says so itself.
    this.#rooms.record({ event: 'peer.refused', peer, address, code }).catch(() => undefined);
  }
}

/** One inbound lane. */
class GivingLane {
  readonly peer: PeerId;
  readonly #rooms: ServerRooms;
  readonly #buffers: Buffers;
  readonly #rates: readonly Rate[];
  readonly #socket: LaneSocket;
  readonly #gather = new Gather(REQUEST_BYTES);
  #error: MirrorError | undefined;
  #wake: (() => void) | undefined;

  constructor(rooms: ServerRooms, buffers: Buffers, rates: readonly Rate[], socket: LaneSocket, peer: PeerId) {
    this.#rooms = rooms;
    this.#buffers = buffers;
    this.#rates = rates;
    this.#socket = socket;
    this.peer = peer;
  }

  /** Answers requests until the lane ends; resolves with the reason. */
  async run(): Promise<MirrorError> {
    this.#socket.receive(bytes => this.#receive(bytes));
    void this.#socket.closed.then(() => this.#fail(new MirrorError('LANE_CLOSED', `${this.peer} closed its lane`)));
    try {
      for (;;) await this.#answer(await this.#request());
    } catch (error) {
      this.#socket.destroy();
      // What is no MirrorError is a defect, and crashes.
      if (!(error instanceof MirrorError)) throw error;
      // That the socket closed is told by whatever closed it, where there is more to say.
      return error.code === 'LANE_CLOSED' ? (this.#error ?? error) : error;
    }
  }

  destroy(): void {
    this.#fail(new MirrorError('LANE_CLOSED', `the lane of ${this.peer} was closed here`));
  }

  #receive(bytes: Uint8Array): boolean {
    // One request may come while the last bytes of an answer are still counted as under way; never more than one.
    if (this.#gather.take(bytes) < bytes.length)
      this.#fail(new MirrorError('FRAME_INVALID', `${this.peer} sent more than one request at a time`));
    if (this.#gather.whole) this.#wake?.();
    return true;
  }

  #fail(error: MirrorError): void {
    this.#error ??= error;
    this.#socket.destroy();
    this.#wake?.();
  }

  async #request(): Promise<LaneRequest> {
    const { world } = this.#rooms;
    const waiting = new AbortController();
    const due = world.monotonic() + INBOUND_IDLE_MS;
    const late = (): void => {
      const code = this.#gather.empty ? 'LANE_CLOSED' : 'LANE_STALLED';
      this.#fail(new MirrorError(code, `${this.peer} sent no whole request for ${INBOUND_IDLE_MS} ms`));
    };
    void watch(world, waiting.signal, () => due, late);
    while (!this.#gather.whole && !this.#error)
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    waiting.abort();
    if (this.#error) throw this.#error;
    const request = parseRequest(this.#gather.whole!);
    this.#gather.clear();
    return request;
  }

  async #answer(request: LaneRequest): Promise<void> {
    const node = this.#rooms.nodeOf(this.peer);
    if (!node?.roles.has('fetch'))
      throw new MirrorError(
        'ROLE_MISSING',
        `${this.peer} asks for content; it has no credential with the role fetch now`,
      );
    const gift = await this.#open(node, request);
    const { world } = this.#rooms;
    if (!gift)
      return within(world, TRICKLE_MS, undefined, 'LANE_STALLED', `answering ${this.peer}`, () =>
        this.#socket.send(encodeAnswer('absent')),
      );
    const pump = new Pump({ world, buffers: this.#buffers, rates: this.#rates }, this.#socket, request);
    try {
      // Queued in front of the bytes; where it fails, so do they.
      this.#socket.send(encodeAnswer(request)).catch(() => undefined);
      await pump.run(gift);
    } finally {
      await gift.done(pump.sent);
    }
  }

  async #open(node: Node, { digest, offset, length }: LaneRequest): Promise<Gift | undefined> {
    try {
      return await this.#rooms.giver.give(node, digest, offset, length);
    } catch (error) {
      if (error instanceof MirrorError) return undefined;
      throw error;
    }
  }
}

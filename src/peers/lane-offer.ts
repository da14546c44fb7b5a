/**
 * How a key for a lane is asked for and given, over a control stream whose both ends are proved. Promises: only a peer
 * that may fetch gets one; a refusal is recorded before it is told. Refuses to know what the lane will carry.
 */
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import { within } from '../world.ts';
import { encodeOffer, type LaneOffer, OFFER_BYTES, OFFER_REQUEST, parseOffer, parseOfferRequest } from './frame.ts';
import { type LaneKeys, laneKey } from './lane-keys.ts';
import type { LaneRooms } from './lane-rooms.ts';
import type { Link, Stream, StreamLimits } from './wire.ts';

export const LANE_PROTOCOL = '/pinnace/lane/1';
/** How long asking for a key may take, on each side. */
export const OFFER_TIMEOUT_MS = 5_000;

const STREAM_LIMITS: StreamLimits = { maxFrame: OFFER_BYTES, maxInbound: 4 };

type OfferRooms = Pick<LaneRooms, 'world' | 'self' | 'control' | 'nodeOf' | 'record' | 'signal'>;

/** Answers peers that ask for a key. */
export function offerKeys(rooms: OfferRooms, keys: LaneKeys): void {
  rooms.control.handle(LANE_PROTOCOL, STREAM_LIMITS, (stream, link) =>
    within(rooms.world, OFFER_TIMEOUT_MS, rooms.signal, 'TIMED_OUT', `offering a lane to ${link.peer}`, async () => {
      const frame = await stream.receive();
      if (!frame) return;
      try {
        parseOfferRequest(frame);
        await stream.send(encodeOffer(judge(rooms, keys, link)));
      } catch (error) {
        await refuse(rooms, stream, link, error);
      }
      await stream.close();
    }).catch((error: unknown) =>
      stream.abort(asMirrorError(error, 'PEER_UNREACHABLE', `offering a lane to ${link.peer}`)),
    ),
  );
}

function judge({ nodeOf }: OfferRooms, keys: LaneKeys, { peer }: Link): LaneOffer {
  if (!nodeOf(peer)?.roles.has('fetch'))
    throw new MirrorError('ROLE_MISSING', `${peer} asked for a lane; its credential has no role fetch`);
  return keys.offer(peer);
}

async function refuse(rooms: OfferRooms, stream: Stream, { peer, address }: Link, error: unknown): Promise<void> {
  if (!hasCode(error, 'ROLE_MISSING', 'LIMIT_EXCEEDED', 'FRAME_INVALID')) throw error;
  await rooms.record({ event: 'peer.refused', peer, address, code: error.code });
  if (error.code === 'FRAME_INVALID') throw error;
  await stream.send(encodeOffer({ refused: error.code as 'ROLE_MISSING' | 'LIMIT_EXCEEDED' }));
}

/**
 * Asks `peer` for a key: the identity in hex and the PSK of one lane.
 * @throws PEER_UNREACHABLE, ROLE_MISSING, LANE_REFUSED, FRAME_INVALID, STOPPED
 */
export function askKey(
  { world, self, control }: OfferRooms,
  peer: PeerId,
  signal: AbortSignal,
): Promise<{ readonly identity: string; readonly key: Uint8Array }> {
  const what = `asking ${peer} for a lane`;
  return within(world, OFFER_TIMEOUT_MS, signal, 'PEER_UNREACHABLE', what, async inner => {
    const stream = await control.open(peer, LANE_PROTOCOL, STREAM_LIMITS, inner);
    const stop = (): void => stream.abort(new MirrorError('STOPPED', `${what}: stopped`));
    inner.addEventListener('abort', stop, { once: true });
    try {
      await stream.send(OFFER_REQUEST);
      const frame = await stream.receive();
      if (!frame) throw new MirrorError('PEER_UNREACHABLE', `${what}: it closed the stream without an answer`);
      const offer = parseOffer(frame);
      await stream.close();
      if ('refused' in offer)
        throw new MirrorError(
          offer.refused === 'ROLE_MISSING' ? 'ROLE_MISSING' : 'LANE_REFUSED',
          `${what}: it refused (${offer.refused})`,
        );
      return { identity: Buffer.from(offer.identity).toString('hex'), key: laneKey(offer.key, self, peer) };
    } catch (error) {
      const failed = asMirrorError(error, 'PEER_UNREACHABLE', what);
      stream.abort(failed);
      throw failed;
    } finally {
      inner.removeEventListener('abort', stop);
    }
  });
}

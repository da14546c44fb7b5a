/**
 * The reader's end of limited holdings: a peer says which list it made for this node, and hands it over where it is news.
 * Promises: bounded in bytes, time and rate; a refusal is recorded. Refuses to judge lists. Spec: PROTOCOL.md, "Limited
 * holdings".
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { within, type World } from '../world.ts';
import { Buckets } from './buckets.ts';
import { STATEMENT_MAX_BYTES } from './envelope.ts';
import type { Intake } from './intake.ts';
import type { Limited, Mark } from './limited.ts';
import type { Membership } from './peers.ts';
import type { ControlWire, Link, Stream, StreamLimits } from './wire.ts';

export const LIMITED_PROTOCOL = '/pinnace/limited/1';
/** One list and its answer. */
export const LIMITED_TIMEOUT_MS = 20_000;
/** How often one peer may tell this node. */
export const LIMITED_RATE = { burst: 16, perSecond: 1, what: 'lists of limited holdings' };
export const LIMITED_LIMITS: StreamLimits = { maxFrame: STATEMENT_MAX_BYTES, maxInbound: 2 };

/** What the reader answers. */
export const [KNOWN, SEND] = [0, 1];

const MARK_MAX_BYTES = 128;
const MARK = /^\{"limited":1,"start":(0|[1-9]\d{0,15}),"seq":(0|[1-9]\d{0,15})\}$/;

export const encodeMark = ({ start, seq }: Mark): Uint8Array => Buffer.from(JSON.stringify({ limited: 1, start, seq }));

/** @throws FRAME_INVALID */
export function parseMark(frame: Uint8Array): Mark {
  const text = frame.length <= MARK_MAX_BYTES ? Buffer.from(frame).toString('latin1') : '';
  const [start, seq] = (MARK.exec(text) ?? []).slice(1).map(Number);
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(seq))
    throw new MirrorError('FRAME_INVALID', 'not the number of a list of limited holdings');
  return { start: start!, seq: seq! };
}

export interface HearingOptions {
  readonly world: World;
  readonly wire: ControlWire;
  readonly members: Membership;
  readonly limited: Limited;
  readonly intake: Intake;
  readonly signal: AbortSignal;
}

/** Begins to hear what others tell this node alone. */
export function hearLimited(options: HearingOptions): void {
  const rate = new Buckets(options.world, LIMITED_RATE);
  options.wire.handle(LIMITED_PROTOCOL, LIMITED_LIMITS, (stream, link) => hear(options, rate, stream, link));
}

async function hear(options: HearingOptions, rate: Buckets, stream: Stream, { peer }: Link): Promise<void> {
  const { world, signal, limited, members, intake } = options;
  try {
    await within(world, LIMITED_TIMEOUT_MS, signal, 'TIMED_OUT', `hearing ${peer}`, async () => {
      rate.take(peer);
      if (!members.node(peer)) return;
      const frame = await stream.receive();
      if (!frame) throw new MirrorError('FRAME_INVALID', `${peer} tells nothing`);
      const known = limited.renew(peer, parseMark(frame));
      await stream.send(Uint8Array.of(known ? KNOWN : SEND));
      const signed = known ? undefined : await stream.receive();
      // It may have been shut out meanwhile.
      if (!signed || !members.node(peer)) return;
      limited.take(signed, peer);
      await stream.send(Uint8Array.of(KNOWN));
    });
  } catch (error) {
    const reason = asMirrorError(error, 'PEER_UNREACHABLE', `hearing ${peer}`);
    if (reason.kind === 'hostile') await intake.refused(peer, 'limited', reason);
    throw reason;
  }
}

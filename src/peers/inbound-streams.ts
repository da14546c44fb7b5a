/**
 * The streams that peers open of one protocol. Promises: one peer has only so many at once over all its links; a handler's
 * end ends its stream, its failure resets it. Refuses to know what the protocol says.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import { type ByteStream, FramedStream } from './framed.ts';
import type { Link, Stream, StreamLimits } from './wire.ts';

export type StreamHandler = (stream: Stream, link: Link) => Promise<void>;
/** Hears of a connection or stream that was turned away. */
export type Refused = (address: string, error: MirrorError, peer?: PeerId) => void;

export class InboundStreams {
  readonly #protocol: string;
  readonly #limits: StreamLimits;
  readonly #handler: StreamHandler;
  readonly #refused: Refused | undefined;
  readonly #open = new Map<PeerId, number>();

  constructor(protocol: string, limits: StreamLimits, handler: StreamHandler, refused: Refused | undefined) {
    this.#protocol = protocol;
    this.#limits = limits;
    this.#handler = handler;
    this.#refused = refused;
  }

  /** Takes a stream of `link`; undefined: its connection ended before. Never rejects. */
  async accept(bytes: ByteStream, link: Link | undefined): Promise<void> {
    const stream = new FramedStream(bytes, this.#limits.maxFrame);
    if (!link) return stream.abort(new MirrorError('PEER_UNREACHABLE', 'the connection ended'));
    const { peer, address } = link;
    const count = this.#open.get(peer) ?? 0;
    if (count >= this.#limits.maxInbound) {
      const text = `${peer} opened more than ${this.#limits.maxInbound} streams of ${this.#protocol}`;
      const error = new MirrorError('LIMIT_EXCEEDED', text);
      this.#refused?.(address, error, peer);
      return stream.abort(error);
    }
    this.#open.set(peer, count + 1);
    try {
      await this.#handler(stream, link);
      await stream.close();
    } catch (error) {
      stream.abort(asMirrorError(error, 'PEER_UNREACHABLE', this.#protocol));
    } finally {
      const left = (this.#open.get(peer) ?? 1) - 1;
      if (left > 0) this.#open.set(peer, left);
      else this.#open.delete(peer);
    }
  }
}

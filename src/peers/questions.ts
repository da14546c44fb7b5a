/**
 * Small questions between peers: give me your proof of this digest; what have you about it; your bytes of it were wrong.
 * Promises: only peers with the role are asked and answered, rates and sizes are bounded, absent and not shared look the same.
 * Refuses to know what is shared: the giver judges. Spec: PROTOCOL.md, "Questions".
 */
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import { type Digest, type Node, parseDigest, type PeerId } from '../oci/oci.ts';
import { parseProof, type Proof } from '../proof/proof.ts';
import { within, type World } from '../world.ts';
import { Buckets } from './buckets.ts';
import type { Giver, RecordEvent, Referrer } from './peers.ts';
import { encodeReferrers, parseReferrers, REFERRERS_MAX_BYTES } from './referrers.ts';
import type { ControlWire, Link, Stream, StreamLimits } from './wire.ts';

export const PROOF_PROTOCOL = '/pinnace/proof/1';
export const REFERRERS_PROTOCOL = '/pinnace/referrers/1';
export const DOUBT_PROTOCOL = '/pinnace/doubt/1';
/** One question and its answer. */
export const QUESTION_TIMEOUT_MS = 10_000;
/** The list of the largest proof: 65,536 chunks of sha256. */
export const PROOF_MAX_BYTES = 4 << 20;

const QUESTION_MAX_BYTES = 140;
const PROOF_LIMITS: StreamLimits = { maxFrame: 1 + PROOF_MAX_BYTES, maxInbound: 4 };
const REFERRERS_LIMITS: StreamLimits = { maxFrame: REFERRERS_MAX_BYTES, maxInbound: 4 };
const DOUBT_LIMITS: StreamLimits = { maxFrame: QUESTION_MAX_BYTES, maxInbound: 1 };
const PROOF_RATE = { burst: 64, perSecond: 8, what: 'questions for proofs' };
const REFERRERS_RATE = { burst: 64, perSecond: 8, what: 'questions for referrers' };
const DOUBT_RATE = { burst: 8, perSecond: 1 / 8, what: 'doubts' };
const [HERE, ABSENT] = [0, 1];

export interface QuestionOptions {
  readonly world: World;
  readonly wire: ControlWire;
  readonly giver: Giver;
  readonly record: RecordEvent;
  readonly signal: AbortSignal;
  readonly nodeOf: (peer: PeerId) => Node | undefined;
}

export class Questions {
  readonly #options: QuestionOptions;
  readonly #proofs: Buckets;
  readonly #referrers: Buckets;
  readonly #doubts: Buckets;

  constructor(options: QuestionOptions) {
    this.#options = options;
    this.#proofs = new Buckets(options.world, PROOF_RATE);
    this.#referrers = new Buckets(options.world, REFERRERS_RATE);
    this.#doubts = new Buckets(options.world, DOUBT_RATE);
  }

  /** Begins to answer. */
  start(): void {
    const { wire } = this.#options;
    wire.handle(PROOF_PROTOCOL, PROOF_LIMITS, (stream, link) =>
      this.#answered(stream, link, this.#proofs, this.#giveProof),
    );
    wire.handle(REFERRERS_PROTOCOL, REFERRERS_LIMITS, (stream, link) =>
      this.#answered(stream, link, this.#referrers, this.#giveReferrers),
    );
    wire.handle(DOUBT_PROTOCOL, DOUBT_LIMITS, (stream, link) =>
      this.#answered(stream, link, this.#doubts, this.#hearDoubt),
    );
  }

  /** Asks a connected peer. @throws PEER_UNREACHABLE, CONTENT_ABSENT, PROOF_INVALID, TIMED_OUT, ROLE_MISSING, STOPPED */
  async proof(peer: PeerId, digest: Digest, size: number, signal: AbortSignal): Promise<Proof> {
    return this.#ask(peer, PROOF_PROTOCOL, PROOF_LIMITS, digest, signal, answer => {
      if (answer[0] !== HERE) throw new MirrorError('CONTENT_ABSENT', `${peer} has no proof of ${digest}`);
      return parseProof(digest, size, answer.subarray(1));
    });
  }

  /** Asks a connected peer what it has about `subject`. @throws PEER_UNREACHABLE, FRAME_INVALID, LIMIT_EXCEEDED, TIMED_OUT, ROLE_MISSING, STOPPED */
  async referrers(peer: PeerId, subject: Digest, signal: AbortSignal): Promise<readonly Referrer[]> {
    return this.#ask(peer, REFERRERS_PROTOCOL, REFERRERS_LIMITS, subject, signal, parseReferrers);
  }

  async #ask<T>(
    peer: PeerId,
    protocol: string,
    limits: StreamLimits,
    digest: Digest,
    signal: AbortSignal,
    read: (answer: Uint8Array) => T,
  ): Promise<T> {
    const { world, wire, nodeOf } = this.#options;
    if (!nodeOf(peer)?.roles.has('serve'))
      throw new MirrorError('ROLE_MISSING', `${peer} may not be asked for content`);
    return within(world, QUESTION_TIMEOUT_MS, signal, 'TIMED_OUT', `asking ${peer} by ${protocol}`, async inner => {
      const stream = await wire.open(peer, protocol, limits, inner);
      try {
        await stream.send(Buffer.from(digest));
        await stream.close();
        const answer = await stream.receive();
        if (!answer) throw new MirrorError('PEER_UNREACHABLE', `${peer} ended the question for ${digest}`);
        return read(answer);
      } catch (error) {
        stream.abort(asMirrorError(error, 'PEER_UNREACHABLE', `asking ${peer}`));
        throw error;
      }
    });
  }

  /** Tells a connected peer that its bytes were wrong; nothing is answered. @throws PEER_UNREACHABLE, TIMED_OUT, STOPPED */
  async doubt(peer: PeerId, digest: Digest): Promise<void> {
    const { world, wire, signal } = this.#options;
    await within(world, QUESTION_TIMEOUT_MS, signal, 'TIMED_OUT', `telling ${peer} a doubt`, async inner => {
      const stream = await wire.open(peer, DOUBT_PROTOCOL, DOUBT_LIMITS, inner);
      await stream.send(Buffer.from(digest));
      await stream.close();
      await stream.receive();
    });
  }

  async #answered(
    stream: Stream,
    { peer, address }: Link,
    rate: Buckets,
    answer: (stream: Stream, node: Node, digest: Digest) => Promise<void>,
  ): Promise<void> {
    const { world, signal, nodeOf, record } = this.#options;
    try {
      await within(world, QUESTION_TIMEOUT_MS, signal, 'TIMED_OUT', `a question of ${peer}`, async () => {
        rate.take(peer);
        const node = nodeOf(peer);
        if (!node?.roles.has('fetch')) throw new MirrorError('ROLE_MISSING', `${peer} may not ask for content`);
        const question = await stream.receive();
        if (!question || question.length > QUESTION_MAX_BYTES)
          throw new MirrorError('FRAME_INVALID', `${peer} asks nothing`);
        await answer(stream, node, parseDigest(Buffer.from(question).toString('latin1')));
      });
    } catch (error) {
      if (hasCode(error, 'LIMIT_EXCEEDED', 'ROLE_MISSING', 'FRAME_INVALID', 'DIGEST_INVALID'))
        await record({ event: 'peer.refused', peer, address, code: error.code });
      throw error;
    }
  }

  readonly #giveProof = async (stream: Stream, node: Node, digest: Digest): Promise<void> => {
    let list: Uint8Array | undefined;
    try {
      ({ list } = await this.#options.giver.proof(node, digest));
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
      // Whatever the reason, a peer learns only that it is not to be had here.
    }
    const fits = list && list.length <= PROOF_MAX_BYTES;
    await stream.send(fits ? Buffer.concat([Uint8Array.of(HERE), list!]) : Uint8Array.of(ABSENT));
  };

  readonly #giveReferrers = async (stream: Stream, node: Node, subject: Digest): Promise<void> => {
    let referrers: readonly Referrer[] = [];
    try {
      referrers = await this.#options.giver.referrers(node, subject);
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
      // Whatever the reason, a peer learns only that there is nothing for it.
    }
    await stream.send(encodeReferrers(referrers));
  };

  readonly #hearDoubt = async (_stream: Stream, node: Node, digest: Digest): Promise<void> => {
    this.#options.giver.doubt(node, digest);
  };
}

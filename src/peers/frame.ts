/**
 * The frames of lanes: a request, the head of its answer, and the offer of a one-time key. Promises: fixed lengths, one
 * version, one way to write each; what does not fit is refused before anything is allocated for it. Refuses to know
 * sockets and who asks. Spec: PROTOCOL.md, "Lanes".
 */
import { MirrorError } from '../errors.ts';
import { type Algorithm, algorithmOf, bytesOf, type Digest, digestFrom, lengthOf } from '../oci/oci.ts';
import { CHUNK_BYTES, CONTENT_MAX_BYTES } from '../proof/proof.ts';

const VERSION = 1;
const REQUEST = 1;
const ANSWER = 2;
const DIGEST_MAX_BYTES = 64;
const ALGORITHMS: readonly (Algorithm | undefined)[] = [undefined, 'sha256', 'sha512'];

/** Bytes of a request frame: version, kind, algorithm, zero; the raw digest, padded with zeros; offset; length. */
export const REQUEST_BYTES = 4 + DIGEST_MAX_BYTES + 16;
/** Bytes of an answer's head: version, kind, code, zero; length. */
export const ANSWER_BYTES = 4 + 8;
/** Bytes of a one-time identity and of its key. */
export const IDENTITY_BYTES = 16;
export const KEY_BYTES = 32;
/** Bytes of an offer: version, code; identity; key. A refusal is its first two bytes alone. */
export const OFFER_BYTES = 2 + IDENTITY_BYTES + KEY_BYTES;
/** What a dialer sends to ask for an offer. */
export const OFFER_REQUEST: Uint8Array = Uint8Array.of(VERSION);

/** A part of one content: `length` bytes from the chunk boundary `offset`. */
export interface LaneRequest {
  readonly digest: Digest;
  readonly offset: number;
  readonly length: number;
}

/** The head of an answer: so many bytes follow, or the content is absent (or not for the asker) and nothing follows. */
export type LaneAnswer = { readonly length: number } | 'absent';

/** The answer to a dialer: a key for one lane, or why there is none. */
export type LaneOffer =
  | { readonly identity: Uint8Array; readonly key: Uint8Array }
  | { readonly refused: 'ROLE_MISSING' | 'LIMIT_EXCEEDED' };

const REFUSALS = [undefined, 'ROLE_MISSING', 'LIMIT_EXCEEDED'] as const;

const refuse = (what: string): never => {
  throw new MirrorError('FRAME_INVALID', `${what}; the other node does not speak this protocol`);
};

/** The frame of a request whose range lies in one content. */
export function encodeRequest({ digest, offset, length }: LaneRequest): Buffer {
  const frame = Buffer.alloc(REQUEST_BYTES);
  frame.set([VERSION, REQUEST, ALGORITHMS.indexOf(algorithmOf(digest))]);
  frame.set(bytesOf(digest), 4);
  frame.writeBigUInt64BE(BigInt(offset), REQUEST_BYTES - 16);
  frame.writeBigUInt64BE(BigInt(length), REQUEST_BYTES - 8);
  return frame;
}

/** Reads `REQUEST_BYTES` bytes that a peer sent. @throws FRAME_INVALID */
export function parseRequest(frame: Uint8Array): LaneRequest {
  const view = viewOf(frame, REQUEST_BYTES, REQUEST);
  const algorithm = ALGORITHMS[frame[2]!] ?? refuse(`a request names algorithm ${frame[2]}`);
  if (frame[3] !== 0) refuse('a request has a byte that must be 0');
  const width = lengthOf(algorithm);
  if (frame.subarray(4 + width, 4 + DIGEST_MAX_BYTES).some(byte => byte !== 0))
    refuse('a digest is padded with other than 0');
  const offset = sizeAt(view, REQUEST_BYTES - 16);
  const length = sizeAt(view, REQUEST_BYTES - 8);
  if (offset % CHUNK_BYTES !== 0 || length === 0 || offset + length > CONTENT_MAX_BYTES)
    refuse(`a request for ${length} bytes at ${offset}`);
  return { digest: digestFrom(algorithm, frame.subarray(4, 4 + width)), offset, length };
}

/** The head of an answer. */
export function encodeAnswer(answer: LaneAnswer): Buffer {
  const frame = Buffer.alloc(ANSWER_BYTES);
  frame.set([VERSION, ANSWER, answer === 'absent' ? 1 : 0]);
  frame.writeBigUInt64BE(BigInt(answer === 'absent' ? 0 : answer.length), 4);
  return frame;
}

/** Reads `ANSWER_BYTES` bytes that a peer sent as the head of an answer to `request`. @throws FRAME_INVALID */
export function parseAnswer(frame: Uint8Array, request: LaneRequest): LaneAnswer {
  const view = viewOf(frame, ANSWER_BYTES, ANSWER);
  const length = sizeAt(view, 4);
  const code = frame[2]!;
  if (frame[3] !== 0 || code > 1) refuse(`an answer has code ${code}`);
  if (length !== (code === 0 ? request.length : 0))
    refuse(`an answer announces ${length} bytes instead of ${request.length}`);
  return code === 0 ? { length } : 'absent';
}

/** The frame of an offer or a refusal. */
export function encodeOffer(offer: LaneOffer): Buffer {
  if ('refused' in offer) return Buffer.from([VERSION, REFUSALS.indexOf(offer.refused)]);
  return Buffer.concat([Uint8Array.of(VERSION, 0), offer.identity, offer.key]);
}

/** Reads the frame that a peer sent when it was asked for an offer. @throws FRAME_INVALID */
export function parseOffer(frame: Uint8Array): LaneOffer {
  const [version, code = 0] = frame;
  if (version !== VERSION || frame.length !== (code === 0 ? OFFER_BYTES : 2))
    refuse(`an offer of ${frame.length} bytes`);
  if (code !== 0) return { refused: REFUSALS[code] ?? refuse(`an offer has code ${code}`) };
  return {
    identity: Uint8Array.from(frame.subarray(2, 2 + IDENTITY_BYTES)),
    key: Uint8Array.from(frame.subarray(2 + IDENTITY_BYTES)),
  };
}

/** Reads the frame that a dialer opens with. @throws FRAME_INVALID */
export function parseOfferRequest(frame: Uint8Array): void {
  if (frame.length !== 1 || frame[0] !== VERSION) refuse('a lane is asked for in another version');
}

/** Collects the bytes of one frame of fixed length, however they come cut. */
export class Gather {
  readonly #frame: Uint8Array;
  #filled = 0;

  /** `length` in bytes. */
  constructor(length: number) {
    this.#frame = new Uint8Array(length);
  }

  /** Takes what the frame still lacks from the front of `bytes`; how many bytes it took. */
  take(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, this.#frame.length - this.#filled);
    this.#frame.set(bytes.subarray(0, taken), this.#filled);
    this.#filled += taken;
    return taken;
  }

  /** True when nothing of a frame is here. */
  get empty(): boolean {
    return this.#filled === 0;
  }

  /** The frame once it is whole; the next `take` after `clear` begins a new one. */
  get whole(): Uint8Array | undefined {
    return this.#filled === this.#frame.length ? this.#frame : undefined;
  }

  clear(): void {
    this.#filled = 0;
  }
}

function viewOf(frame: Uint8Array, length: number, kind: number): DataView {
  if (frame.length !== length || frame[0] !== VERSION || frame[1] !== kind)
    refuse(`a frame of ${frame.length} bytes begins with ${frame[0]}, ${frame[1]} instead of ${VERSION}, ${kind}`);
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}

function sizeAt(view: DataView, at: number): number {
  const size = view.getBigUint64(at);
  return size <= BigInt(CONTENT_MAX_BYTES) ? Number(size) : refuse(`a size of ${size} bytes`);
}

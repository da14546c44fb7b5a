/**
 * Whether two processes sign with one node key. Promises: an honest node is never taken for two, however often it starts,
 * however late its statements come, and however far its clock is off within the skew; who repeats what a node once signed
 * makes no clone of it; memory is bounded. Refuses to verify signatures. Spec: PROTOCOL.md, "Clones".
 */
import type { PeerId } from '../oci/oci.ts';
import { CLOCK_SKEW_MS, type World } from '../world.ts';
import { KINDS, type Statement } from './envelope.ts';
import type { Clone } from './peers.ts';

/** A lower number may be dated so much after a higher one: the signer's clock may have gone from one end of the skew to the other. */
export const DATES_APART_MS = 2 * CLOCK_SKEW_MS;
/** Between two signs of life of the lower numbers, on this node's own clock. */
export const ALIVE_MS = 30_000;
/** A single sign of life counts no more after that. */
const SUSPECT_MS = 600_000;
/** How often one clone is told. */
export const CLONE_AGAIN_MS = 3_600_000;
/** How long it stands in the status after it was told. */
export const CLONE_SHOWN_MS = 86_400_000;
/** Newest numbers of a signer whose bytes are remembered. */
const RECENT = 8;
/** Signers that are watched. */
const SIGNERS_MAX = 4096;

type Clock = Pick<World, 'now' | 'monotonic'>;

interface Numbered {
  readonly start: number;
  readonly seq: number;
}

/** A number, and when it was dated: ms since 1970 by the signer's clock. */
interface Mark extends Numbered {
  readonly at: number;
}

interface Trace {
  /** The highest number. */
  top: Mark;
  /** The highest number as it was when the last mark was made, and the one before: what no lower number may outlive. */
  marks: readonly Mark[];
  recent: readonly (Numbered & { readonly signature: string })[];
  /** A lower number that was dated too late: the first sign of life, and when it came (monotonic ms). */
  suspect?: (Numbered & { readonly at: number }) | undefined;
  told?: Clone;
}

/** `numbers`: a lower number outlived a higher one. `bytes`: one number stands under two statements. */
export type Contradiction = 'numbers' | 'bytes';

export class Clones {
  readonly #world: Clock;
  readonly #self: PeerId;
  readonly #traces = new Map<PeerId, Trace>();
  /** When this process dated its own first statement. */
  #born: number | undefined;

  constructor(world: Clock, self: PeerId) {
    this.#world = world;
    this.#self = self;
  }

  /** Keeps in mind what its signer signed; `own` where this process signed it. */
  note(statement: Statement, signature: Uint8Array, own: boolean): void {
    const mark = markOf(statement);
    if (own) this.#born ??= mark.at;
    const trace: Trace = this.#traces.get(statement.signer) ?? { top: mark, marks: [mark], recent: [] };
    if (!this.#traces.has(statement.signer)) {
      if (this.#traces.size >= SIGNERS_MAX) return;
      this.#traces.set(statement.signer, trace);
    }
    trace.recent = [...trace.recent.slice(1 - RECENT), { ...mark, signature: textOf(signature) }];
    if (!before(trace.top, mark)) return;
    const started = mark.start > trace.top.start;
    trace.top = mark;
    const newest = trace.marks.at(-1)!;
    if (started || mark.at > newest.at + DATES_APART_MS) trace.marks = [newest, mark];
  }

  /**
   * Whether a statement that came from outside cannot be by the process that signed the others of its signer; undefined
   * also while that was told already. The signature is still to be verified.
   */
  contradiction(statement: Statement, signature: Uint8Array): Contradiction | undefined {
    const trace = this.#traces.get(statement.signer);
    if (!trace || (trace.told && this.#world.now() < trace.told.at + CLONE_AGAIN_MS)) return undefined;
    const mark = markOf(statement);
    const same = trace.recent.find(one => one.start === mark.start && one.seq === mark.seq);
    if (same) return same.signature === textOf(signature) ? undefined : 'bytes';
    // Not above the first: it came late, or again.
    const suspect = this.#suspect(trace);
    if (suspect && !before(suspect, mark)) return undefined;
    const outlived = trace.marks.some(one => before(mark, one) && mark.at > one.at + DATES_APART_MS);
    return outlived || this.#notMine(statement.signer, mark, trace) ? 'numbers' : undefined;
  }

  /** A verified statement contradicts: what is to be told of it, undefined where it is too early to say. */
  saw(statement: Statement, what: Contradiction): Clone | undefined {
    const trace = this.#traces.get(statement.signer)!;
    const { start, seq, signer } = statement;
    const now = this.#world.monotonic();
    const suspect = this.#suspect(trace);
    if (what === 'numbers' && !suspect) trace.suspect = { start, seq, at: now };
    if (what === 'numbers' && (!suspect || now - suspect.at < ALIVE_MS)) return undefined;
    const known = what === 'bytes' ? start : trace.top.start;
    trace.suspect = undefined;
    trace.told = {
      peer: signer,
      start: Math.max(start, known),
      other: Math.min(start, known),
      at: this.#world.now(),
    };
    return trace.told;
  }

  /** What was told lately. */
  list(): readonly Clone[] {
    const since = this.#world.now() - CLONE_SHOWN_MS;
    return [...this.#traces.values()].flatMap(({ told }) => (told && told.at > since ? [told] : []));
  }

  #suspect({ suspect }: Trace): Trace['suspect'] {
    return suspect && this.#world.monotonic() - suspect.at <= SUSPECT_MS ? suspect : undefined;
  }

  /** In this node's name, above all that it signed, and dated in its own time. */
  #notMine(signer: PeerId, mark: Mark, { top }: Trace): boolean {
    return (
      signer === this.#self && this.#born !== undefined && before(top, mark) && mark.at > this.#born + DATES_APART_MS
    );
  }
}

const before = (a: Numbered, b: Numbered): boolean => a.start < b.start || (a.start === b.start && a.seq < b.seq);

const textOf = (signature: Uint8Array): string => Buffer.from(signature.subarray(0, 16)).toString('latin1');

function markOf({ kind, start, seq, notAfter }: Statement): Mark {
  return { start, seq, at: notAfter - KINDS[kind].validityMs };
}

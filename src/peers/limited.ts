/**
 * What others hold and told this node alone, on their own link. Promises: nothing is in it that its signer did not sign
 * for this very node and hand over itself, newer than what it replaced and within the caps; it ends five minutes after it
 * was renewed last. Refuses to know streams. Spec: PROTOCOL.md, "Limited holdings".
 */
import { MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import { CLOCK_SKEW_MS, type World } from '../world.ts';
import type { Claim, Claimant, Claims } from './claims.ts';
import { type Header, KINDS, parseSigned, type Signed, type StatementOf } from './envelope.ts';
import type { Verify } from './peers.ts';

/** Tellers that are remembered; more peers than members cannot be. */
const TELLERS_MAX = 4096;
const VALIDITY_MS = KINDS.limited.validityMs;

/** The number of a statement among those for one reader. */
export interface Mark {
  readonly start: number;
  readonly seq: number;
}

/** The newest statement of one teller. */
class Told implements Claimant {
  readonly peer: PeerId;
  readonly limited = true;
  readonly header: Header;
  readonly #audience: PeerId;
  readonly #signature: Uint8Array;
  readonly #entries: readonly Claim[];
  held: readonly Claim[] = [];
  notAfter: number;

  constructor(statement: StatementOf<'limited'>, signature: Uint8Array, entries: readonly Claim[], until: number) {
    const { body, signer, start, seq, notAfter } = statement;
    this.peer = signer;
    this.#entries = entries;
    this.header = { signer, start, seq, notAfter };
    this.#audience = body.audience;
    this.#signature = signature;
    this.notAfter = until;
  }

  says(): Signed {
    const body = { audience: this.#audience, entries: this.#entries };
    return { statement: { ...this.header, kind: 'limited', body }, signature: this.#signature };
  }
}

export interface LimitedOptions {
  readonly world: World;
  readonly self: PeerId;
  readonly verify: Verify;
  readonly claims: Claims;
  /** The newest start under which `peer` stated anything else; 0: none. */
  readonly startOf: (peer: PeerId) => number;
}

export class Limited {
  readonly #options: LimitedOptions;
  readonly #told = new Map<PeerId, Told>();

  constructor(options: LimitedOptions) {
    this.#options = options;
  }

  /** Judges and takes the statement that `from` hands over on its own link. @throws STATEMENT_*, LIMIT_EXCEEDED */
  take(bytes: Uint8Array, from: PeerId): void {
    const { self, verify, claims } = this.#options;
    const { statement, signature, covered } = parseSigned(bytes);
    if (statement.kind !== 'limited' || statement.signer !== from || statement.body.audience !== self)
      throw new MirrorError('STATEMENT_INVALID', `${from} hands over what it did not sign for this node`);
    this.#judge(statement);
    if (!verify(from, covered, signature))
      throw new MirrorError(
        'STATEMENT_INVALID',
        `the signature of ${statement.kind} ${statement.seq} is not ${from}'s`,
      );
    const { entries } = statement.body;
    const old = this.#told.get(from);
    if (!old && this.#told.size >= TELLERS_MAX)
      throw new MirrorError('LIMIT_EXCEEDED', `more than ${TELLERS_MAX} nodes tell this one of limited holdings`);
    claims.room(entries);
    const held = entries.map(entry => claims.intern(entry));
    const told = new Told(statement, signature, held, this.#end());
    // Before the old ones go: what stands in both stays one claim.
    claims.hold(told, held);
    if (old) claims.hold(old, []);
    this.#told.set(from, told);
  }

  /** `from` says that its newest statement for this node has this number: true, and renewed, where it is the one known here. */
  renew(from: PeerId, { start, seq }: Mark): boolean {
    const told = this.#told.get(from);
    if (told?.header.start !== start || told.header.seq !== seq) return false;
    told.notAfter = this.#end();
    return true;
  }

  /** How many digests of `peer` this node alone knows of, and that count at `now`. */
  count(peer: PeerId, now: number): number {
    const told = this.#told.get(peer);
    return told && told.notAfter > now ? told.held.length : 0;
  }

  /** `peer` stated something under that start: what it told under an earlier one is over. */
  started(peer: PeerId, start: number): void {
    if ((this.#told.get(peer)?.header.start ?? start) < start) this.forget(peer);
  }

  forget(peer: PeerId): void {
    const told = this.#told.get(peer);
    if (!told) return;
    this.#options.claims.hold(told, []);
    this.#told.delete(peer);
  }

  /** Forgets what ended. */
  sweep(now: number): void {
    for (const [peer, { notAfter }] of this.#told) if (notAfter <= now) this.forget(peer);
  }

  #end(): number {
    return this.#options.world.now() + VALIDITY_MS;
  }

  #judge({ signer, start, seq, notAfter }: StatementOf<'limited'>): void {
    const now = this.#options.world.now();
    const what = `what ${signer} tells this node alone (${start}/${seq})`;
    if (notAfter > now + VALIDITY_MS + CLOCK_SKEW_MS)
      throw new MirrorError('STATEMENT_FUTURE', `${what} is dated ahead of this clock`);
    if (notAfter <= now) throw new MirrorError('STATEMENT_REPLAYED', `${what} ended before it came`);
    const last = this.#told.get(signer)?.header ?? { start: this.#options.startOf(signer), seq: -1 };
    if (start < last.start || (start === last.start && seq <= last.seq))
      throw new MirrorError('STATEMENT_REPLAYED', `${what} came after ${last.start}/${last.seq}`);
  }
}

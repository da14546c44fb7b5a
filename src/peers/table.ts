/**
 * The one table of statements, keyed by kind and signer. Promises: nothing is in it that was not signed by its signer,
 * well dated, newer than what it replaced and within the caps; each refusal has a code. Refuses to know how statements
 * travel and who is trusted: members say. Spec: PROTOCOL.md, "Statements", "Judging".
 */
import { assert, MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import { CLOCK_SKEW_MS, type World } from '../world.ts';
import { Buckets } from './buckets.ts';
import { Claims } from './claims.ts';
import { Clones } from './clones.ts';
import { encodeSigned, KINDS, parseSigned, type Signed, type Statement, type StatementOf } from './envelope.ts';
import { Holdings } from './holdings.ts';
import { Limited } from './limited.ts';
import type { Clone, Membership, Verify } from './peers.ts';
import { Records, TagIndex } from './records.ts';

/** Signers that are kept. */
export const SIGNERS_MAX = 4096;
/** All tag statements together. */
export const TAG_STATEMENTS_MAX_BYTES = 64 << 20;
const NODE_RECORDS_MAX_BYTES = 17 << 20;
const SIGNER_RATE = { burst: 120, perSecond: 2, what: 'statements' };

/**
 * taken: new, and counts · known: had it, or something newer · unsigned: its signer has no credential here (yet) ·
 * ahead: it builds on a statement that is not here.
 */
export type Outcome = 'taken' | 'known' | 'unsigned' | 'ahead';
/** How a statement came: by gossip, by sync, from this node's own disk, or from this node itself. */
export type Way = 'gossip' | 'sync' | 'disk' | 'own';

export interface TableOptions {
  readonly world: World;
  readonly self: PeerId;
  readonly members: Membership;
  readonly verify: Verify;
  /** Hears of each key that signs in two places at once. */
  readonly cloned?: (clone: Clone) => void;
}

interface Place {
  readonly start: number;
  readonly seq: number;
  readonly signature: Buffer;
}

type Family = 'node' | 'holdings' | 'tags';
const familyOf = (kind: Statement['kind']): Family => (kind === 'node' || kind === 'tags' ? kind : 'holdings');

export class Table {
  readonly holdings: Holdings;
  /** What others hold and told this node alone. */
  readonly limited: Limited;
  readonly nodes = new Records('node', NODE_RECORDS_MAX_BYTES);
  readonly tags = new Records('tags', TAG_STATEMENTS_MAX_BYTES);
  readonly tagIndex = new TagIndex();
  readonly clones: Clones;
  readonly #options: TableOptions;
  readonly #places = {
    node: new Map<PeerId, Place>(),
    holdings: new Map<PeerId, Place>(),
    tags: new Map<PeerId, Place>(),
  };
  readonly #rate: Buckets;

  constructor(options: TableOptions) {
    this.#options = options;
    const claims = new Claims();
    this.holdings = new Holdings(claims);
    this.limited = new Limited({ ...options, claims, startOf: peer => this.#startOf(peer) });
    this.clones = new Clones(options.world, options.self);
    this.#rate = new Buckets(options.world, SIGNER_RATE);
  }

  /** Judges and takes a signed statement that `from` handed over. @throws STATEMENT_*, LIMIT_EXCEEDED */
  offer(bytes: Uint8Array, from: PeerId, way: Way): { readonly outcome: Outcome; readonly statement: Statement } {
    const { statement, signature, covered } = parseSigned(bytes);
    const { signer } = statement;
    if (statement.kind === 'limited')
      throw new MirrorError('STATEMENT_INVALID', `${from} passes on what ${signer} told one reader alone`);
    const done = (outcome: Outcome): { outcome: Outcome; statement: Statement } => ({ outcome, statement });
    const foreign = way === 'gossip' || way === 'sync';
    if ((signer === this.#options.self) === foreign && way !== 'disk') {
      if (foreign && statement.notAfter > this.#options.world.now()) this.#seekClone(statement, signature, covered);
      return done('known');
    }
    if (way !== 'own' && !this.#options.members.node(signer)) return done('unsigned');
    this.#dates(statement, way);
    if (foreign) this.#seekClone(statement, signature, covered);
    const places = this.#places[familyOf(statement.kind)];
    if (!this.#isNew(statement, signature, places.get(signer), from, way)) return done('known');
    this.#verify(statement, signature, covered);
    // After the signature: nobody else can use up a signer's rate.
    if (foreign) this.#rate.take(signer);
    this.clones.note(statement, signature, way === 'own');
    if (!places.has(signer) && places.size >= SIGNERS_MAX)
      throw new MirrorError('LIMIT_EXCEEDED', `more than ${SIGNERS_MAX} signers of ${statement.kind}`);
    if (!this.#put({ statement, signature })) return done('ahead');
    places.set(signer, { start: statement.start, seq: statement.seq, signature: Buffer.from(signature) });
    this.limited.started(signer, statement.start);
    return done('taken');
  }

  /** Takes what this node signed itself. */
  own(signed: Signed): void {
    this.offer(encodeSigned(signed), this.#options.self, 'own');
  }

  /**
   * Forgets a signer whom the issuer shut out. Its numbers stay, so that its old statements stay old; the newest may come
   * again, where a new credential brings the signer back. Its holdings count for nothing until a head of today renews them.
   */
  forget(peer: PeerId): void {
    this.holdings.forget(peer);
    this.limited.forget(peer);
    this.nodes.forget(peer);
    this.tags.forget(peer);
    this.tagIndex.set(peer, []);
    this.#places.holdings.delete(peer);
    for (const places of [this.#places.node, this.#places.tags]) {
      const place = places.get(peer);
      // Between the newest and the one before it, however often it is shut out meanwhile.
      if (place) places.set(peer, { ...place, seq: Math.ceil(place.seq) - 0.5 });
    }
  }

  /** Forgets what ended. */
  sweep(): void {
    const now = this.#options.world.now();
    this.limited.sweep(now);
    // Not this node's own, which a clock that leapt may have ended: others need it to understand its next head. Whose state
    // is forgotten may show it again; it counts for nothing until a head of today renews it.
    for (const peer of this.holdings.sweep(now, this.#options.self)) this.#places.holdings.delete(peer);
    for (const [peer, { header }] of this.nodes.entries()) if (header.notAfter < now) this.nodes.forget(peer);
    for (const [peer, { header }] of this.tags.entries()) {
      if (header.notAfter >= now) continue;
      this.tags.forget(peer);
      this.tagIndex.set(peer, []);
    }
  }

  #startOf(peer: PeerId): number {
    return Math.max(...Object.values(this.#places).map(places => places.get(peer)?.start ?? 0));
  }

  #verify({ kind, seq, signer }: Statement, signature: Uint8Array, covered: Uint8Array): void {
    if (!this.#options.verify(signer, covered, signature))
      throw new MirrorError('STATEMENT_INVALID', `the signature of ${kind} ${seq} is not ${signer}'s`);
  }

  /** Also what is not taken can show that a key is in two hands. @throws STATEMENT_INVALID */
  #seekClone(statement: Statement, signature: Uint8Array, covered: Uint8Array): void {
    const contradiction = this.clones.contradiction(statement, signature);
    if (!contradiction) return;
    this.#verify(statement, signature, covered);
    const clone = this.clones.saw(statement, contradiction);
    if (clone) this.#options.cloned?.(clone);
  }

  #put(signed: Signed): boolean {
    const { statement } = signed;
    assert(statement.kind !== 'limited', 'what is told to one reader came among the rest');
    switch (statement.kind) {
      case 'node':
        this.nodes.take(signed as Signed & { statement: StatementOf<'node'> });
        return true;
      case 'tags':
        this.tags.take(signed as Signed & { statement: StatementOf<'tags'> });
        this.tagIndex.set(statement.signer, statement.body.tags);
        return true;
      case 'holdings':
      case 'holdings-delta':
      case 'holdings-head':
        return this.holdings.take(signed);
    }
  }

  #dates(statement: Statement, way: Way): void {
    const now = this.#options.world.now();
    const latest = now + CLOCK_SKEW_MS;
    const { kind, signer, seq, notAfter } = statement;
    const future =
      notAfter > latest + KINDS[kind].validityMs ||
      (kind === 'tags' && statement.body.tags.some(tag => tag.observedAt > latest || tag.renewedAt > latest));
    if (future && way !== 'own')
      throw new MirrorError('STATEMENT_FUTURE', `${kind} ${seq} of ${signer} is dated ahead of this clock`);
    const renewable = way === 'sync' && (kind === 'holdings' || kind === 'holdings-delta');
    if (notAfter <= now && !renewable && way !== 'own')
      throw new MirrorError('STATEMENT_REPLAYED', `${kind} ${seq} of ${signer} ended before it came`);
  }

  /** False for what is here already, or came late by chance. @throws STATEMENT_REPLAYED */
  #isNew(statement: Statement, signature: Uint8Array, last: Place | undefined, from: PeerId, way: Way): boolean {
    const { kind, signer, start, seq } = statement;
    if (!last || start > last.start || (start === last.start && seq > last.seq)) return true;
    if (start === last.start && seq === last.seq && last.signature.equals(signature)) return false;
    const late = start === last.start && seq < last.seq && (way === 'sync' || from !== signer);
    if (late) return false;
    throw new MirrorError(
      'STATEMENT_REPLAYED',
      `${kind} ${start}/${seq} of ${signer} came after ${last.start}/${last.seq}`,
    );
  }
}

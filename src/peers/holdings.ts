/**
 * Who says to everybody that it holds what. Promises: everything lies in memory with each distinct claim once, and every
 * statement can be made again bit by bit for others. Refuses to know whether a signer counts and whether signatures hold:
 * the table judged before. Spec: PROTOCOL.md, "Statements".
 */
import { assert, MirrorError } from '../errors.ts';
import type { Digest, PeerId } from '../oci/oci.ts';
import { type Claim, type Claimant, Claims, type Found } from './claims.ts';
import { type Header, type Signed, type Statement, type StatementOf } from './envelope.ts';
import type { Holding } from './peers.ts';

/** Deltas after a snapshot; a signer makes a new snapshot instead of one more. */
export const DELTAS_MAX = 32;
/** How long after its end a signer's state is kept, to be renewed by a late head. */
export const HOLDINGS_GRACE_MS = 600_000;

interface Snapshot {
  readonly header: Header;
  readonly signature: Uint8Array;
  readonly entries: readonly Claim[];
}

interface Delta extends Omit<Snapshot, 'entries'> {
  readonly after: number;
  readonly add: readonly Claim[];
  readonly drop: readonly Digest[];
}

class Slot implements Claimant {
  readonly peer: PeerId;
  readonly limited = false;
  snapshot: Snapshot;
  deltas: Delta[] = [];
  head: Signed | undefined;
  /** What holds after the deltas; the snapshot's own list where there are none. */
  held: readonly Claim[] = [];
  notAfter = 0;

  constructor(peer: PeerId, snapshot: Snapshot) {
    this.peer = peer;
    this.snapshot = snapshot;
  }

  says(claim: Holding): Signed {
    const delta = this.deltas.findLast(d => d.add.some(added => added === claim));
    return delta ? signedDelta(delta) : signedSnapshot(this);
  }
}

/** Where a signer's holdings stand: the newest snapshot or delta, and the newest head (0: none). */
export interface HoldingsMark {
  readonly start: number;
  readonly state: number;
  readonly head: number;
  readonly notAfter: number;
  /** Digests held. */
  readonly count: number;
}

export class Holdings {
  readonly #claims: Claims;
  readonly #slots = new Map<PeerId, Slot>();

  constructor(claims = new Claims()) {
    this.#claims = claims;
  }

  /** Takes a statement that is newer than all of its signer. False: it builds on a state that is not here. @throws LIMIT_EXCEEDED */
  take(signed: Signed): boolean {
    const { statement } = signed;
    const slot = this.#slots.get(statement.signer);
    switch (statement.kind) {
      case 'holdings':
        this.#takeSnapshot(statement, signed.signature, slot);
        return true;
      case 'holdings-delta':
        return this.#takeDelta(statement, signed.signature, slot);
      case 'holdings-head':
        if (!slot || slot.snapshot.header.start !== statement.start || stateOf(slot) !== statement.body.of)
          return false;
        slot.head = signed;
        slot.notAfter = statement.notAfter;
        return true;
      case 'node':
      case 'tags':
      case 'limited':
        assert(false, `holdings were given a ${statement.kind}`);
    }
  }

  /** Who holds `digest` by statements valid at `now`; ms since 1970. */
  find(digest: Digest, now: number): Found[] {
    return this.#claims.find(digest, now);
  }

  mark(peer: PeerId): HoldingsMark | undefined {
    const slot = this.#slots.get(peer);
    if (!slot) return undefined;
    const head = slot.head?.statement.seq ?? 0;
    return {
      start: slot.snapshot.header.start,
      state: stateOf(slot),
      head,
      notAfter: slot.notAfter,
      count: slot.held.length,
    };
  }

  /** The statements that somebody lacks whose own mark is `since`, in order, each made when it is asked for. */
  *lacking(peer: PeerId, since?: { start: number; state: number; head: number }): Generator<Signed> {
    const slot = this.#slots.get(peer);
    if (!slot) return;
    const { start } = slot.snapshot.header;
    const states = [slot.snapshot.header.seq, ...slot.deltas.map(delta => delta.header.seq)];
    const known = since?.start === start ? states.indexOf(since.state) : -1;
    if (since && (since.start > start || (since.start === start && since.state > stateOf(slot)))) return;
    if (known < 0) yield signedSnapshot(slot);
    for (const delta of slot.deltas.slice(Math.max(known, 0))) yield signedDelta(delta);
    if (slot.head && (since?.start !== start || slot.head.statement.seq > since.head)) yield slot.head;
  }

  /** Everybody with a state here. */
  peers(): Iterable<PeerId> {
    return this.#slots.keys();
  }

  forget(peer: PeerId): void {
    const slot = this.#slots.get(peer);
    if (!slot) return;
    this.#claims.hold(slot, []);
    this.#slots.delete(peer);
  }

  /** Forgets what ended long ago, but of `self`; names whose it was. */
  sweep(now: number, self: PeerId): readonly PeerId[] {
    const ended = [...this.#slots.values()].filter(slot => slot.notAfter + HOLDINGS_GRACE_MS < now);
    const forgotten = ended.map(({ peer }) => peer).filter(peer => peer !== self);
    for (const peer of forgotten) this.forget(peer);
    return forgotten;
  }

  #takeSnapshot(statement: StatementOf<'holdings'>, signature: Uint8Array, old: Slot | undefined): void {
    this.#claims.room(statement.body.entries);
    const entries = statement.body.entries.map(entry => this.#claims.intern(entry));
    const snapshot = { header: headerOf(statement), signature, entries };
    const slot = old ?? new Slot(statement.signer, snapshot);
    this.#claims.hold(slot, entries);
    Object.assign(slot, { snapshot, deltas: [], head: undefined, notAfter: statement.notAfter });
    this.#slots.set(slot.peer, slot);
  }

  #takeDelta(statement: StatementOf<'holdings-delta'>, signature: Uint8Array, slot: Slot | undefined): boolean {
    const { after, add, drop } = statement.body;
    if (!slot || slot.snapshot.header.start !== statement.start || stateOf(slot) !== after) return false;
    if (slot.deltas.length >= DELTAS_MAX)
      throw new MirrorError('LIMIT_EXCEEDED', `${slot.peer} sent more than ${DELTAS_MAX} deltas after a snapshot`);
    this.#claims.room(add);
    const claims = add.map(entry => this.#claims.intern(entry));
    const gone = new Set<Digest>([...drop, ...add.map(entry => entry.digest)]);
    const kept = slot.held.filter(claim => !gone.has(claim.digest));
    this.#claims.hold(slot, [...kept, ...claims]);
    // What it renewed is no longer the state.
    slot.head = undefined;
    slot.deltas.push({ header: headerOf(statement), signature, after, add: claims, drop });
    slot.notAfter = Math.max(slot.notAfter, statement.notAfter);
    return true;
  }
}

const headerOf = ({ signer, start, seq, notAfter }: Statement): Header => ({ signer, start, seq, notAfter });
const stateOf = (slot: Slot): number => slot.deltas.at(-1)?.header.seq ?? slot.snapshot.header.seq;

function signedSnapshot({ snapshot: { header, signature, entries } }: Slot): Signed {
  return { statement: { ...header, kind: 'holdings', body: { entries } }, signature };
}

function signedDelta({ header, signature, after, add, drop }: Delta): Signed {
  return { statement: { ...header, kind: 'holdings-delta', body: { after, add, drop } }, signature };
}

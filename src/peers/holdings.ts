/**
 * Who says that it holds what. Promises: everything lies in memory with each distinct claim once, a lookup touches only
 * the holders of its digest, and every statement can be made again bit by bit for others. Refuses to know whether a signer
 * counts and whether signatures hold: the table judged before. Spec: PROTOCOL.md, "Statements".
 */
import { assert, MirrorError } from '../errors.ts';
import type { Digest, PeerId } from '../oci/oci.ts';
import type { Root } from '../proof/proof.ts';
import { encodeSigned, type Header, type Signed, type Statement, type StatementOf } from './envelope.ts';
import type { Holding } from './peers.ts';

/** Distinct (digest, size, root) that are kept, of all signers together; about 300 bytes each. */
export const CLAIMS_MAX = 262_144;
/** Deltas after a snapshot; a signer makes a new snapshot instead of one more. */
export const DELTAS_MAX = 32;
/** How long after its end a signer's state is kept, to be renewed by a late head. */
export const HOLDINGS_GRACE_MS = 600_000;

/** One thing that nodes say, kept once however many say it. */
class Claim implements Holding {
  readonly digest: Digest;
  readonly size: number;
  readonly root: Root;
  readonly holders: Slot[] = [];
  /** Another claim about the same digest. */
  next: Claim | undefined;

  constructor({ digest, size, root }: Holding) {
    this.digest = digest;
    this.size = size;
    this.root = root;
  }
}

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

interface Slot {
  readonly peer: PeerId;
  snapshot: Snapshot;
  deltas: Delta[];
  head: Signed | undefined;
  /** What holds after the deltas; the snapshot's own list where there are none. */
  held: readonly Claim[];
  notAfter: number;
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

export interface Found {
  readonly peer: PeerId;
  readonly holding: Holding;
  /** The signed statement that says so. */
  statement(): Uint8Array;
}

export class Holdings {
  readonly #index = new Map<Digest, Claim>();
  readonly #slots = new Map<PeerId, Slot>();
  #claims = 0;

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
        assert(false, `holdings were given a ${statement.kind}`);
    }
  }

  /** Who holds `digest` by statements valid at `now`; ms since 1970. */
  find(digest: Digest, now: number): Found[] {
    const found: Found[] = [];
    for (let claim = this.#index.get(digest); claim; claim = claim.next) {
      const holding = claim;
      for (const slot of claim.holders)
        if (slot.notAfter > now)
          found.push({ peer: slot.peer, holding, statement: () => encodeSigned(statementWith(slot, holding)) });
    }
    return found;
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
    this.#hold(slot, []);
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
    this.#room(statement.body.entries);
    const entries = statement.body.entries.map(entry => this.#intern(entry));
    const snapshot = { header: headerOf(statement), signature, entries };
    const slot = old ?? { peer: statement.signer, snapshot, deltas: [], head: undefined, held: [], notAfter: 0 };
    this.#hold(slot, entries);
    Object.assign(slot, { snapshot, deltas: [], head: undefined, notAfter: statement.notAfter });
    this.#slots.set(slot.peer, slot);
  }

  #takeDelta(statement: StatementOf<'holdings-delta'>, signature: Uint8Array, slot: Slot | undefined): boolean {
    const { after, add, drop } = statement.body;
    if (!slot || slot.snapshot.header.start !== statement.start || stateOf(slot) !== after) return false;
    if (slot.deltas.length >= DELTAS_MAX)
      throw new MirrorError('LIMIT_EXCEEDED', `${slot.peer} sent more than ${DELTAS_MAX} deltas after a snapshot`);
    this.#room(add);
    const claims = add.map(entry => this.#intern(entry));
    const gone = new Set<Digest>([...drop, ...add.map(entry => entry.digest)]);
    const kept = slot.held.filter(claim => !gone.has(claim.digest));
    this.#hold(slot, [...kept, ...claims]);
    // What it renewed is no longer the state.
    slot.head = undefined;
    slot.deltas.push({ header: headerOf(statement), signature, after, add: claims, drop });
    slot.notAfter = Math.max(slot.notAfter, statement.notAfter);
    return true;
  }

  /** @throws LIMIT_EXCEEDED before anything is changed */
  #room(entries: readonly Holding[]): void {
    let fresh = 0;
    for (const entry of entries) if (!this.#known(entry)) fresh++;
    if (this.#claims + fresh > CLAIMS_MAX)
      throw new MirrorError('LIMIT_EXCEEDED', `the cluster states more than ${CLAIMS_MAX} different contents`);
  }

  #known({ digest, size, root }: Holding): Claim | undefined {
    let claim = this.#index.get(digest);
    while (claim && (claim.size !== size || claim.root !== root)) claim = claim.next;
    return claim;
  }

  #intern(entry: Holding): Claim {
    const known = this.#known(entry);
    if (known) return known;
    const claim = new Claim(entry);
    claim.next = this.#index.get(entry.digest);
    this.#index.set(entry.digest, claim);
    this.#claims++;
    return claim;
  }

  /** Makes `claims` all that the slot holds. */
  #hold(slot: Slot, claims: readonly Claim[]): void {
    const wanted = new Set(claims);
    const had = new Set(slot.held);
    for (const claim of wanted) if (!had.has(claim)) claim.holders.push(slot);
    for (const claim of had) if (!wanted.has(claim)) this.#release(claim, slot);
    slot.held = claims;
  }

  #release(claim: Claim, slot: Slot): void {
    const last = claim.holders.pop();
    if (last !== slot && last) claim.holders[claim.holders.indexOf(slot)] = last;
    if (claim.holders.length > 0) return;
    const first = this.#index.get(claim.digest);
    if (first === claim) {
      if (claim.next) this.#index.set(claim.digest, claim.next);
      else this.#index.delete(claim.digest);
    } else {
      let before = first;
      while (before && before.next !== claim) before = before.next;
      if (before) before.next = claim.next;
    }
    this.#claims--;
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

function statementWith(slot: Slot, claim: Holding): Signed {
  const delta = slot.deltas.findLast(d => d.add.some(added => added === claim));
  return delta ? signedDelta(delta) : signedSnapshot(slot);
}

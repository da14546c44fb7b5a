/**
 * What this node itself states: where it can be reached, what it holds, what tags it saw. Promises: a statement is recorded
 * before anybody gets it, its numbers only grow, and a change of holdings is a delta while that is small. Refuses to know
 * how statements travel: `spread` is given. Spec: PROTOCOL.md, "Statements".
 */
import { type Digest, formatReference } from '../oci/oci.ts';
import type { World } from '../world.ts';
import {
  type Body,
  DELTA_MAX,
  HOLDINGS_MAX,
  type Kind,
  order,
  sameHolding,
  sortedHoldings,
  TAGS_MAX,
} from './bodies.ts';
import { encodeStatement, KINDS, type Signed, signStatement, type Statement } from './envelope.ts';
import { DELTAS_MAX } from './holdings.ts';
import type { Holding, Log, OwnKey, RecordEvent, TagStatement } from './peers.ts';
import type { Table } from './table.ts';

/** How often a node says that its holdings still hold. */
export const RENEW_MS = 60_000;
/** How often it signs its node record again. */
export const NODE_RECORD_RENEW_MS = 86_400_000;

export interface StatingOptions {
  readonly world: World;
  readonly self: OwnKey;
  readonly table: Table;
  readonly record: RecordEvent;
  readonly log: Log;
  /** Hands a signed statement to others. */
  readonly spread: (signed: Signed) => Promise<void>;
}

export class Stating {
  readonly #options: StatingOptions;
  #seq = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #held: ReadonlyMap<Digest, Holding> | undefined;
  #state = 0;
  #deltas = 0;
  #address: { readonly addresses: readonly string[]; readonly lanePort: number } | undefined;
  #addressAt = 0;

  constructor(options: StatingOptions) {
    this.#options = options;
  }

  /** States where this node can be reached: `host:port` each, and the port of its lanes. */
  reachable(addresses: readonly string[], lanePort: number): Promise<void> {
    return this.#next(async () => {
      this.#address = { addresses, lanePort };
      this.#addressAt = this.#options.world.monotonic();
      await this.#say({ kind: 'node', body: this.#address });
    });
  }

  /** States that these, and no others, are held. Beyond HOLDINGS_MAX the rest is left out, with a warning. */
  hold(holdings: readonly Holding[]): Promise<void> {
    if (holdings.length > HOLDINGS_MAX)
      this.#options.log('warn', `this node holds ${holdings.length} contents and can state only ${HOLDINGS_MAX}`);
    const wanted = new Map(holdings.slice(0, HOLDINGS_MAX).map(holding => [holding.digest, holding]));
    return this.#next(() => this.#hold(wanted));
  }

  /** States these tags and no others. Beyond TAGS_MAX the rest is left out, with a warning. */
  stateTags(tags: readonly TagStatement[]): Promise<void> {
    if (tags.length > TAGS_MAX)
      this.#options.log('warn', `this node has ${tags.length} tags and can state only ${TAGS_MAX}`);
    const byName = new Map(tags.map(tag => [formatReference(tag.reference), tag]));
    const sorted = [...byName].sort((a, b) => order(a[0], b[0])).map(([, tag]) => whole(tag));
    return this.#next(async () => {
      await this.#say({ kind: 'tags', body: { tags: sorted.slice(0, TAGS_MAX) } });
    });
  }

  /** Renews what would end; to be called every RENEW_MS. */
  renew(): Promise<void> {
    return this.#next(async () => {
      if (this.#held) await this.#head();
      const { world } = this.#options;
      if (!this.#address || world.monotonic() - this.#addressAt < NODE_RECORD_RENEW_MS) return;
      this.#addressAt = world.monotonic();
      await this.#say({ kind: 'node', body: this.#address });
    });
  }

  async #hold(wanted: ReadonlyMap<Digest, Holding>): Promise<void> {
    const held = this.#held;
    if (held) {
      const add = sortedHoldings([...wanted.values()].filter(now => !sameHolding(now, held.get(now.digest))));
      const drop = [...held.keys()].filter(digest => !wanted.has(digest)).sort(order);
      if (add.length + drop.length === 0) return;
      if (await this.#delta(add, drop)) {
        this.#held = wanted;
        return;
      }
    }
    const signed = await this.#say({ kind: 'holdings', body: { entries: sortedHoldings([...wanted.values()]) } });
    this.#held = wanted;
    this.#state = signed.statement.seq;
    this.#deltas = 0;
    // A snapshot may be too large for gossip; its head tells everybody that it is there.
    await this.#head();
  }

  /** False where a snapshot is due instead. */
  async #delta(add: readonly Holding[], drop: readonly Digest[]): Promise<boolean> {
    if (this.#deltas >= DELTAS_MAX || add.length > DELTA_MAX || drop.length > DELTA_MAX) return false;
    const body: Body = { kind: 'holdings-delta', body: { after: this.#state, add, drop } };
    if (encodeStatement(this.#statement(body, this.#seq + 1)).length > KINDS['holdings-delta'].maxBytes) return false;
    const signed = await this.#say(body);
    this.#state = signed.statement.seq;
    this.#deltas += 1;
    return true;
  }

  async #head(): Promise<void> {
    await this.#say({ kind: 'holdings-head', body: { of: this.#state } });
  }

  /** Signs, records, takes into the own table and spreads one statement. */
  async #say(body: Body): Promise<Signed> {
    const { self, table, record, spread } = this.#options;
    const signed = signStatement(this.#statement(body, ++this.#seq), bytes => self.sign(bytes));
    await record({ event: 'statement.signed', kind: body.kind, seq: signed.statement.seq });
    table.own(signed);
    await spread(signed);
    return signed;
  }

  #statement(body: Body, seq: number): Statement {
    const { world, self } = this.#options;
    const kind: Kind = body.kind;
    return {
      ...body,
      signer: self.peer,
      start: self.start,
      seq,
      notAfter: Math.floor(world.now()) + KINDS[kind].validityMs,
    };
  }

  /** One after another, so that numbers go out in order. */
  #next(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}

/** Clocks and files may count in parts of a millisecond; statements do not. */
const whole = (tag: TagStatement): TagStatement => ({
  ...tag,
  observedAt: Math.floor(tag.observedAt),
  renewedAt: Math.floor(tag.renewedAt),
});

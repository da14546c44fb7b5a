/**
 * The control plane: joins table, gossip, sync, discovery and questions over one wire. Promises: what is new reaches
 * everybody, what was revoked is cut off at once, what was known is known again after a restart. Refuses to know lanes and
 * rankings. Spec: PROTOCOL.md.
 */
import type { PeerId } from '../oci/oci.ts';
import type { Keep, World } from '../world.ts';
import type { Bootstrap } from './address.ts';
import { Discovery, type Resolve } from './discovery.ts';
import { encodeSigned, type Signed } from './envelope.ts';
import { Gossip, GOSSIP_ITEM_MAX_BYTES } from './gossip.ts';
import { hearLimited } from './hearing.ts';
import { encodeItem, Intake, type Taken } from './intake.ts';
import { Kept } from './kept.ts';
import { Links } from './links.ts';
import { MemberWatch } from './member-watch.ts';
import type { Clone, Giver, Holding, Log, Membership, OwnKey, RecordEvent, Verify } from './peers.ts';
import { Policies } from './policies.ts';
import { Questions } from './questions.ts';
import { RENEW_MS, Stating } from './stating.ts';
import { Sync } from './sync.ts';
import { Table } from './table.ts';
import { Telling } from './telling.ts';
import type { ControlWire, Link } from './wire.ts';

/** Links with which a node compares heads in one round. */
export const SYNC_LINKS = 8;
/** Links to which large news that came by sync is handed on. */
export const SPREAD_LINKS = 4;
/** Pauses before each attempt to fetch what a head spoke of. */
const CATCH_UP_MS = [200, 1_500, 5_000];
/** Pauses before each attempt at the first sync of a link: a node that just started may not answer yet. */
const FIRST_SYNC_MS = [0, 500, 2_000, 8_000];

export interface ControlPlaneOptions {
  readonly world: World;
  readonly wire: ControlWire;
  readonly self: OwnKey;
  readonly members: Membership;
  readonly verify: Verify;
  readonly giver: Giver;
  readonly record: RecordEvent;
  readonly keeps: { readonly nodes: Keep; readonly tags: Keep };
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly bootstrap: readonly Bootstrap[];
  readonly resolve: Resolve;
  /** This node's own `host:port`s. */
  readonly own: readonly string[];
  /** Hears of every peer that the issuer shut out, after its links were closed. */
  readonly revoked: (peer: PeerId) => void;
}

export class ControlPlane {
  readonly table: Table;
  readonly stating: Stating;
  readonly discovery: Discovery;
  readonly questions: Questions;
  readonly #options: ControlPlaneOptions;
  readonly #intake: Intake;
  readonly #gossip: Gossip;
  readonly #links: Links;
  readonly #policies: Policies;
  readonly #telling: Telling;
  readonly #sync: Sync;
  readonly #kept: Kept;
  readonly #watch: MemberWatch;
  readonly #behind = new Set<PeerId>();

  constructor(options: ControlPlaneOptions) {
    const { world, wire, self, members, record, log, signal } = options;
    this.#options = options;
    const table = new Table({
      world,
      self: self.peer,
      members,
      verify: options.verify,
      cloned: clone => void this.#cloned(clone),
    });
    const intake = new Intake({ members, table, record });
    this.#intake = intake;
    this.table = table;
    this.#gossip = new Gossip({ world, wire, intake, log, taken: (what, from) => this.#taken(what, from) });
    this.#links = new Links(world, wire);
    this.#policies = new Policies({ ...options, intake, links: this.#links, taken: () => this.#watch.look() });
    this.#telling = new Telling(options);
    this.#sync = new Sync({
      ...options,
      table,
      intake,
      taken: (what, from, item) => this.#synced(what, from, item),
    });
    this.stating = new Stating({ world, self, table, record, log, spread: signed => this.#spreadOwn(signed) });
    this.#kept = new Kept({ world, self: self.peer, table, keeps: options.keeps, log, signal });
    const nodeOf = (peer: PeerId): ReturnType<Membership['node']> => members.node(peer);
    this.questions = new Questions({ world, wire, giver: options.giver, record, signal, nodeOf });
    this.discovery = new Discovery({
      ...options,
      self: self.peer,
      own: new Set(options.own),
      known: () => this.#known(),
    });
    this.#watch = new MemberWatch({
      ...options,
      shutOut: peer => this.#shutOut(peer),
      news: item => this.#spread(item),
      newPolicy: item => this.#policies.spread(item),
    });
  }

  /** Reads what was kept, answers peers, and begins to seek them. @throws FILE_UNREADABLE */
  async start(): Promise<void> {
    await this.#kept.load();
    this.#links.start(link => void this.#firstSync(link));
    this.#sync.start();
    this.#gossip.start();
    this.#policies.start();
    hearLimited({ ...this.#options, limited: this.table.limited, intake: this.#intake });
    this.#telling.start();
    this.questions.start();
    this.#watch.start();
    void this.discovery.run();
    void this.#minutes();
  }

  /** Says what this node holds from now on: to everybody, or to each whom the audience of a holding lets know. */
  hold(holdings: readonly Holding[]): Promise<void> {
    this.#telling.hold(holdings.filter(({ audience }) => audience));
    return this.stating.hold(holdings.filter(({ audience }) => !audience));
  }

  /** Addresses of `peer` by its node record. */
  addressesOf(peer: PeerId): readonly string[] {
    return this.table.nodes.get(peer)?.body.addresses ?? [];
  }

  /** The link with `peer`, dialled by its node record where there is none. @throws PEER_UNREACHABLE, PEER_REFUSED, STOPPED */
  connect(peer: PeerId, signal: AbortSignal): Promise<Link> {
    return this.discovery.connect(peer, this.addressesOf(peer), signal);
  }

  /** Writes what is waiting to be kept. */
  flush(): Promise<void> {
    return this.#kept.flush();
  }

  *#known(): Generator<readonly [PeerId, readonly string[]]> {
    for (const [peer, { body }] of this.table.nodes.entries())
      if (this.#options.members.node(peer)) yield [peer, body.addresses];
  }

  async #minutes(): Promise<void> {
    const { world, signal, log } = this.#options;
    while (!signal.aborted) {
      const [byte = 0] = world.random(1);
      // Not all nodes of a cluster that was started at once in the same moment.
      await world.sleep(Math.floor(RENEW_MS * (0.9 + byte / 2560)), signal);
      if (signal.aborted) return;
      this.table.sweep();
      await this.stating.renew().catch((error: unknown) => log('warn', `nothing was renewed: ${String(error)}`));
      this.#telling.renew();
      await this.#watch.check();
      for (const peer of this.#links.some(SYNC_LINKS)) {
        void this.#sync.request(peer);
        void this.#policies.request(peer);
      }
    }
  }

  async #spreadOwn(signed: Signed): Promise<void> {
    if (signed.statement.kind === 'node') this.#kept.changed('nodes');
    if (signed.statement.kind === 'tags') this.#kept.changed('tags');
    await this.#spread(encodeItem('statement', encodeSigned(signed)));
  }

  async #spread(item: Uint8Array): Promise<void> {
    if (!(await this.#gossip.publish(item))) {
      for (const peer of this.#links.some(SYNC_LINKS)) void this.#sync.request(peer);
      return;
    }
    for (const peer of this.#links.young()) void this.#sync.request(peer);
  }

  #taken(what: Taken, from: PeerId): void {
    if (!what.signer) return;
    if (what.outcome === 'ahead') void this.#catchUp(what.signer, from);
    if (what.outcome !== 'taken') return;
    this.#behind.delete(what.signer);
    if (what.kind === 'tags') this.#kept.changed('tags');
    if (what.kind !== 'node') return;
    this.#kept.changed('nodes');
    this.discovery.wake();
  }

  #synced(what: Taken, from: PeerId, item: Uint8Array): void {
    if (what.outcome === 'ahead') return;
    this.#taken(what, from);
    if (what.outcome !== 'taken') return;
    const large = item.length > GOSSIP_ITEM_MAX_BYTES;
    // From its signer itself it is news to others; from anybody else they have heard of it.
    if (!large && what.signer === from) void this.#gossip.publish(item);
    if (large && (what.type === 'roster' || what.kind === 'tags'))
      for (const peer of this.#links.some(SPREAD_LINKS, from)) void this.#sync.request(peer);
  }

  async #firstSync(link: Link): Promise<void> {
    for (const pause of FIRST_SYNC_MS) {
      await this.#options.world.sleep(pause, this.#options.signal);
      if (!this.#links.has(link)) return;
      if (await this.#sync.request(link.peer)) return this.#policies.request(link.peer);
    }
  }

  /** Fetches what a head of `signer` spoke of, from the signer, from who passed the head on, or from anybody. */
  async #catchUp(signer: PeerId, from: PeerId): Promise<void> {
    const { world, wire, signal } = this.#options;
    if (this.#behind.has(signer)) return;
    this.#behind.add(signer);
    for (const pause of CATCH_UP_MS) {
      await world.sleep(pause, signal);
      if (signal.aborted || !this.#behind.has(signer)) return;
      const linked = new Set(wire.links().map(link => link.peer));
      const source = [signer, from, ...this.#links.some(1)].find(peer => linked.has(peer));
      if (source) await this.#sync.request(source);
    }
    this.#behind.delete(signer);
  }

  /** An alert, no judgement: the operator revokes. */
  async #cloned({ peer, start, other }: Clone): Promise<void> {
    const { members, record, log } = this.#options;
    const node = members.node(peer)?.name ?? peer;
    const cloned = { event: 'identity.cloned', peer, node, start, other } as const;
    const unrecorded = (error: unknown): void => log('warn', `no record of the clone of ${node}: ${String(error)}`);
    await record(cloned).catch(unrecorded);
    log(
      'warn',
      `${node} runs twice: starts ${other} and ${start} sign with one key. Revoke it and give it a new token`,
      {
        peer,
      },
    );
  }

  #shutOut(peer: PeerId): void {
    this.table.forget(peer);
    this.#kept.changed('nodes');
    this.#kept.changed('tags');
    this.#options.revoked(peer);
  }
}

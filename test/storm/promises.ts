/**
 * The promises, looked at after every step of a storm. Refuses to know how a node keeps them: it sees what was handed
 * over, what was recorded, who is connected, and what was told.
 */
import type { Code } from '../../src/errors.ts';
import type { Fetch } from '../../src/mirror/fetches.ts';
import type { Digest, PeerId, TagReference } from '../../src/oci/oci.ts';
import type { LaneWire } from '../../src/peers/wire.ts';
import type { StoryImage } from '../mirror/story-image.ts';
import type { MemoryWire } from '../support/memory-wire.ts';
import type { PullOutcome, Witness } from './client.ts';
import type { Network } from './network.ts';
import { isTrue } from './pictures.ts';
import { observeLanes, observeWire } from './records.ts';
import type { Scheduler } from './scheduler.ts';
import type { StormNode } from './storm-node.ts';

export const PROMISES = [
  'proved',
  'admitted',
  'revoked',
  'in time',
  'delivered',
  'recorded',
  'opens',
  'by digest',
] as const;
export type Promised = (typeof PROMISES)[number];

export interface Broken {
  readonly promise: Promised;
  /** Simulated ms. */
  readonly at: number;
  readonly what: string;
}

/** Headers are there within, and a request has ended within, so many simulated ms. */
const ANSWER_WITHIN_MS = 15_000;
const END_WITHIN_MS = 260_000;
/** Who was connected for so long without a cut can be relied on. */
const RELIED_MS = 30_000;
/** Two clocks further apart than this do not understand each other; skew is a minute. */
const IN_TUNE_MS = 55_000;

export class Watch {
  broken: Broken | undefined;
  /** Pulls that had to be delivered, as an honest node could be relied on for the content. */
  relied = 0;
  readonly #scheduler: Scheduler;
  readonly #network: Network;
  readonly #nodes: readonly StormNode[];
  readonly #open = new Set<{ readonly what: string; readonly since: number; answered: boolean }>();
  /** By peer: the roster that shuts it out. */
  readonly #revoked = new Map<PeerId, { readonly seq: number; readonly name: string; readonly host: string }>();
  /** Private contents, which nobody may be given. */
  readonly #kept = new Set<Digest>();
  readonly #looked = new Map<StormNode, number>();
  /** Of each fetch under way: from whom it came last, how far it was, and how much of it was free to go. */
  readonly #progress = new WeakMap<
    Fetch,
    { readonly source: string; readonly checked: number; readonly watermark: number }
  >();
  readonly #rosters = new WeakMap<object, number>();
  /** How many pieces of evidence each node had when they were looked at. */
  readonly #evidence = new Map<StormNode, number>();
  /** When each pair's clocks were last too far apart; simulated ms. */
  readonly #outOfTune = new Map<string, number>();

  readonly #images: readonly StoryImage[];
  readonly #collusion: boolean;

  /** `images` are all that anybody says, false ones too; with `collusion`, false bytes may be handed over. */
  constructor(
    scheduler: Scheduler,
    network: Network,
    nodes: readonly StormNode[],
    images: readonly StoryImage[],
    collusion: boolean,
  ) {
    this.#images = images;
    this.#collusion = collusion;
    this.#scheduler = scheduler;
    this.#network = network;
    this.#nodes = nodes;
  }

  break(promise: Promised, what: string): void {
    this.broken ??= { promise, at: this.#scheduler.now, what };
  }

  keepPrivate(digests: Iterable<Digest>): void {
    for (const digest of digests) this.#kept.add(digest);
  }

  revoke(node: StormNode, seq: number): void {
    this.#revoked.set(node.peer, { seq, name: node.name, host: node.host });
  }

  isRevoked(node: StormNode): boolean {
    return this.#revoked.has(node.peer);
  }

  unopened(node: StormNode, code: Code, message: string): void {
    this.break('opens', `${node.name} does not start: ${message} (${code})`);
  }

  /** Looks at what an honest node says from now on. */
  observe(node: StormNode, wire: MemoryWire): void {
    if (node.honest) observeWire(node, wire, what => this.break('recorded', what));
  }

  /** The lanes of an honest node. */
  lanes(node: StormNode, wire: LaneWire): LaneWire {
    return observeLanes(node, wire, what => this.break('recorded', what));
  }

  /** What the client of `node` does is seen here. */
  witness(node: StormNode, image: string): Witness {
    return {
      asked: (what, by) => {
        const request = { what, since: this.#scheduler.now, answered: false };
        const before = node.records.length;
        const needed = by === 'tag' ? ['tag.resolved', 'pull.started'] : ['pull.started'];
        this.#open.add(request);
        return {
          answered: () => void (request.answered = true),
          handed: digest => {
            for (const event of needed)
              if (node.recorded(event, { digest }, before) === 0)
                this.break('recorded', `${node.name} handed on ${digest} of ${image} without a record ${event}`);
          },
          ended: () => void this.#open.delete(request),
        };
      },
      untrue: (digest, offset) => {
        if (!this.#collusion) this.break('proved', `${node.name} handed on false bytes of ${digest} at ${offset}`);
      },
    };
  }

  /** The requests of a node that died are not waited for. */
  forget(name: string): void {
    for (const request of this.#open) if (request.what.startsWith(`${name} `)) this.#open.delete(request);
  }

  #isTrue(digest: Digest, offset: number, bytes: Uint8Array): boolean {
    return this.#images.every(image => !image.contents.has(digest) || isTrue(image, digest, offset, bytes));
  }

  /** Everything that can be seen after a step. */
  async look(): Promise<void> {
    const { now } = this.#scheduler;
    for (const { what, since, answered } of this.#open)
      if (now - since > (answered ? END_WITHIN_MS : ANSWER_WITHIN_MS))
        this.break('in time', `${what} waits since ${Math.round(now - since)} ms`);
    for (const node of this.#nodes) {
      if (!node.honest || !node.alive) continue;
      this.#lookAtRecords(node);
      await this.#lookAtFetches(node);
      this.#lookAtRevoked(node);
      this.#lookAtEvidence(node);
    }
  }

  #lookAtRecords(node: StormNode): void {
    const from = this.#looked.get(node) ?? 0;
    this.#looked.set(node, node.records.length);
    for (const record of node.records.slice(from))
      if (
        record.event.startsWith('serve.') &&
        record.event !== 'serve.refused' &&
        this.#kept.has(record.digest as Digest)
      )
        this.break('admitted', `${node.name} gave ${String(record.digest)} away, which is private: ${record.event}`);
  }

  /** What may be handed on by now is true, whether or not somebody takes it; nothing comes from who is shut out. */
  async #lookAtFetches(node: StormNode): Promise<void> {
    for (const fetch of node.running?.rooms.fetches.list() ?? []) {
      const { digest, source, checked, watermark, spooled } = fetch;
      const before = this.#progress.get(fetch) ?? { source: '', checked: 0, watermark: 0 };
      if (before.checked === checked && before.watermark === watermark && before.source === source) continue;
      this.#progress.set(fetch, { source, checked, watermark });
      if (source === before.source && checked > before.checked && this.#knowsRevoked(node, source))
        this.break('revoked', `${node.name} takes ${digest} from ${source}, whom it knows to be revoked`);
      if (watermark <= before.watermark || this.#collusion) continue;
      const bytes = new Uint8Array(watermark - before.watermark);
      const release = spooled.hold();
      const read = await spooled.read(bytes, before.watermark).finally(release);
      if (read < bytes.length || !this.#isTrue(digest, before.watermark, bytes))
        this.break('proved', `${node.name} would hand on false bytes of ${digest}, from ${source}, below ${watermark}`);
    }
  }

  #knowsRevoked(node: StormNode, name: string): boolean {
    for (const revoked of this.#revoked.values())
      if (revoked.name === name && (this.#rosterOf(node) ?? 0) >= revoked.seq) return true;
    return false;
  }

  /** The highest roster that this life of a node has known: it never goes back. */
  #rosterOf(node: StormNode): number | undefined {
    const { ground } = node;
    if (!ground) return undefined;
    const seq = Math.max(this.#rosters.get(ground) ?? 0, ground.members.roster.seq);
    this.#rosters.set(ground, seq);
    return seq;
  }

  #lookAtRevoked(node: StormNode): void {
    const { running, wire } = node;
    const roster = this.#rosterOf(node);
    if (roster === undefined || !running) return;
    const { peers } = running.rooms;
    for (const [peer, { seq, name, host }] of this.#revoked) {
      if (roster < seq) continue;
      const knows = `${node.name} knows roster ${seq} and`;
      if (wire?.links().some(link => link.peer === peer))
        this.break('revoked', `${knows} is still connected with ${name}`);
      if (this.#network.lanes.between(node.host, host) > 0) this.break('revoked', `${knows} has a lane with ${name}`);
      if (peers.status().some(({ node: other }) => other.peer === peer))
        this.break('revoked', `${knows} still counts ${name}`);
      for (const { target, reference } of this.#images) {
        if (peers.holders(target.digest).some(holder => holder.node.peer === peer))
          this.break('revoked', `${knows} still takes what ${name} says that it holds`);
        const tag = reference as TagReference;
        if (peers.tagStatements(tag).some(statement => statement.node.peer === peer))
          this.break('revoked', `${knows} still hears what ${name} says of tags`);
      }
    }
  }

  /** Whoever is refuted is in the log as a liar. */
  #lookAtEvidence(node: StormNode): void {
    const evidence = node.running?.rooms.evidence.list() ?? [];
    if (evidence.length === this.#evidence.get(node)) return;
    this.#evidence.set(node, evidence.length);
    for (const { peer, digest } of evidence) {
      if (node.recorded('lie.found', { peer, digest, kind: 'proof' }, 0) === 0)
        this.break('recorded', `${node.name} refutes ${peer} and has no record of its lie about ${digest}`);
      if (!this.#nodes.some(other => other.peer === peer && !other.honest))
        this.break('by digest', `${node.name} refutes ${peer}, which is honest`);
    }
  }

  /** Clocks have moved. */
  clocks(): void {
    for (const a of this.#nodes)
      for (const b of this.#nodes)
        if (a.name < b.name && Math.abs(a.clockMs - b.clockMs) > IN_TUNE_MS)
          this.#outOfTune.set(`${a.name} ${b.name}`, this.#scheduler.now);
  }

  /** Judges how a pull by digest ended that began at `began`. */
  judge(node: StormNode, image: string, began: number, outcome: PullOutcome): void {
    if (outcome.code === 'DIGEST_MISMATCH') this.break('by digest', `${node.name}: ${image} became another image`);
    if (!this.#isWell(node, began)) return;
    const holder = this.#nodes.find(other => other !== node && this.#canGive(other, node, image, began));
    if (!holder) return;
    this.relied += 1;
    if (!outcome.whole)
      this.break('delivered', `${node.name} did not get ${image} (${outcome.code}), which ${holder.name} has`);
  }

  #canGive(holder: StormNode, to: StormNode, image: string, began: number): boolean {
    const since = began - RELIED_MS;
    const got = holder.imported.get(image) ?? Infinity;
    const [a, b] = [holder.name, to.name].sort();
    return (
      holder.honest &&
      got < since &&
      (holder.removed.get(image) ?? -1) < got &&
      this.#isWell(holder, began) &&
      this.#network.lastTrouble(holder.host, to.host) <= Math.max(0, since) &&
      (this.#outOfTune.get(`${a} ${b}`) ?? -1) <= Math.max(0, since) &&
      Math.abs(holder.clockMs - to.clockMs) <= IN_TUNE_MS
    );
  }

  /** Up, and without trouble of its own for long enough. */
  #isWell(node: StormNode, began: number): boolean {
    return node.alive && !node.full && node.troubledAt <= began - RELIED_MS;
  }
}

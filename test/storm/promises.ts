/**
 * The promises, looked at after every step of a storm. Refuses to know how a node keeps them: it sees what was handed
 * over, what was recorded, who is connected, and what was told.
 */
import type { Code } from '../../src/errors.ts';
import type { Fetch } from '../../src/mirror/fetches.ts';
import type { Digest, PeerId } from '../../src/oci/oci.ts';
import { parseSigned } from '../../src/peers/envelope.ts';
import type { MemoryWire } from '../support/memory-wire.ts';
import type { PullOutcome, Witness } from './client.ts';
import type { Network } from './network.ts';
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
const STATEMENT = 0x73;

export class Watch {
  broken: Broken | undefined;
  /** Pulls that had to be delivered, as an honest node could be relied on for the content. */
  relied = 0;
  readonly #scheduler: Scheduler;
  readonly #network: Network;
  readonly #nodes: readonly StormNode[];
  readonly #open = new Set<{ readonly what: string; readonly since: number; answered: boolean }>();
  /** By peer: the roster that shuts it out. */
  readonly #revoked = new Map<PeerId, { readonly seq: number; readonly name: string }>();
  /** Private contents, which nobody may be given. */
  readonly #kept = new Set<Digest>();
  readonly #looked = new Map<StormNode, number>();
  /** Of each fetch under way: from whom it came last, and how far it was. */
  readonly #progress = new WeakMap<Fetch, { readonly source: string; readonly checked: number }>();
  /** When each pair's clocks were last too far apart; simulated ms. */
  readonly #outOfTune = new Map<string, number>();

  readonly #collusion: boolean;

  constructor(scheduler: Scheduler, network: Network, nodes: readonly StormNode[], collusion: boolean) {
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
    this.#revoked.set(node.peer, { seq, name: node.name });
  }

  isRevoked(node: StormNode): boolean {
    return this.#revoked.has(node.peer);
  }

  unopened(node: StormNode, code: Code, message: string): void {
    this.break('opens', `${node.name} does not start: ${message} (${code})`);
  }

  /** Looks at what an honest node says from now on. */
  observe(node: StormNode, wire: MemoryWire): void {
    if (!node.honest) return;
    wire.onLink(({ peer, address }, open) => {
      if (open && !node.hasRecord('peer.admitted', { peer }))
        this.break('recorded', `${node.name} is connected with ${address}, and has no record of admitting it`);
    });
    const publish = wire.publish.bind(wire);
    wire.publish = (topic, message) => {
      if (message[0] === STATEMENT) {
        const { statement } = parseSigned(message.subarray(1));
        const { signer, kind, seq } = statement;
        if (signer === node.peer && !node.hasRecord('statement.signed', { kind, seq }))
          this.break('recorded', `${node.name} sends statement ${seq} (${kind}), and has no record of signing it`);
      }
      return publish(topic, message);
    };
  }

  /** What the client of `node` does is seen here. */
  witness(node: StormNode, image: string): Witness {
    return {
      asked: what => {
        const request = { what, since: this.#scheduler.now, answered: false };
        this.#open.add(request);
        return {
          answered: () => void (request.answered = true),
          ended: () => void this.#open.delete(request),
        };
      },
      untrue: (digest, offset) => {
        if (!this.#collusion) this.break('proved', `${node.name} handed on false bytes of ${digest} at ${offset}`);
      },
      handed: (event, digest) => {
        if (!node.hasRecord(event, { digest }))
          this.break('recorded', `${node.name} handed on ${digest} of ${image} without a record ${event}`);
      },
    };
  }

  /** The requests of a node that died are not waited for. */
  forget(name: string): void {
    for (const request of this.#open) if (request.what.startsWith(`${name} `)) this.#open.delete(request);
  }

  get waiting(): number {
    return this.#open.size;
  }

  /** Everything that can be seen after a step. */
  look(): void {
    const { now } = this.#scheduler;
    for (const { what, since, answered } of this.#open)
      if (now - since > (answered ? END_WITHIN_MS : ANSWER_WITHIN_MS))
        this.break('in time', `${what} waits since ${Math.round(now - since)} ms`);
    for (const node of this.#nodes) {
      if (!node.honest || !node.alive) continue;
      this.#lookAtRecords(node);
      this.#lookAtFetches(node);
      this.#lookAtRevoked(node);
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

  /** What came from an honest giver since the last look was recorded there. */
  #lookAtFetches(node: StormNode): void {
    for (const fetch of node.running?.rooms.fetches.list() ?? []) {
      const { digest, source, checked } = fetch;
      const before = this.#progress.get(fetch);
      this.#progress.set(fetch, { source, checked });
      if (before?.source !== source || before.checked >= checked) continue;
      const giver = this.#nodes.find(({ name }) => name === source);
      if (giver?.honest && !giver.hasRecord('serve.started', { peer: node.peer, digest }, true))
        this.break('recorded', `${giver.name} gave ${digest} to ${node.name} without a record`);
    }
  }

  #lookAtRevoked(node: StormNode): void {
    const { ground, running } = node;
    if (!ground || !running) return;
    for (const [peer, { seq, name }] of this.#revoked) {
      if (ground.members.roster.seq < seq) continue;
      if (node.wire?.links().some(link => link.peer === peer))
        this.break('revoked', `${node.name} knows roster ${seq} and is still connected with ${name}`);
      if (running.rooms.peers.status().some(({ node: other }) => other.peer === peer))
        this.break('revoked', `${node.name} knows roster ${seq} and still counts ${name}`);
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

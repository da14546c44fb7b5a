/**
 * One storm: a cluster of real nodes on simulated time, network and disks, what befalls it, and the promises looked at
 * after every step. The same scenario gives the same storm, step by step.
 */
import type { PeerId } from '../../src/oci/oci.ts';
import { makeCluster, type TestCluster } from '../support/cluster.ts';
import { policyTexts } from '../support/policies.ts';
import { Chance } from './chance.ts';
import { type PullOutcome, pullThrough } from './client.ts';
import { Network, CONTROL_PORT } from './network.ts';
import { NodeWorld } from './node-world.ts';
import { falseImage, privateImage, trueImage } from './pictures.ts';
import { type Broken, Watch } from './promises.ts';
import type { Action, Picture, Scenario } from './scenario.ts';
import { Scheduler } from './scheduler.ts';
import { type Stage, StormNode } from './storm-node.ts';

/** Nodes start within so many ms. */
const STARTS_MS = 400;
/** After the last action, requests have so long to end, in simulated ms. */
const CALM_MS = 300_000;
const FULL_DISK_BYTES = 0;
const TELLS_MS = 200;
/** When each node's own client asks for what is private there: so its hash is known, and must not go out. */
const OWN_PULL_MS = 4_000;

export interface StormReport {
  readonly seed: number;
  readonly nodes: number;
  readonly hostile: number;
  readonly events: number;
  /** Simulated ms. */
  readonly lasted: number;
  /** `relied`: an honest node could be relied on for the content. */
  readonly pulls: { readonly whole: number; readonly failed: number; readonly relied: number };
  /** How the hostile nodes were hostile. */
  readonly lies: readonly string[];
  readonly fingerprint: string;
  readonly broken?: Broken;
}

export class Storm {
  readonly scenario: Scenario;
  readonly scheduler = new Scheduler();
  readonly nodes: StormNode[] = [];
  readonly watch: Watch;
  /** How each pull ended, in the order of their ends. */
  readonly outcomes: ({ readonly node: string; readonly image: string } & PullOutcome)[] = [];
  readonly #network: Network;
  readonly #chance: Chance;
  #cluster!: TestCluster;
  #seq = 1;
  readonly #shutOut = new Map<PeerId, string>();
  #pulling = 0;

  /** With `collusion`, false bytes may be handed over: as many nodes vouch for them as policy asks. */
  constructor(scenario: Scenario, { collusion = false } = {}) {
    this.scenario = scenario;
    this.#chance = new Chance(`storm ${scenario.seed} runs`);
    this.#network = new Network(this.scheduler, this.#chance.of('network'));
    const images = scenario.pictures.flatMap(picture => [trueImage(picture), falseImage(picture)]);
    this.watch = new Watch(this.scheduler, this.#network, this.nodes, images, collusion);
  }

  /** Sets the cluster up and plans everything. */
  async prepare(): Promise<void> {
    const { scenario, scheduler } = this;
    const world = new NodeWorld('operator', scheduler, this.#chance.of('operator'), () => 0);
    const names = scenario.cast.map(({ name, zone }) => ({ name, zone }));
    this.#cluster = await makeCluster({ world, id: 'c'.repeat(32), nodes: names });
    const hosts = scenario.cast.map((_, at) => `10.0.0.${at + 1}`);
    const stage: Stage = {
      scheduler,
      network: this.#network,
      chance: this.#chance,
      addresses: hosts.map(host => `${host}:${CONTROL_PORT}`),
      policy: policyTexts(shortPolicy(scenario)).text,
      unopened: (node, code, message) => this.watch.unopened(node, code, message),
      started: (node, wire) => this.watch.observe(node, wire),
      lanes: (node, wire) => this.watch.lanes(node, wire),
    };
    for (const [at, cast] of scenario.cast.entries()) {
      const node = new StormNode(cast, hosts[at]!, this.#cluster.node(cast.name), stage);
      await node.furnish();
      this.nodes.push(node);
      const own = privateImage(node.name);
      this.watch.keepPrivate(own.contents.keys());
      scheduler.after(this.#chance.fraction() * STARTS_MS, `${node.name} is started`, () => node.start());
      scheduler.after(2 * STARTS_MS, `${node.name} imports its own`, () => this.#quietly(node.import(own)));
      scheduler.after(OWN_PULL_MS, `${node.name} pulls its own`, () => this.#pullOwn(node));
    }
    for (const action of scenario.actions)
      scheduler.after(action.at, `${action.kind} ${'node' in action ? action.node : ''}`, () => this.#act(action));
  }

  /** Runs to the end, or to the first broken promise. */
  async run(): Promise<StormReport> {
    await this.prepare();
    const until = this.scenario.seconds * 1000;
    const { scheduler, watch } = this;
    const look = (): Promise<void> => watch.look();
    await scheduler.run(until, look, () => watch.broken !== undefined);
    if (!watch.broken)
      await scheduler.run(until + CALM_MS, look, () => watch.broken !== undefined || this.#pulling === 0);
    if (this.#pulling > 0) watch.break('in time', `${this.#pulling} pulls never ended`);
    const report = this.#report();
    for (const node of this.nodes) node.end();
    return report;
  }

  #report(): StormReport {
    const { scheduler, watch } = this;
    const { cast, seed } = this.scenario;
    const whole = this.outcomes.filter(outcome => outcome.whole).length;
    return {
      seed,
      nodes: cast.length,
      hostile: cast.filter(({ lie }) => lie).length,
      events: scheduler.events,
      lasted: Math.round(scheduler.now),
      pulls: { whole, failed: this.outcomes.length - whole, relied: watch.relied },
      lies: cast.flatMap(({ lie }) => lie ?? []),
      fingerprint: scheduler.fingerprint(),
      ...(watch.broken ? { broken: watch.broken } : {}),
    };
  }

  node(name: string): StormNode {
    const found = this.nodes.find(node => node.name === name);
    if (!found) throw new Error(`no node ${name}`);
    return found;
  }

  #picture(name: string): Picture {
    const found = this.scenario.pictures.find(picture => picture.name === name);
    if (!found) throw new Error(`no image ${name}`);
    return found;
  }

  #act(action: Action): void {
    switch (action.kind) {
      case 'import': {
        const node = this.node(action.node);
        const picture = this.#picture(action.image);
        return this.#quietly(node.import(node.cast.lie === 'tags' ? falseImage(picture) : trueImage(picture)));
      }
      case 'remove':
        return this.#quietly(this.node(action.node).remove(trueImage(this.#picture(action.image))));
      case 'pull':
        return this.#pull(this.node(action.node), this.#picture(action.image), action.by);
      case 'pry':
        return this.#quietly(this.#pry(this.node(action.node), this.node(action.from)));
      case 'kill':
        return this.#kill(this.node(action.node), action.power, action.ms);
      case 'cut':
        if (action.node !== action.other) this.#network.cut(this.node(action.node).host, this.node(action.other).host);
        return;
      case 'part': {
        const [group, others] = [true, false].map(inside =>
          this.nodes.filter(({ name }) => action.group.includes(name) === inside).map(({ host }) => host),
        );
        return this.#network.part(group!, others!, action.ms);
      }
      case 'full':
        return this.#fill(this.node(action.node), action.ms);
      case 'clock':
        this.node(action.node).clockMs += action.ms;
        return this.watch.clocks();
      case 'revoke':
        return this.#quietly(this.#revoke(this.node(action.node), this.node(action.through)));
    }
  }

  /** What is done beside the promises may fail: a node is down, a disk is full. */
  #quietly(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.scheduler.note(`in vain: ${String(error)}`));
  }

  #pull(node: StormNode, picture: Picture, by: 'tag' | 'digest'): void {
    if (!node.running) return;
    const image = trueImage(picture);
    const began = this.scheduler.now;
    const { life } = node;
    this.#pulling += 1;
    const pulling = pullThrough(node, image, by, this.watch.witness(node, image.name));
    this.#dying.set(pulling, () => life !== node.life || !node.alive);
    void pulling.then(outcome => this.#pulled(pulling, node, picture, began, by, outcome));
  }

  #pullOwn(node: StormNode): void {
    const own = privateImage(node.name);
    if (node.running && node.honest) void pullThrough(node, own, 'digest', this.watch.witness(node, own.name));
  }

  /** Pulls under way, and whether the node that answers them has died: then nobody waits for them. */
  readonly #dying = new Map<Promise<unknown>, () => boolean>();

  #pulled(
    pulling: Promise<unknown>,
    node: StormNode,
    { name }: Picture,
    began: number,
    by: 'tag' | 'digest',
    outcome: PullOutcome,
  ): void {
    if (!this.#dying.delete(pulling)) return;
    this.#pulling -= 1;
    this.scheduler.note(`${node.name} pulled ${name}: ${outcome.code ?? 'whole'}`);
    this.outcomes.push({ node: node.name, image: name, ...outcome });
    // What a tag is, depends on who says so; what a digest is, does not.
    if (by === 'digest' || outcome.code === 'DIGEST_MISMATCH') this.watch.judge(node, name, began, outcome);
  }

  #kill(node: StormNode, power: boolean, ms: number): void {
    node.kill(power, ms);
    this.watch.forget(node.name);
    for (const [pulling, isDead] of this.#dying)
      if (isDead()) {
        this.#dying.delete(pulling);
        this.#pulling -= 1;
      }
  }

  #fill(node: StormNode, ms: number): void {
    node.full = true;
    node.disk.resize(FULL_DISK_BYTES);
    this.scheduler.after(ms, `${node.name} has room`, () => {
      node.full = false;
      node.troubledAt = this.scheduler.now;
      node.disk.resize(Number.POSITIVE_INFINITY);
    });
  }

  /** The operator revokes a node and drops the roster on another. */
  async #revoke(node: StormNode, through: StormNode): Promise<void> {
    this.#seq += 1;
    const seq = this.#seq;
    this.#shutOut.set(node.peer, node.name);
    this.watch.revoke(node, seq);
    const roster = await this.#cluster.signRoster({ seq, revoked: [...this.#shutOut.values()] });
    this.#drop(through, `/state/incoming/${seq}.jwt`, roster);
  }

  /** An operator whose file finds no room tries again. */
  #drop(through: StormNode, path: string, text: string): void {
    this.scheduler.after(TELLS_MS, `a file for ${through.name}`, () => {
      if (through.full) this.#drop(through, path, text);
      else through.disk.poke(path, Buffer.from(text));
    });
  }

  /** A node asks another for what is private there: its manifest, its config or its layer. */
  async #pry(liar: StormNode, from: StormNode): Promise<void> {
    const peers = liar.running?.rooms.peers;
    if (!peers || liar === from) return;
    const { target, config, layers } = privateImage(from.name);
    const { digest, size } = this.#chance.pick([target, config, ...layers]);
    const signal = AbortSignal.any([]);
    const proof = peers.proof(from.peer, digest, size, signal).then(
      () => this.watch.break('admitted', `${from.name} gave ${liar.name} the proof of a private content`),
      () => undefined,
    );
    for await (const chunk of peers.read(from.peer, digest, 0, size, signal)) {
      this.watch.break('admitted', `${from.name} gave ${liar.name} private bytes`);
      chunk.release();
    }
    await proof;
  }
}

const shortPolicy = ({ vouchers }: Scenario): string => `
registries: [r.test]
share: [r.test/shared/**]
tags: [{match: r.test/**, min: ${vouchers}}]
vouchers: ${vouchers}
`;

/**
 * A node of a storm: the daemon's own ground and rooms on simulated disk, network and time; its doors are the storm's
 * clients. Promises: it starts again by itself as under a supervisor; what it recorded and since when it is well is known.
 */
import { type Ground, layGround, type RunningNode, startNode } from '../../src/cli/daemon.ts';
import type { Config } from '../../src/cli/config.ts';
import { asMirrorError, type Code } from '../../src/errors.ts';
import type { PeerId } from '../../src/oci/oci.ts';
import type { LaneWire } from '../../src/peers/wire.ts';
import { importImage } from '../../src/store/layout-import.ts';
import { openLayout } from '../../src/store/layout.ts';
import type { ClusterNode } from '../support/cluster.ts';
import type { MemoryWire } from '../support/memory-wire.ts';
import type { StoryImage } from '../mirror/story-image.ts';
import type { Chance } from './chance.ts';
import { liarsGround, liarsLanes, replaying } from './liars.ts';
import { CONTROL_PORT, type Network } from './network.ts';
import { NodeWorld } from './node-world.ts';
import { putLayout } from './pictures.ts';
import type { Cast } from './scenario.ts';
import type { Scheduler } from './scheduler.ts';
import { diskOf, StormDisk } from './storm-disk.ts';

/** A supervisor starts a node that failed again after so many ms. */
const RESTART_MS = 2_000;
/** So many writes take their time, those of the audit log more often, and at most so long. */
const SLOW_WRITES = { audit: 0.15, other: 0.02 };
const SLOW_WRITE_MS = 200;
const SPOOL_BYTES = 64 << 20;

/** A line of a node's audit log. */
export type Recorded = Readonly<Record<string, unknown>> & { readonly event: string };

/** What a node needs of the storm. */
export interface Stage {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly chance: Chance;
  /** `host:port` of every node. */
  readonly addresses: readonly string[];
  readonly policy: string;
  /** A file that a killed node left cannot be opened: a broken promise. */
  readonly unopened: (node: StormNode, code: Code, message: string) => void;
  /** A node is up again, or anew. */
  readonly started: (node: StormNode, wire: MemoryWire) => void;
  /** What a node gives goes through these lanes. */
  readonly lanes: (node: StormNode, wire: LaneWire) => LaneWire;
}

export class StormNode {
  readonly cast: Cast;
  readonly host: string;
  readonly peer: PeerId;
  readonly disk: StormDisk;
  readonly records: Recorded[] = [];
  /** When it got each image, simulated ms, by name; and when it last lost it. */
  readonly imported = new Map<string, number>();
  readonly removed = new Map<string, number>();
  /** How far its clock is off, in milliseconds. */
  clockMs: number;
  /** When something last ailed it: a start, a full disk; simulated ms. */
  troubledAt = 0;
  full = false;
  ground: Ground | undefined;
  running: RunningNode | undefined;
  wire: MemoryWire | undefined;
  readonly #stage: Stage;
  readonly #identity: ClusterNode;
  #world: NodeWorld | undefined;
  /** Of each life: what it waits for holds memory until it ends. */
  readonly #ends: AbortController[] = [];
  #lives = 0;
  /** How many records there were when this life began. */
  #born = 0;
  #torn = '';

  constructor(cast: Cast, host: string, identity: ClusterNode, stage: Stage) {
    this.cast = cast;
    this.host = host;
    this.peer = identity.peer;
    this.clockMs = cast.clockMs;
    this.#identity = identity;
    this.#stage = stage;
    this.disk = new StormDisk({ now: () => this.#world?.now() ?? 0 });
    this.disk.recorded = bytes => this.#record(bytes);
  }

  get name(): string {
    return this.cast.name;
  }

  get honest(): boolean {
    return !this.cast.lie;
  }

  get alive(): boolean {
    return this.#world?.alive === true;
  }

  /** This life, to see whether it is still the same later. */
  get life(): number {
    return this.#lives;
  }

  /** Puts what an operator provides onto the disk. */
  async furnish(): Promise<void> {
    await this.disk.mkdir('/state/incoming');
    this.disk.poke('/token', Buffer.from(`${this.#identity.token}\n`));
    this.disk.poke('/policy.yaml', Buffer.from(this.#stage.policy));
  }

  /** Begins a life; where that fails, another is begun a little later. */
  start(): void {
    const { scheduler, chance, network } = this.#stage;
    this.#lives += 1;
    const name = `${this.name}.${this.#lives}`;
    const world = new NodeWorld(name, scheduler, chance.of(name), () => this.clockMs);
    this.#world = world;
    this.disk.self = name;
    this.troubledAt = scheduler.now;
    this.#born = this.records.length;
    const own = chance.of(`${name} disk`);
    this.disk.pause = of =>
      own.happens(SLOW_WRITES[of]) ? world.sleep(own.fraction() * SLOW_WRITE_MS) : Promise.resolve();
    this.#begin(world).catch((error: unknown) => {
      const { code, message } = asMirrorError(error, 'STATE_INVALID', 'starting');
      scheduler.note(`${name} did not start: ${code}`);
      // A full disk is no file that cannot be opened; there it is tried again.
      const full = this.full && (code === 'FILE_UNREADABLE' || code === 'AUDIT_UNAVAILABLE');
      if (!full && world.alive) this.#stage.unopened(this, code, message);
      if (!world.alive) return;
      world.alive = false;
      network.die(this.host, false);
      scheduler.after(RESTART_MS, `${name} is started again`, () => this.start());
    });
  }

  async #begin(world: NodeWorld): Promise<void> {
    const { network, scheduler, chance } = this.#stage;
    const { lie } = this.cast;
    const lying = chance.of(`${this.name}.${this.#lives} lies`);
    const silent = (): void => undefined;
    const note = (_: object, text: string): void => scheduler.note(`${this.name}: ${text}`);
    const config: Config = {
      node: this.name,
      stateDir: '/state',
      tokenFile: '/token',
      policyFile: '/policy.yaml',
      store: { kind: 'layout' },
      mirror: { listen: '127.0.0.1:5000' },
      peers: {
        listen: `${this.host}:${CONTROL_PORT}`,
        lanePort: CONTROL_PORT + 1,
        advertise: [],
        bootstrap: this.#stage.addresses.slice(0, 2),
        peerCidrs: [],
      },
      spool: { maxBytes: SPOOL_BYTES },
      log: { level: 'info' },
    };
    let first: string | undefined;
    const life = new AbortController();
    this.#ends.push(life);
    const ground = await layGround(config, world, { debug: silent, info: note, warn: note }, life.signal, {
      disk: diskOf(this.disk, () => world.alive),
      wires: {
        control: async ({ greet }) => {
          const wire = network.control.wire(this.peer, greet, `${this.host}:${CONTROL_PORT}`);
          network.join(this.host, wire);
          if (lie === 'replay') replaying(wire, world, lying, () => first);
          this.#stage.started(this, wire);
          this.wire = wire;
          return wire;
        },
        lane: () => {
          const wire = network.lanes.wire(this.host);
          return lie ? liarsLanes(wire, lie, world, lying) : this.#stage.lanes(this, wire);
        },
      },
    });
    first = ground.members.roster.jwt;
    this.ground = lie ? liarsGround(ground, lie, lying) : ground;
    this.running = await startNode(this.ground, () => Promise.resolve([]));
    this.troubledAt = scheduler.now;
  }

  /** Ends this life at once; where `power` fails, what was not synced is gone too. Another begins in `ms`. */
  kill(power: boolean, ms: number): void {
    const { scheduler, network, chance } = this.#stage;
    if (!this.#world?.alive) return;
    this.#world.alive = false;
    this.#world = undefined;
    this.running = undefined;
    this.ground = undefined;
    this.wire = undefined;
    network.die(this.host, power);
    this.disk.end(this.disk.self);
    const luck = chance.of(`${this.name}.${this.#lives} luck`);
    if (power) this.disk.crash(most => luck.whole(0, most));
    this.#torn = '';
    this.troubledAt = scheduler.now;
    scheduler.after(ms, `${this.name} is started`, () => this.start());
  }

  /** The storm is over: what still waits is let go. */
  end(): void {
    if (this.#world) this.#world.alive = false;
    for (const life of this.#ends.splice(0)) life.abort();
  }

  /** Imports an image beside the running node, as the command does. */
  async import(image: StoryImage): Promise<void> {
    const life = this.#lives;
    const world = this.#world;
    if (!world) return;
    const source = await putLayout(this.disk, image);
    const disk = diskOf(this.disk, () => world.alive);
    const layout = await openLayout(disk, '/state/layout', world);
    await importImage(
      disk,
      layout,
      source,
      { reference: image.reference },
      () => undefined,
      new AbortController().signal,
    );
    if (life === this.#lives && this.alive) this.imported.set(image.name, this.#stage.scheduler.now);
  }

  /** Removes the name of an image, as the command does. */
  async remove(image: StoryImage): Promise<void> {
    this.imported.delete(image.name);
    this.removed.set(image.name, this.#stage.scheduler.now);
    await this.running?.rooms.store.keeping?.remove(image.reference);
  }

  /** How many such lines the log has from the one with number `from` on: those of this life, unless another is given. */
  recorded(event: string, fields: Readonly<Record<string, unknown>>, from = this.#born): number {
    let count = 0;
    for (let at = from; at < this.records.length; at++) {
      const record = this.records[at]!;
      if (record.event === event && Object.entries(fields).every(([key, value]) => record[key] === value)) count += 1;
    }
    return count;
  }

  #record(bytes: Uint8Array): void {
    const lines = (this.#torn + Buffer.from(bytes).toString()).split('\n');
    this.#torn = lines.pop() ?? '';
    for (const line of lines) if (line) this.records.push(JSON.parse(line) as Recorded);
  }
}

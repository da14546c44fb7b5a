/**
 * The simulated network: what is on its way takes time, is held by a partition, and is lost with who sent or awaits it.
 * Promises: what has one way keeps its order; a partition that lasts breaks connections at each end by itself, as pings do.
 * Refuses to know what is sent.
 */
import { LaneNetwork } from '../support/memory-lane-wire.ts';
import { MemoryNetwork, type MemoryWire } from '../support/memory-wire.ts';
import type { Transit } from '../support/transit.ts';
import type { Chance } from './chance.ts';
import type { Scheduler } from './scheduler.ts';

/** The control port of every host. */
export const CONTROL_PORT = 5001;
/** A peer that answers no ping is given up between these, in milliseconds. */
const PING_MS = { least: 10_000, most: 15_000 };
/** Where one end of a connection gave up, the other learns it by its next ping. */
const PING_EVERY_MS = 5_000;
/** The longest usual way, and now and then a longer one. */
const WAY_MS = 30;
const LONG_WAY_MS = 1_500;
const LONG_WAYS = 0.003;
/** Two things on one way are so far apart at least, in milliseconds. */
const APART_MS = 0.001;

const hostOf = (address: string): string => address.split(':')[0] ?? address;
const pairOf = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`);

export class Network implements Transit {
  readonly control: MemoryNetwork;
  readonly lanes: LaneNetwork;
  /** When each pair of hosts was last cut off from each other, or is again together; simulated ms. */
  readonly troubledAt = new Map<string, number>();
  readonly #scheduler: Scheduler;
  readonly #chance: Chance;
  readonly #wires = new Map<string, MemoryWire>();
  /** Grows with each death of a host. */
  readonly #lives = new Map<string, number>();
  readonly #parted = new Map<string, { readonly held: (() => void)[] }>();
  readonly #arrived = new WeakMap<object, number>();

  constructor(scheduler: Scheduler, chance: Chance) {
    this.#scheduler = scheduler;
    this.#chance = chance;
    this.control = new MemoryNetwork(this);
    this.lanes = new LaneNetwork(this);
  }

  carry(from: string, to: string, way: object, arrive: () => void): void {
    const [sender, receiver] = [hostOf(from), hostOf(to)];
    const lives = this.#lifeOf(sender) + this.#lifeOf(receiver);
    const pair = pairOf(sender, receiver);
    const land = (): void => {
      if (lives !== this.#lifeOf(sender) + this.#lifeOf(receiver)) return;
      const parted = this.#parted.get(pair);
      if (parted) parted.held.push(() => this.#send(way, sender, receiver, land));
      else arrive();
    };
    this.#send(way, sender, receiver, land);
  }

  #send(way: object, sender: string, receiver: string, land: () => void): void {
    const chance = this.#chance;
    const usual = 0.1 + chance.fraction() * WAY_MS;
    const ms = chance.happens(LONG_WAYS) ? chance.fraction() * LONG_WAY_MS : usual;
    const at = Math.max(this.#scheduler.now + ms, (this.#arrived.get(way) ?? 0) + APART_MS);
    this.#arrived.set(way, at);
    this.#scheduler.after(at - this.#scheduler.now, `${sender} > ${receiver}`, land);
  }

  /** A host with its wire is there; whoever still has connections with its earlier life hears that they are gone. */
  join(host: string, wire: MemoryWire): void {
    this.#lives.set(host, this.#lifeOf(host) + 1);
    for (const other of this.#wires.keys()) if (other !== host) this.#lose(other, host);
    this.#wires.set(host, wire);
  }

  /** Connections between the two break; both notice. */
  cut(a: string, b: string): void {
    this.#trouble(a, b);
    this.#lose(a, b);
    this.#lose(b, a);
  }

  /** Nothing passes between the two groups for `ms`. */
  part(group: readonly string[], others: readonly string[], ms: number): void {
    for (const a of group)
      for (const b of others) {
        const pair = pairOf(a, b);
        if (this.#parted.has(pair)) continue;
        const parted = { held: [] };
        this.#parted.set(pair, parted);
        this.#trouble(a, b);
        for (const [host, other] of [
          [a, b],
          [b, a],
        ] as const)
          this.#scheduler.after(this.#pingMs(), `${host} misses ${other}`, () => {
            if (this.#parted.get(pair) === parted) this.#lose(host, other);
          });
        this.#scheduler.after(ms, `${pair} together`, () => {
          this.#parted.delete(pair);
          this.#trouble(a, b);
          for (const send of parted.held as (() => void)[]) send();
          this.#scheduler.after(PING_EVERY_MS, `${pair} ping`, () => {
            for (const [host, other] of [
              [a, b],
              [b, a],
            ] as const)
              this.#wires.get(host)?.ping(`${other}:${CONTROL_PORT}`);
          });
        });
      }
  }

  /** A host is gone: its process was killed, or, where `power` was lost, nobody is told. */
  die(host: string, power: boolean): void {
    this.#lives.set(host, this.#lifeOf(host) + 1);
    this.#wires.get(host)?.vanish();
    this.#wires.delete(host);
    this.lanes.vanish(host);
    this.lanes.lose(host);
    for (const other of this.#wires.keys()) {
      this.#trouble(host, other);
      const lives = this.#lifeOf(other) + this.#lifeOf(host);
      this.#scheduler.after(power ? this.#pingMs() : WAY_MS, `${other} misses ${host}`, () => {
        if (lives === this.#lifeOf(other) + this.#lifeOf(host)) this.#lose(other, host);
      });
    }
  }

  /** True where nothing passes between them now. */
  isParted(a: string, b: string): boolean {
    return this.#parted.has(pairOf(a, b));
  }

  #lose(host: string, other: string): void {
    this.#wires.get(host)?.lose(`${other}:${CONTROL_PORT}`);
    this.lanes.lose(host, other);
  }

  #trouble(a: string, b: string): void {
    this.troubledAt.set(pairOf(a, b), this.#scheduler.now);
  }

  /** When the two were last kept from each other; simulated ms, 0 for never. */
  lastTrouble(a: string, b: string): number {
    return this.#parted.has(pairOf(a, b)) ? this.#scheduler.now : (this.troubledAt.get(pairOf(a, b)) ?? 0);
  }

  #lifeOf(host: string): number {
    return this.#lives.get(host) ?? 0;
  }

  #pingMs(): number {
    return PING_MS.least + this.#chance.fraction() * (PING_MS.most - PING_MS.least);
  }
}

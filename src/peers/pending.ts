/**
 * Inbound connections whose greeting has not ended. Promises: their number is bounded, in all and from one host, and where
 * there are too many the oldest of whoever has most is ended: a true greeting takes milliseconds, so whoever opens many
 * and says nothing is in its own way and keeps nobody else out; one that ends before its handshake is told. Refuses to
 * know what is said on them. Spec: PROTOCOL.md, "Connections".
 */
import { MirrorError } from '../errors.ts';
import type { World } from '../world.ts';
import { parseAddress } from './address.ts';

/** Inbound connections whose greeting has not ended. */
export const PENDING_MAX = 64;
/** Those of them from one host. */
export const PENDING_PER_HOST_MAX = 16;

/** What is needed of a raw connection. */
interface Connection {
  abort(error: Error): void;
  addEventListener(type: 'close', listener: () => void): void;
}

interface Waiting {
  readonly host: string;
  readonly connection: Connection;
  readonly since: number;
}

export class Pending {
  readonly #world: World;
  readonly #patienceMs: number;
  readonly #refused: (address: string, error: MirrorError) => void;
  /** By remote `host:port`, oldest first. */
  readonly #waiting = new Map<string, Waiting>();

  /** After `patienceMs` the wire ends a connection itself; `refused` hears of each that ended before its handshake. */
  constructor(world: World, patienceMs: number, refused: (address: string, error: MirrorError) => void) {
    this.#world = world;
    this.#patienceMs = patienceMs;
    this.#refused = refused;
  }

  /** A connection from `address` (`host:port`) has come. */
  begin(address: string, connection: Connection): void {
    const { host } = parseAddress(address);
    this.#makeRoom(host);
    const waiting = { host, connection, since: this.#world.monotonic() };
    this.#waiting.set(address, waiting);
    connection.addEventListener('close', () => {
      if (this.#waiting.get(address) !== waiting) return;
      const late = this.#world.monotonic() - waiting.since >= this.#patienceMs;
      const text = `${address} ${late ? 'said too little' : 'left'} before its handshake`;
      this.end(address);
      this.#refused(address, new MirrorError(late ? 'HANDSHAKE_TIMEOUT' : 'PEER_REFUSED', text));
    });
  }

  /** The connection from `address` was greeted, or refused in a way that was told. */
  end(address: string): void {
    this.#waiting.delete(address);
  }

  #makeRoom(host: string): void {
    const byHost = Map.groupBy(this.#waiting, ([, waiting]) => waiting.host);
    const same = byHost.get(host) ?? [];
    if (same.length >= PENDING_PER_HOST_MAX) return this.#crowdOut(same);
    if (this.#waiting.size < PENDING_MAX) return;
    this.#crowdOut([...byHost.values()].reduce((most, one) => (one.length > most.length ? one : most)));
  }

  #crowdOut([oldest, ...others]: readonly (readonly [string, Waiting])[]): void {
    const [address, { host, connection }] = oldest!;
    const text = `${host} has ${others.length + 1} greetings under way; the oldest is ended`;
    const error = new MirrorError('LIMIT_EXCEEDED', text);
    this.end(address);
    this.#refused(address, error);
    connection.abort(error);
  }
}

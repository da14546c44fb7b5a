/**
 * Inbound connections of the control plane, from TCP to a link. Promises: a bounded number is under way, nobody is kept out
 * by others who say nothing, and each that ends before it began a handshake is told. Refuses to know what is said in one.
 */
import { MirrorError } from '../errors.ts';
import { parseAddress } from './address.ts';
import { HalfOpen } from './half-open.ts';
import type { Refused } from './inbound-streams.ts';

/** Inbound connections whose greeting has not ended. */
export const PENDING_MAX = 64;

/** What this needs of a raw connection. */
export interface RawConnection {
  abort(error: Error): void;
  addEventListener(type: 'close', listener: () => void): void;
}

interface Pending {
  readonly raw: RawConnection;
  readonly address: string;
  /** Its end is on record, or will be told by whoever leads its handshake. */
  settled: boolean;
}

export class InboundHandshakes {
  readonly #refused: Refused | undefined;
  /** By remote `host:port`. */
  readonly #pending = new Map<string, Pending>();
  /** Many nodes may share one host: it may have all places that others do not want. */
  readonly #halfOpen = new HalfOpen<Pending>({ most: PENDING_MAX, mostPerHost: PENDING_MAX }, (pending, error) => {
    this.#settle(pending, error);
    pending.raw.abort(error);
  });

  /** `refused` hears of each that ends, or is ended to make room, before its handshake began. */
  constructor(refused: Refused | undefined) {
    this.#refused = refused;
  }

  /** A connection from `address` begins; an older one may end for it. */
  begin(raw: RawConnection, address: string): void {
    const pending: Pending = { raw, address, settled: false };
    const { host } = parseAddress(address);
    this.#halfOpen.enter(host, pending);
    this.#pending.set(address, pending);
    raw.addEventListener('close', () => {
      this.#halfOpen.leave(host, pending);
      // A later connection may have the same port already.
      if (this.#pending.get(address) === pending) this.#pending.delete(address);
      this.#settle(pending, new MirrorError('HANDSHAKE_TIMEOUT', `${address} began no handshake in time`));
    });
  }

  /** The handshake with `address` has begun: how it ends is told by whoever leads it. */
  began(address: string): void {
    const pending = this.#pending.get(address);
    if (pending) pending.settled = true;
  }

  /** The connection from `address` is a link now. */
  linked(address: string): void {
    const pending = this.#pending.get(address);
    if (pending) this.#halfOpen.leave(parseAddress(address).host, pending);
  }

  #settle(pending: Pending, error: MirrorError): void {
    if (!pending.settled) this.#refused?.(pending.address, error);
    pending.settled = true;
  }
}

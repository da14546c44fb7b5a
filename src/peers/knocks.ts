/**
 * Hosts whose handshakes come to nothing. Promises: a host that made too many is turned away as its connection arrives,
 * before a socket is made of it and before any cryptography, and is let in again at the rate here; a handshake that ends
 * well is never counted, so that many honest nodes may share a host. Refuses to know why handshakes failed. Spec:
 * PROTOCOL.md, "Connections" and "Lanes".
 */
import { BlockList } from 'node:net';
import { MirrorError } from '../errors.ts';
import type { World } from '../world.ts';
import { Buckets, type Rate } from './buckets.ts';

/** Failed inbound handshakes of one host, at each port. */
export const FAILED_HANDSHAKES: Rate = { burst: 32, perSecond: 2, what: 'failed handshakes' };

/** One port's memory of who knocked in vain: the `blockList` of its server. */
export class Knocks extends BlockList {
  readonly #failed: Buckets;
  readonly #refused: (host: string, error: MirrorError) => void;

  /** `refused` hears of each connection that is turned away. */
  constructor(world: World, refused: (host: string, error: MirrorError) => void) {
    super();
    this.#failed = new Buckets(world, FAILED_HANDSHAKES);
    this.#refused = refused;
  }

  /** A handshake of `host`, without its port, came to nothing. */
  failed(host: string): void {
    this.#failed.allows(host);
  }

  /** The server's question as a connection arrives: true turns it away, as LIMIT_EXCEEDED. */
  override check(address: unknown): boolean {
    const host = String(address).replace(/^::ffff:(?=\d+\.)/, '');
    if (this.#failed.has(host)) return false;
    const { burst, perSecond, what } = FAILED_HANDSHAKES;
    const text = `${host}: more than ${burst} ${what} at once and ${perSecond}/s`;
    this.#refused(host, new MirrorError('LIMIT_EXCEEDED', text));
    return true;
  }
}

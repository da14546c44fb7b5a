/**
 * Inbound connections whose handshake has not ended. Promises: there are never more than so many, in all and of one host;
 * a new one ends the oldest of its own host, else of the host with most. A true handshake takes milliseconds, so whoever
 * opens many and says nothing is in its own way and keeps nobody else out. Refuses to know what is shaken.
 */
import { MirrorError } from '../errors.ts';

export interface HalfOpenLimits {
  readonly most: number;
  readonly mostPerHost: number;
}

export class HalfOpen<T> {
  readonly #limits: HalfOpenLimits;
  readonly #end: (one: T, error: MirrorError) => void;
  /** By host, oldest first. */
  readonly #hosts = new Map<string, Set<T>>();
  #count = 0;

  /** `end` closes a connection that has to make room, with LIMIT_EXCEEDED. */
  constructor(limits: HalfOpenLimits, end: (one: T, error: MirrorError) => void) {
    this.#limits = limits;
    this.#end = end;
  }

  /** A connection of `host` begins. */
  enter(host: string, one: T): void {
    if ((this.#hosts.get(host)?.size ?? 0) >= this.#limits.mostPerHost) this.#crowdOut(host);
    else if (this.#count >= this.#limits.most) this.#crowdOut(this.#fullest());
    const same = this.#hosts.get(host) ?? new Set();
    this.#hosts.set(host, same.add(one));
    this.#count += 1;
  }

  /** Its handshake has ended, one way or another; may be told twice. */
  leave(host: string, one: T): void {
    const same = this.#hosts.get(host);
    if (!same?.delete(one)) return;
    this.#count -= 1;
    if (same.size === 0) this.#hosts.delete(host);
  }

  #fullest(): string {
    const [first, ...rest] = this.#hosts;
    const [host] = rest.reduce((most, one) => (one[1].size > most[1].size ? one : most), first!);
    return host;
  }

  #crowdOut(host: string): void {
    const same = this.#hosts.get(host)!;
    const [oldest] = [...same] as [T];
    const text = `${host} has ${same.size} handshakes under way; the oldest is ended`;
    this.leave(host, oldest);
    this.#end(oldest, new MirrorError('LIMIT_EXCEEDED', text));
  }
}

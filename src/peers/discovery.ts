/**
 * Finding others and staying with them. Promises: begins at the bootstrap addresses, goes on from node records, tries
 * again with growing pauses, keeps a bounded number of links, and dials a known node when it is needed. Refuses to know
 * who is trusted: whoever is not, the greeting turns away. Spec: PROTOCOL.md, "Connections".
 */
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import { within, type World } from '../world.ts';
import { type Bootstrap, formatAddress, parseAddress } from './address.ts';
import type { Log } from './peers.ts';
import type { ControlWire, Link } from './wire.ts';

/** Links that this node seeks; more may come in. */
export const LINKS_WANTED = 64;
/** The pause after a first failure; it doubles up to the longest, plus or minus half. */
export const BACKOFF_FIRST_MS = 1_000;
export const BACKOFF_LONGEST_MS = 60_000;
/** One dial, from the first packet to the welcome. */
export const DIAL_TIMEOUT_MS = 8_000;
const DIALS_AT_ONCE = 8;
const ROUND_MS = 1_000;
const RESOLVE_TIMEOUT_MS = 5_000;
const RESOLVED_MAX = 256;
const RESOLVED_LIFE_MS = 15_000;
const FORGET_AFTER_MS = 3_600_000;

/** All addresses of a host name. */
export type Resolve = (host: string) => Promise<readonly string[]>;

export interface DiscoveryOptions {
  readonly world: World;
  readonly wire: ControlWire;
  readonly self: PeerId;
  /** This node's own `host:port`s, which are never dialled. */
  readonly own: ReadonlySet<string>;
  readonly bootstrap: readonly Bootstrap[];
  readonly resolve: Resolve;
  /** Where each known member that may be dialled says it can be reached. */
  readonly known: () => Iterable<readonly [PeerId, readonly string[]]>;
  readonly log: Log;
  readonly signal: AbortSignal;
}

interface Try {
  failures: number;
  /** Monotonic ms. */
  at: number;
  running: boolean;
}

export class Discovery {
  readonly #options: DiscoveryOptions;
  readonly #tries = new Map<string, Try>();
  /** Who answered at a bootstrap address, so that it is not dialled again while that link stands. */
  readonly #answered = new Map<string, PeerId>();
  readonly #resolved = new Map<string, { readonly until: number; readonly hosts: readonly string[] }>();
  readonly #connecting = new Map<PeerId, Promise<Link>>();
  #nap = new AbortController();
  #dials = 0;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
  }

  /** Seeks links until the signal aborts. Never rejects. */
  async run(): Promise<void> {
    const { world, signal, log } = this.#options;
    while (!signal.aborted) {
      await this.round().catch((error: unknown) => log('debug', `seeking peers: ${String(error)}`));
      this.#nap = new AbortController();
      await world.sleep(ROUND_MS, AbortSignal.any([signal, this.#nap.signal]));
    }
  }

  /** There is somebody new to dial: the next round begins now. */
  wake(): void {
    this.#nap.abort();
  }

  /** One round: starts the dials that are due; they go on by themselves. */
  async round(): Promise<void> {
    const { wire, known, self } = this.#options;
    const linked = new Set(wire.links().map(link => link.peer));
    if (linked.size >= LINKS_WANTED) return;
    for (const address of await this.#bootstrap()) {
      const peer = this.#answered.get(address);
      if (peer !== undefined && linked.has(peer)) continue;
      void this.#attempt(address);
    }
    for (const [peer, addresses] of known())
      if (peer !== self && !linked.has(peer) && !this.#connecting.has(peer))
        for (const address of addresses) void this.#attempt(address);
    this.#forget();
  }

  /** The link with `peer`, dialled now by `addresses` where there is none. @throws PEER_UNREACHABLE, PEER_REFUSED, STOPPED */
  connect(peer: PeerId, addresses: readonly string[], signal: AbortSignal): Promise<Link> {
    const link = this.#options.wire.links().find(one => one.peer === peer);
    if (link) return Promise.resolve(link);
    const running =
      this.#connecting.get(peer) ?? this.#connect(peer, addresses).finally(() => this.#connecting.delete(peer));
    this.#connecting.set(peer, running);
    // Several may wait for one dial; whoever gives up leaves it to the others.
    return within(this.#options.world, DIAL_TIMEOUT_MS, signal, 'PEER_UNREACHABLE', `dialling ${peer}`, () => running);
  }

  async #connect(peer: PeerId, addresses: readonly string[]): Promise<Link> {
    let last: unknown = new MirrorError('PEER_UNREACHABLE', `no address of ${peer} is known`);
    for (const address of addresses) {
      for (const resolved of await this.#resolve(address)) {
        try {
          const link = await this.#dial(resolved);
          if (link.peer === peer) return link;
          last = new MirrorError('PEER_UNREACHABLE', `${resolved} is ${link.peer}, not ${peer}`);
        } catch (error) {
          last = error;
        }
      }
    }
    throw last;
  }

  async #attempt(address: string): Promise<void> {
    const { world, log, own } = this.#options;
    if (own.has(address)) return;
    const state = this.#tries.get(address) ?? { failures: 0, at: 0, running: false };
    if (state.running || state.at > world.monotonic() || this.#dials >= DIALS_AT_ONCE) return;
    this.#tries.set(address, Object.assign(state, { running: true }));
    this.#dials += 1;
    try {
      for (const resolved of await this.#resolve(address)) {
        const link = await this.#dial(resolved);
        this.#answered.set(address, link.peer);
      }
      state.failures = 0;
    } catch (error) {
      // Told once, until it works again: a node that finds nobody must say why.
      const level = state.failures === 0 ? 'warn' : 'debug';
      // Who refused will not change its mind soon.
      state.failures += hasCode(error, 'PEER_REFUSED') ? 3 : 1;
      const { code } = asMirrorError(error, 'PEER_UNREACHABLE', address);
      log(level, `dialling ${address}: ${(error as Error).message}`, { address, code, failures: state.failures });
    } finally {
      state.running = false;
      state.at = world.monotonic() + this.#pause(state.failures);
      this.#dials -= 1;
    }
  }

  #dial(address: string): Promise<Link> {
    const { world, wire, signal } = this.#options;
    const what = `dialling ${address}`;
    return within(world, DIAL_TIMEOUT_MS, signal, 'PEER_UNREACHABLE', what, inner => wire.dial(address, inner));
  }

  /** The bootstrap as addresses; a DNS name stands for all of its own. */
  async #bootstrap(): Promise<string[]> {
    const found: string[] = [];
    for (const { kind, host, port } of this.#options.bootstrap)
      if (kind === 'address') found.push(formatAddress(host, port));
      else found.push(...(await this.#resolve(formatAddress(host, port))));
    return found;
  }

  async #resolve(address: string): Promise<string[]> {
    const { world, resolve, signal, log } = this.#options;
    const { host, port } = parseAddress(address);
    if (isAddress(host)) return [address];
    let found = this.#resolved.get(host);
    if (!found || found.until < world.monotonic()) {
      const what = `resolving ${host}`;
      const hosts = await within(world, RESOLVE_TIMEOUT_MS, signal, 'TIMED_OUT', what, () => resolve(host)).catch(
        (error: unknown) => {
          log('debug', `${what}: ${String(error)}`);
          return found?.hosts ?? [];
        },
      );
      found = { until: world.monotonic() + RESOLVED_LIFE_MS, hosts: hosts.filter(isAddress).slice(0, RESOLVED_MAX) };
      this.#resolved.set(host, found);
    }
    return found.hosts.map(one => formatAddress(one, port));
  }

  #pause(failures: number): number {
    const [byte = 0] = this.#options.world.random(1);
    const pause = Math.min(BACKOFF_LONGEST_MS, BACKOFF_FIRST_MS * 2 ** Math.max(0, Math.min(failures, 16) - 1));
    return pause * (0.5 + byte / 255);
  }

  #forget(): void {
    const now = this.#options.world.monotonic();
    for (const [host, { until }] of this.#resolved) if (until + FORGET_AFTER_MS < now) this.#resolved.delete(host);
    for (const [address, state] of this.#tries)
      if (!state.running && state.at + FORGET_AFTER_MS < now) {
        this.#tries.delete(address);
        this.#answered.delete(address);
      }
  }
}

const isAddress = (host: string): boolean => host.includes(':') || /^[\d.]+$/.test(host);

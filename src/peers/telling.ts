/**
 * What this node holds and tells only some: each reader hears its own list, on its own link. Promises: a digest goes to nobody outside its audience, which is asked anew before every list that is
 * sent; a list is recorded before it is told; where nothing is limited, nothing is opened. Spec: PROTOCOL.md, "Limited
 * holdings".
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import { within, type World } from '../world.ts';
import { HOLDINGS_MAX, sameHolding, sortedHoldings } from './bodies.ts';
import { Buckets } from './buckets.ts';
import { encodeSigned, KINDS, type Signed, signStatement } from './envelope.ts';
import { encodeMark, KNOWN, LIMITED_LIMITS, LIMITED_PROTOCOL, LIMITED_TIMEOUT_MS, SEND } from './hearing.ts';
import type { Holding, Log, Membership, OwnKey, RecordEvent } from './peers.ts';
import { RENEW_MS } from './stating.ts';
import type { ControlWire, Stream } from './wire.ts';

/** How often this node tells a peer: below what the other side allows. */
const OWN_RATE = { burst: 8, perSecond: 1 / 2, what: 'lists of limited holdings' };
const OWN_WAIT_MS = 500;
/** Pauses before each further attempt; after the last, the next minute comes. */
const AGAIN_MS = [500, 2_000, 8_000];
/** Changes of members within this time are looked at together. */
const GATHER_MS = 200;

export interface TellingOptions {
  readonly world: World;
  readonly wire: ControlWire;
  readonly self: OwnKey;
  readonly members: Membership;
  readonly record: RecordEvent;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** The newest statement for one reader. */
interface Told {
  readonly seq: number;
  readonly entries: readonly Holding[];
  readonly signed: Signed;
  /** When it was signed, monotonic ms. */
  readonly at: number;
  /** The reader has it. */
  heard: boolean;
}

export class Telling {
  readonly #options: TellingOptions;
  readonly #mine: Buckets;
  readonly #told = new Map<PeerId, Told>();
  readonly #running = new Map<PeerId, { again: boolean }>();
  #limited: readonly { readonly entry: Holding; readonly audience: Holding['audience'] | undefined }[] = [];
  #gathering = false;

  constructor(options: TellingOptions) {
    this.#options = options;
    this.#mine = new Buckets(options.world, OWN_RATE);
  }

  /** Begins to tell whoever is linked. */
  start(): void {
    const { wire, members } = this.#options;
    wire.onLink(({ peer }, open) => {
      if (open) void this.#request(peer);
    });
    members.onChange(() => void this.#gather());
  }

  /** These, and no others, are held for those whom their audience lets know. */
  hold(limited: readonly Holding[]): void {
    // One object for all lists in which it stands.
    this.#limited = sortedHoldings(limited).map(({ digest, size, root, audience }) => ({
      audience,
      entry: { digest, size, root },
    }));
    this.#all();
  }

  /** Renews what would end; to be called every RENEW_MS. */
  renew(): void {
    const over = this.#options.world.monotonic() - 2 * KINDS.limited.validityMs;
    // By then its reader has forgotten the number too.
    for (const [peer, { entries, at }] of this.#told) if (entries.length === 0 && at < over) this.#told.delete(peer);
    this.#all();
  }

  #all(): void {
    for (const { peer } of this.#options.wire.links()) void this.#request(peer);
  }

  async #gather(): Promise<void> {
    if (this.#gathering || this.#nothing()) return;
    this.#gathering = true;
    await this.#options.world.sleep(GATHER_MS, this.#options.signal);
    this.#gathering = false;
    if (!this.#options.signal.aborted) this.#all();
  }

  #nothing(): boolean {
    return this.#limited.length === 0 && this.#told.size === 0;
  }

  /** Tells a connected peer what is new for it, now or after what is running. Never rejects. */
  async #request(peer: PeerId): Promise<void> {
    const { world, signal, log } = this.#options;
    if (this.#nothing()) return;
    const running = this.#running.get(peer);
    if (running) return void (running.again = true);
    const state = { again: true };
    this.#running.set(peer, state);
    for (let failures = 0; state.again && this.#linked(peer); ) {
      state.again = false;
      try {
        await this.#tell(peer);
        failures = 0;
      } catch (error) {
        log('debug', `telling ${peer} of limited holdings: ${(error as Error).message}`, { peer });
        const pause = AGAIN_MS[failures++];
        if (pause === undefined) break;
        await world.sleep(pause, signal);
        state.again = true;
      }
    }
    this.#running.delete(peer);
  }

  #linked(peer: PeerId): boolean {
    const { wire, signal } = this.#options;
    return !signal.aborted && wire.links().some(link => link.peer === peer);
  }

  async #tell(peer: PeerId): Promise<void> {
    const { world, wire, signal, self } = this.#options;
    const newest = await this.#newest(peer);
    if (!newest) return;
    while (!this.#mine.allows(peer)) {
      await world.sleep(OWN_WAIT_MS, signal);
      if (!this.#linked(peer)) return;
    }
    await within(world, LIMITED_TIMEOUT_MS, signal, 'TIMED_OUT', `telling ${peer}`, async inner => {
      const stream = await wire.open(peer, LIMITED_PROTOCOL, LIMITED_LIMITS, inner);
      try {
        await stream.send(encodeMark({ start: self.start, seq: newest.seq }));
        if ((await answer(stream, peer)) === SEND) await this.#send(stream, peer);
        else newest.heard = true;
        await stream.close();
      } catch (error) {
        stream.abort(asMirrorError(error, 'PEER_UNREACHABLE', `telling ${peer}`));
        throw error;
      }
    });
  }

  /** However long the reader took to ask for it: what goes out is what it may know now. */
  async #send(stream: Stream, peer: PeerId): Promise<void> {
    const fresh = await this.#newest(peer, RENEW_MS);
    if (!fresh) return;
    await stream.send(encodeSigned(fresh.signed));
    if ((await answer(stream, peer)) !== KNOWN) throw new MirrorError('FRAME_INVALID', `${peer} asks for it twice`);
    fresh.heard = true;
  }

  /** Signs a list that changed, or is older than `age` in ms. Undefined where the peer is to hear nothing, and knows it. */
  async #newest(peer: PeerId, age = Number.POSITIVE_INFINITY): Promise<Told | undefined> {
    const { world, self, record } = this.#options;
    const entries = this.#entriesFor(peer);
    const last = this.#told.get(peer);
    if (!last && entries.length === 0) return undefined;
    if (last && sameEntries(last.entries, entries)) {
      if (last.heard && entries.length === 0) return undefined;
      if (world.monotonic() - last.at <= age) return last;
    }
    const seq = (last?.seq ?? 0) + 1;
    const notAfter = Math.floor(world.now()) + KINDS.limited.validityMs;
    const signed = signStatement(
      { kind: 'limited', signer: self.peer, start: self.start, seq, notAfter, body: { audience: peer, entries } },
      bytes => self.sign(bytes),
    );
    await record({ event: 'statement.signed', kind: 'limited', seq });
    const told = { seq, entries, signed, at: world.monotonic(), heard: false };
    this.#told.set(peer, told);
    return told;
  }

  /** What that peer may know. Beyond HOLDINGS_MAX the rest is left out, with a warning. */
  #entriesFor(peer: PeerId): readonly Holding[] {
    const node = this.#options.members.node(peer);
    if (!node?.roles.has('fetch')) return [];
    // One audience often stands at many holdings.
    const may = new Map<Holding['audience'] | undefined, boolean>();
    const entries: Holding[] = [];
    for (const { entry, audience } of this.#limited) {
      if (!may.has(audience)) may.set(audience, audience?.(node) === true);
      if (may.get(audience)) entries.push(entry);
    }
    if (entries.length > HOLDINGS_MAX)
      this.#options.log('warn', `${node.name} may know of ${entries.length} contents and is told of ${HOLDINGS_MAX}`);
    return entries.slice(0, HOLDINGS_MAX);
  }
}

const sameEntries = (a: readonly Holding[], b: readonly Holding[]): boolean =>
  a.length === b.length && a.every((one, at) => one.digest === b[at]!.digest && sameHolding(one, b[at]));

async function answer(stream: Stream, peer: PeerId): Promise<number> {
  const frame = await stream.receive();
  if (frame?.length !== 1 || frame[0]! > SEND)
    throw new MirrorError(frame ? 'FRAME_INVALID' : 'PEER_UNREACHABLE', `${peer} does not say what it knows`);
  return frame[0]!;
}

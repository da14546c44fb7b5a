/**
 * How a manifest comes from peers. It fits in memory and its digest is its proof, so holders are asked one shortly after
 * the other, without waiting for those that bring nothing, and the first right bytes end it. Promises: however many holders
 * lie about its size, stall or give other bytes, an honest one is asked soon after them; who signed another size or root is
 * refuted. Refuses to know names and what stands in the manifest.
 */
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import { algorithmOf, type Digest, MANIFEST_MAX_BYTES, type PeerId } from '../oci/oci.ts';
import type { Holder } from '../peers/peers.ts';
import { type Proof, Prover } from '../proof/proof.ts';
import { Fetch } from './fetches.ts';
import { compareRoots, isRefuted, nameLiar } from './lies.ts';
import { type Patience, patience } from './patience.ts';
import type { Rooms } from './rooms.ts';

/** A holder that brought nothing for so long is waited for beside the next. */
const HEDGE_MS = 500;
/**
 * Holders that are waited for at once: each may bring MANIFEST_MAX_BYTES into memory, and takes one of the few reads that a
 * node has under way. Eleven that bring nothing are passed within the time that a client waits for a manifest.
 */
const ASKED_AT_ONCE = 4;

type RaceRooms = Parameters<typeof compareRoots>[0] & Pick<Rooms, 'spool' | 'fetches' | 'life'>;

/**
 * The manifest `digest`, whole in the spool; `size` in bytes where a proved index says it. One run for all who ask at once.
 * @throws CONTENT_ABSENT where nobody holds it, MANIFEST_TOO_LARGE, SPOOL_FULL, else what the last holder failed with
 */
export function fetchManifest(rooms: RaceRooms, digest: Digest, size: number | undefined): Promise<Fetch> {
  return rooms.fetches.share(digest, async () => {
    const { proof, parts, source } = await new Race(rooms, digest, size).run();
    await compareRoots(rooms, proof);
    const spooled = await rooms.spool.begin(digest, proof.size);
    try {
      for (const part of parts) await spooled.append(part);
      await spooled.commit();
    } catch (error) {
      await spooled.abandon();
      throw error;
    }
    const fetch = new Fetch(spooled, rooms.world.monotonic());
    return Object.assign(fetch, { source, checked: proof.size, watermark: proof.size, state: 'whole' as const });
  });
}

interface Taken {
  readonly proof: Proof;
  readonly parts: readonly Uint8Array[];
  readonly source: string;
}

class Race {
  readonly #rooms: RaceRooms;
  readonly #digest: Digest;
  readonly #size: number | undefined;
  readonly #asked = new Set<PeerId>();
  readonly #sizes = new Set<number>();
  readonly #running = new Set<Promise<Taken | undefined>>();
  #last: MirrorError | undefined;

  constructor(rooms: RaceRooms, digest: Digest, size: number | undefined) {
    this.#rooms = rooms;
    this.#digest = digest;
    this.#size = size;
  }

  /** @throws what the last holder failed with, once nobody is left */
  async run(): Promise<Taken> {
    const { life } = this.#rooms;
    const over = new AbortController();
    const signal = AbortSignal.any([life, over.signal]);
    try {
      for (;;) {
        if (life.aborted) throw new MirrorError('STOPPED', `${this.#digest}: stopped`);
        const holder = this.#running.size < ASKED_AT_ONCE ? this.#next() : undefined;
        if (holder) this.#begin(holder, signal);
        else if (this.#running.size === 0) throw this.#last ?? this.#nobody();
        const taken = await this.#first();
        if (taken) return taken;
      }
    } finally {
      over.abort(new MirrorError('STOPPED', `${this.#digest} came from another`));
    }
  }

  /** Whom to ask next: one of each size that is said before a second of any, and who signed false roots last. */
  #next(): Holder | undefined {
    const left = this.#holders().filter(({ node, size }) => fits(size) && !this.#asked.has(node.peer));
    const trusted = left.filter(holder => !isRefuted(this.#rooms, holder));
    return trusted.find(({ size }) => !this.#sizes.has(size)) ?? trusted[0] ?? left[0];
  }

  #holders(): readonly Holder[] {
    const holders = this.#rooms.peers.holders(this.#digest);
    return this.#size === undefined ? holders : holders.filter(({ size }) => size === this.#size);
  }

  #nobody(): MirrorError {
    const said = this.#size ?? this.#holders()[0]?.size;
    return said !== undefined && !fits(said)
      ? new MirrorError(
          'MANIFEST_TOO_LARGE',
          `${this.#digest}: ${said} bytes are said; a manifest has 1 to ${MANIFEST_MAX_BYTES}`,
        )
      : new MirrorError('CONTENT_ABSENT', `${this.#digest}: no reachable node says that it holds this manifest`);
  }

  #begin(holder: Holder, signal: AbortSignal): void {
    this.#asked.add(holder.node.peer);
    this.#sizes.add(holder.size);
    const asking = this.#ask(holder, signal).finally(() => this.#running.delete(asking));
    this.#running.add(asking);
  }

  /** The first answer of those under way; undefined where one failed, or none came for a while. */
  async #first(): Promise<Taken | undefined> {
    const done = new AbortController();
    const late = this.#rooms.world.sleep(HEDGE_MS, done.signal).then(() => undefined);
    return Promise.race([...this.#running, late]).finally(() => done.abort());
  }

  async #ask(holder: Holder, over: AbortSignal): Promise<Taken | undefined> {
    const { world, log, peers } = this.#rooms;
    const { node, digest } = holder;
    const wait = patience(world, over, `${node.name}, ${digest}`, () => this.#next() !== undefined);
    try {
      return await this.#read(holder, wait);
    } catch (error) {
      // Another was faster, or the node ends: that is nobody's fault.
      if (over.aborted) return undefined;
      const failed = asMirrorError(wait.signal.aborted ? wait.signal.reason : error, 'PEER_UNREACHABLE', node.name);
      // A peer that refuses is no word of policy: to a client it is "not here".
      this.#last = failed.kind === 'denied' ? new MirrorError('CONTENT_ABSENT', failed.message) : failed;
      log.info({ peer: node.peer, node: node.name, digest, code: failed.code }, failed.message);
      if (hasCode(failed, 'CHUNK_MISMATCH')) await nameLiar(this.#rooms, holder, 'chunk', failed.code);
      else if (!hasCode(failed, 'CONTENT_ABSENT')) peers.shun(node.peer);
      return undefined;
    } finally {
      wait.end();
    }
  }

  async #read({ node, digest, size }: Holder, wait: Patience): Promise<Taken> {
    const prover = new Prover(algorithmOf(digest));
    const parts: Uint8Array[] = [];
    for await (const chunk of this.#rooms.peers.read(node.peer, digest, 0, size, wait.signal)) {
      const bytes = Uint8Array.from(chunk.bytes);
      chunk.release();
      prover.update(bytes);
      parts.push(bytes);
      wait.waits();
    }
    const proof = prover.finish();
    if (proof.size !== size)
      throw new MirrorError('CONTENT_TRUNCATED', `${node.name} ended ${digest} at byte ${proof.size} of ${size}`);
    if (proof.digest !== digest)
      throw new MirrorError('CHUNK_MISMATCH', `${node.name} gave bytes with the digest ${proof.digest} as ${digest}`);
    return { proof, parts, source: node.name };
  }
}

const fits = (size: number): boolean => size > 0 && size <= MANIFEST_MAX_BYTES;

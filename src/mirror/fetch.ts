/**
 * How a content comes from peers: from one holder at a time, chunk by chunk, each checked; who lies, stalls or dies is
 * left at the last proved chunk for the next. Promises: what is handed on obeys handing-over.ts; every lie is recorded
 * with the liar's name. Refuses to know who asked.
 */
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import type { Descriptor, Digest } from '../oci/oci.ts';
import type { Holder } from '../peers/peers.ts';
import { Checker, proofOfOneChunk, type Root, rootOf } from '../proof/proof.ts';
import { Fetch } from './fetches.ts';
import { handOver } from './handing-over.ts';
import { compareRoots, isRefuted, nameLiar, refuteSigners, vouchingFor } from './lies.ts';
import { type Patience, patience } from './patience.ts';
import type { Rooms } from './rooms.ts';

/** Chunks that may be on their way to the disk at once. */
const WRITES_MAX = 6;

type FetchRooms = Pick<
  Rooms,
  'world' | 'spool' | 'hashes' | 'peers' | 'evidence' | 'audit' | 'fetches' | 'log' | 'life'
>;

/**
 * The fetch of `digest`, begun now, with so many vouchers, if none is under way. `size` in bytes comes from the descriptor
 * in a proved manifest. @throws CONTENT_ABSENT where no peer holds it, SPOOL_FULL
 */
export function fetchContent(
  rooms: FetchRooms,
  { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
  vouchers: number,
): Promise<Fetch> {
  return rooms.fetches.share(digest, async () => {
    if (!candidates(rooms, digest, size).length)
      throw new MirrorError('CONTENT_ABSENT', `${digest}: no reachable node says that it holds it`);
    const fetch = new Fetch(await rooms.spool.begin(digest, size), rooms.world.monotonic(), vouchers);
    void run(rooms, fetch);
    return fetch;
  });
}

const candidates = (rooms: Pick<Rooms, 'peers'>, digest: Digest, size: number): readonly Holder[] =>
  rooms.peers.holders(digest).filter(holder => holder.size === size);

async function run(rooms: FetchRooms, fetch: Fetch): Promise<void> {
  try {
    const conflict = await new Attempt(rooms, fetch).run();
    await fetch.spooled.commit();
    fetch.watermark = fetch.size;
    fetch.state = 'whole';
    if (conflict) void settleConflict(rooms, fetch.digest);
  } catch (error) {
    fetch.error = asMirrorError(error, 'FILE_UNREADABLE', `fetching ${fetch.digest}`);
    fetch.state = 'failed';
    rooms.log.info({ digest: fetch.digest, code: fetch.error.code }, `fetch ended: ${fetch.error.message}`);
    await fetch.spooled.abandon().catch((cause: unknown) => {
      // Nobody waits for that: what stays of it goes at the next start.
      const { code, message } = asMirrorError(cause, 'FILE_UNREADABLE', `removing what came of ${fetch.digest}`);
      rooms.log.warn({ digest: fetch.digest, code }, message);
    });
  }
  fetch.wake();
}

/** Hashes a content whose signed roots differ, to learn whose is false. */
async function settleConflict(rooms: FetchRooms, digest: Digest): Promise<void> {
  try {
    const content = await rooms.spool.open(digest);
    if (!content) return;
    try {
      await compareRoots(rooms, await rooms.hashes.prove(content, rooms.life));
    } finally {
      await content.close();
    }
  } catch (error) {
    const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', `comparing the roots of ${digest}`);
    rooms.log.warn({ digest, code }, message);
  }
}

/** One fetch, from holder to holder. */
class Attempt {
  readonly #rooms: FetchRooms;
  readonly #fetch: Fetch;
  /** Peers that were asked in vain. */
  readonly #spent = new Set<string>();
  /** Roots whose proofs contradicted themselves. */
  readonly #false = new Set<Root>();
  #checker: Checker | undefined;
  #root: Root | undefined;
  /** This node's own root: of an earlier hash, or of a content whose digest is its proof. */
  #own: Root | undefined;
  #last: MirrorError | undefined;
  #conflict = false;
  /** Holders in a row that were waited for and brought nothing. */
  #vain = 0;

  constructor(rooms: FetchRooms, fetch: Fetch) {
    this.#rooms = rooms;
    this.#fetch = fetch;
  }

  /** Resolves when all bytes are proved and in the spool; true where signed roots differed. @throws when nobody is left */
  async run(): Promise<boolean> {
    const { digest, size } = this.#fetch;
    const own = proofOfOneChunk(digest, size) ?? (await this.#rooms.hashes.known(digest));
    if (own?.size === size) {
      this.#checker = new Checker(own);
      this.#own = this.#root = rootOf(own);
    }
    while (!this.#checker?.whole) {
      const holder = this.#next();
      if (!holder) throw this.#nobodyLeft();
      this.#fetch.turnedAt = this.#rooms.world.monotonic();
      this.#fetch.wake();
      await this.#takeFrom(holder);
    }
    return this.#conflict;
  }

  /** Why the last of the holders brought nothing. A peer that refuses is no word of policy: to a client it is "not here". */
  #nobodyLeft(): MirrorError {
    const { digest } = this.#fetch;
    if (this.#last && this.#last.kind !== 'denied') return this.#last;
    const why = this.#last ? `the last one refused: ${this.#last.message}` : 'no reachable node holds it any more';
    return new MirrorError('CONTENT_ABSENT', `${digest}: ${why}`, { cause: this.#last });
  }

  /** Whom to ask next, `but` one: of the root that is under way, else of the vouched root, else whoever is left. */
  #next(but?: string): Holder | undefined {
    const { digest, size, watermark } = this.#fetch;
    const left = candidates(this.#rooms, digest, size).filter(
      ({ node, root }) => node.peer !== but && !this.#spent.has(node.peer) && !this.#false.has(root),
    );
    if (this.#own) return left[0];
    const sameRoot = left.find(holder => holder.root === this.#root);
    // Once bytes went out, only their own root can go on; before, another root starts again from nothing.
    if (sameRoot || watermark > 0) return sameRoot;
    const { root } = vouchingFor(this.#rooms, digest, this.#fetch.vouchers);
    return left.find(holder => holder.root === root) ?? left.find(holder => !isRefuted(this.#rooms, holder)) ?? left[0];
  }

  async #takeFrom(holder: Holder): Promise<void> {
    const { node, digest } = holder;
    const { world, life } = this.#rooms;
    const another = (): boolean => this.#next(node.peer) !== undefined;
    const wait = patience(world, life, `${node.name}, ${digest}`, another, this.#vain);
    const { checked } = this.#fetch;
    try {
      const checker = await this.#checkerFor(holder, wait.signal);
      this.#fetch.source = node.name;
      await this.#stream(holder, checker, wait);
      if (!checker.whole)
        throw new MirrorError('CONTENT_TRUNCATED', `${node.name} ended ${digest} at byte ${checker.checked}`);
    } catch (error) {
      this.#spent.add(node.peer);
      // What is stopped for want of patience fails with what ended the patience.
      const cause: unknown =
        hasCode(error, 'STOPPED') && wait.signal.aborted && !life.aborted ? wait.signal.reason : error;
      this.#last = asMirrorError(cause, 'PEER_UNREACHABLE', `${node.name}, ${digest}`);
      this.#rooms.log.info({ peer: node.peer, node: node.name, digest, code: this.#last.code }, this.#last.message);
      if (this.#fetch.checked !== checked) this.#vain = 0;
      else if (this.#last.code === 'LANE_STALLED') this.#vain += 1;
      await this.#judge(holder, this.#last);
    } finally {
      wait.end();
    }
  }

  /** The checker under way where the holder's root is its root, else a new one from the start under the holder's proof. */
  async #checkerFor(holder: Holder, signal: AbortSignal): Promise<Checker> {
    if (this.#checker && (this.#own || holder.root === this.#root)) return this.#checker;
    const { digest, size, spooled } = this.#fetch;
    const proof = await this.#rooms.peers.proof(holder.node.peer, digest, size, signal);
    if (rootOf(proof) !== holder.root)
      throw new MirrorError('PROOF_INVALID', `${holder.node.name} sent another proof of ${digest} than it signed`);
    if (spooled.written > 0) await spooled.restart();
    this.#root = holder.root;
    this.#checker = new Checker(proof);
    return this.#checker;
  }

  /** Checks chunk after chunk and writes them; several writes are under way, and all are done when it answers. */
  async #stream(holder: Holder, checker: Checker, wait: Patience): Promise<void> {
    const { peers } = this.#rooms;
    const writes = new Set<Promise<void>>();
    let failed: unknown;
    const length = this.#fetch.size - checker.checked;
    try {
      for await (const chunk of peers.read(holder.node.peer, holder.digest, checker.checked, length, wait.signal)) {
        wait.brought();
        try {
          checker.check(chunk.bytes);
        } catch (error) {
          chunk.release();
          throw error;
        }
        const write = this.#keep(chunk.bytes)
          .catch((error: unknown) => {
            failed ??= error;
          })
          .finally(() => {
            chunk.release();
            writes.delete(write);
          });
        writes.add(write);
        if (writes.size >= WRITES_MAX) await Promise.race(writes);
        if (failed) break;
        wait.waits();
      }
    } finally {
      await Promise.all(writes);
    }
    // A disk that fails is not the peer's fault: the whole fetch ends.
    if (failed) throw asMirrorError(failed, 'FILE_UNREADABLE', `writing ${holder.digest} to the spool`);
  }

  /** Writes a checked chunk, then moves the watermark as far as the rule allows. */
  async #keep(bytes: Uint8Array): Promise<void> {
    const fetch = this.#fetch;
    await fetch.spooled.append(bytes);
    fetch.checked = fetch.spooled.written;
    fetch.advancedAt = this.#rooms.world.monotonic();
    const vouching = vouchingFor(this.#rooms, fetch.digest, fetch.vouchers, this.#own);
    this.#conflict ||= vouching.conflict;
    // Whole is said after commit alone; a chunk is checked, and no more is claimed here.
    const progress = { size: fetch.size, checked: fetch.checked, root: this.#root!, whole: false };
    fetch.watermark = Math.max(fetch.watermark, handOver(progress, vouching));
    fetch.wake();
  }

  async #judge(holder: Holder, error: unknown): Promise<void> {
    if (hasCode(error, 'CHUNK_MISMATCH')) return nameLiar(this.#rooms, holder, 'chunk', error.code);
    if (hasCode(error, 'PROOF_INVALID')) return nameLiar(this.#rooms, holder, 'proof', error.code);
    if (hasCode(error, 'PROOF_REFUTED')) {
      // Nobody can hold bytes that fit a proof which contradicts itself: all who signed it are refuted.
      this.#false.add(holder.root);
      return refuteSigners(this.#rooms, holder.digest, holder.root);
    }
    // This node's own troubles are not the peer's fault: the whole fetch ends.
    if (hasCode(error, 'FILE_UNREADABLE', 'SPOOL_FULL', 'STOPPED')) throw error;
    if (!hasCode(error, 'CONTENT_ABSENT')) this.#rooms.peers.shun(holder.node.peer);
  }
}

/**
 * Hash results that are kept: a proof per content, by digest, with the stamp of the file that was hashed. Promises: what
 * comes out was hashed by this node, and the file still looks the same; one large content is hashed at a time, and slowly
 * while other bytes move. Refuses to know who asks and what for.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { algorithmOf, type Digest } from '../oci/oci.ts';
import { CHUNK_BYTES, type Proof, Prover } from '../proof/proof.ts';
import type { World } from '../world.ts';
import type { Disk } from './disk.ts';
import { type KeptProof, openProofFiles, type ProofFiles } from './hashes-files.ts';
import type { Content, Hashes } from './store.ts';

/** Beside live traffic, for each unit of time spent on hashing so many are spent asleep: at most a tenth of a core. */
const REST_PER_WORK = 9;
/** The shortest rest, in milliseconds. */
const REST_MIN_MS = 1;

export interface HashesSettings {
  /** True while bytes move for others. */
  readonly busy: () => boolean;
}

/** Opens the hash results kept in the folder `dir`, made where missing. @throws FILE_UNREADABLE */
export async function openHashes(disk: Disk, dir: string, world: World, { busy }: HashesSettings): Promise<Hashes> {
  return new KeptHashes(await openProofFiles(disk, dir), world, busy);
}

class KeptHashes implements Hashes {
  readonly #files: ProofFiles;
  readonly #world: World;
  readonly #busy: () => boolean;
  /** Read into by whose turn it is. */
  readonly #chunk = new Uint8Array(CHUNK_BYTES);
  #turn: Promise<unknown> = Promise.resolve();

  constructor(files: ProofFiles, world: World, busy: () => boolean) {
    this.#files = files;
    this.#world = world;
    this.#busy = busy;
  }

  async prove(content: Content, signal: AbortSignal): Promise<Proof> {
    const kept = await this.#kept(content);
    if (kept) return kept.proof;
    return this.#inTurn(content, async chunk => {
      // Who waited before may have hashed the same content.
      const meanwhile = await this.#kept(content);
      return meanwhile ? meanwhile.proof : this.#hash(content, chunk, signal);
    });
  }

  again(content: Content, signal: AbortSignal): Promise<Proof> {
    return this.#inTurn(content, chunk => this.#hash(content, chunk, signal));
  }

  async known(digest: Digest): Promise<Proof | undefined> {
    return (await this.#files.read(digest))?.proof;
  }

  async #kept({ digest, stamp, size }: Content): Promise<KeptProof | undefined> {
    const kept = await this.#files.read(digest);
    return kept?.stamp === stamp && kept.proof.size === size ? kept : undefined;
  }

  /** One after the other; a content of one chunk does not wait behind a large one. */
  #inTurn(content: Content, work: (chunk: Uint8Array) => Promise<Proof>): Promise<Proof> {
    if (content.size <= CHUNK_BYTES) return work(new Uint8Array(content.size));
    const result = this.#turn.then(() => work(this.#chunk));
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #hash(content: Content, chunk: Uint8Array, signal: AbortSignal): Promise<Proof> {
    const { digest, size, stamp } = content;
    const prover = new Prover(algorithmOf(digest));
    for (let at = 0; at < size; ) {
      if (signal.aborted) throw asMirrorError(signal.reason, 'STOPPED', `hashing ${digest} was stopped`);
      const began = this.#world.monotonic();
      const count = await content.read(chunk.subarray(0, Math.min(chunk.length, size - at)), at);
      if (count === 0) break;
      prover.update(chunk.subarray(0, count));
      at += count;
      if (this.#busy() && at < size) {
        const worked = this.#world.monotonic() - began;
        await this.#world.sleep(Math.max(REST_MIN_MS, worked * REST_PER_WORK), signal);
      }
    }
    const proof = prover.finish();
    if (proof.digest !== digest || proof.size !== size) {
      await this.#files.remove(digest);
      throw new MirrorError(
        'STORE_CORRUPT',
        `${digest}: the bytes on this disk have the digest ${proof.digest}: remove the image and fetch it again`,
      );
    }
    await this.#files.write({ stamp, proof });
    return proof;
  }
}

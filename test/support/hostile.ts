/**
 * Peers that lie or limp: real nodes with one part replaced. `chunk` gives bytes with one flipped under an honest proof;
 * `proof` signs a proof of other bytes, with the right last prefix digest, and gives those bytes; `slow` is honest and
 * takes its time; `stall` begins and never goes on; `die` ends every transfer half way. Nothing in src can do this.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Ground } from '../../src/cli/ground.ts';
import { algorithmOf, bytesOf, type Digest } from '../../src/oci/oci.ts';
import { CHUNK_BYTES, type Proof, Prover } from '../../src/proof/proof.ts';
import type { Content } from '../../src/store/store.ts';

export type Lie = 'chunk' | 'proof' | 'slow' | 'stall' | 'die';
export const LIES: readonly Lie[] = ['chunk', 'proof', 'slow', 'stall', 'die'];

/** Milliseconds that the slow one takes for a chunk. */
const SLOW_MS = 40;

/** Contents smaller than this are given honestly: manifests and configs have no chunks to lie about. */
const LIE_FROM_BYTES = 2 * CHUNK_BYTES;

/** A content as the store has it, with what goes out in its place. */
interface Twisted extends Content {
  readonly honest: Content;
}

const isTwisted = (content: Content): content is Twisted => 'honest' in content;

/** The ground of a node that does `lie`. */
export function hostile(ground: Ground, lie: Lie): Ground {
  const { store, hashes } = ground;
  const lies = new Map<Digest, Proof>();
  return {
    ...ground,
    store: {
      ...bound(store),
      async open(digest) {
        const content = await store.open(digest);
        return content && content.size >= LIE_FROM_BYTES ? twist(content, lie) : content;
      },
    },
    hashes: {
      ...bound(hashes),
      async prove(content, signal) {
        if (!isTwisted(content)) return hashes.prove(content, signal);
        const proof = lie === 'proof' ? await falseProof(content) : await hashes.prove(content.honest, signal);
        lies.set(content.digest, proof);
        return proof;
      },
      again: (content, signal) => hashes.again(isTwisted(content) ? content.honest : content, signal),
      known: async digest => lies.get(digest) ?? hashes.known(digest),
    },
  };
}

/** The methods of a room, so that some of them can be replaced. */
function bound<T extends object>(room: T): T {
  return new Proxy({} as T, {
    ownKeys: () => [...new Set([...Reflect.ownKeys(room), ...Reflect.ownKeys(Object.getPrototypeOf(room) as object)])],
    getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
    get: (_, key) => {
      const value = Reflect.get(room, key, room) as unknown;
      return typeof value === 'function' ? (value.bind(room) as unknown) : value;
    },
  });
}

function twist(honest: Content, lie: Lie): Twisted {
  const { digest, size, stamp } = honest;
  return {
    honest,
    digest,
    size,
    stamp,
    async read(into, position) {
      if (lie === 'slow') await delay(SLOW_MS);
      if (lie === 'stall' && position >= CHUNK_BYTES) await new Promise(() => undefined);
      if (lie === 'die' && position >= size / 2) throw new Error('dying on purpose');
      const read = await honest.read(into, position);
      const flip = (at: number): void => {
        const index = at - position;
        if (index >= 0 && index < read) into[index] = (into[index] ?? 0) ^ 1;
      };
      if (lie === 'chunk') flip(Math.floor(size / 2));
      if (lie === 'proof')
        for (let at = Math.ceil(position / CHUNK_BYTES) * CHUNK_BYTES; at < position + read; at += CHUNK_BYTES)
          flip(at);
      return read;
    },
    close: () => honest.close(),
  };
}

/** The proof of the twisted bytes, but for its last prefix digest: the one that is asked for. */
async function falseProof(content: Content): Promise<Proof> {
  const prover = new Prover(algorithmOf(content.digest));
  const buffer = Buffer.alloc(CHUNK_BYTES);
  for (let at = 0; at < content.size; ) {
    const read = await content.read(buffer, at);
    prover.update(buffer.subarray(0, read));
    at += read;
  }
  const { list, size } = prover.finish();
  const right = bytesOf(content.digest);
  const patched = Buffer.from(list);
  right.copy(patched, patched.length - right.length);
  return { digest: content.digest, size, list: patched };
}

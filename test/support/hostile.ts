/**
 * Peers that lie or limp: real nodes with one part replaced. `chunk` gives bytes with one flipped under an honest proof;
 * `proof` signs a proof of other bytes, with the right last prefix digest, and gives those bytes; `slow` is honest and
 * takes its time; `stall` begins and never goes on; `die` ends every transfer half way. Nothing in src can do this.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Ground } from '../../src/cli/ground.ts';
import { MirrorError } from '../../src/errors.ts';
import { algorithmOf, bytesOf, type Digest } from '../../src/oci/oci.ts';
import { CHUNK_BYTES, type Proof, Prover } from '../../src/proof/proof.ts';
import type { Content } from '../../src/store/store.ts';

export type Lie = 'chunk' | 'proof' | 'slow' | 'stall' | 'die';
export const LIES: readonly Lie[] = ['chunk', 'proof', 'slow', 'stall', 'die'];

/** Milliseconds that the slow one takes for a chunk. */
const SLOW_MS = 40;

/** Reads that hang at once. A node would refuse lanes if all that it ever began to give hung: the next one would not stall. */
const STALLED_MAX = 4;

/** Contents smaller than this are given honestly unless another size is given: manifests and configs always should be. */
const LIE_FROM_BYTES = 2 * CHUNK_BYTES;

/** A content as the store has it, with what goes out in its place. */
interface Twisted extends Content {
  readonly honest: Content;
}

const isTwisted = (content: Content): content is Twisted => 'honest' in content;

/** The ground of a node that does `lie` with contents of at least `from` bytes. */
export function hostile(ground: Ground, lie: Lie, from: number = LIE_FROM_BYTES): Ground {
  const { store, hashes } = ground;
  const lies = new Map<Digest, Proof>();
  return {
    ...ground,
    store: {
      ...bound(store),
      async open(digest) {
        const content = await store.open(digest);
        return content && content.size >= from ? twist(content, lie) : content;
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
export function bound<T extends object>(room: T): T {
  return new Proxy({} as T, {
    ownKeys: () => [...new Set([...Reflect.ownKeys(room), ...Reflect.ownKeys(Object.getPrototypeOf(room) as object)])],
    getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
    get: (_, key) => {
      const value = Reflect.get(room, key, room) as unknown;
      return typeof value === 'function' ? (value.bind(room) as unknown) : value;
    },
  });
}

/** Ends what waits the longest. */
const stalled: (() => void)[] = [];

/** Never answers, as long as fewer than STALLED_MAX others wait for the same. @throws FILE_UNREADABLE where it is let go */
async function stalling(): Promise<void> {
  if (stalled.length >= STALLED_MAX) stalled.shift()?.();
  await new Promise<void>(resolve => void stalled.push(resolve));
  throw new MirrorError('FILE_UNREADABLE', 'stalled on purpose');
}

function twist(honest: Content, lie: Lie): Twisted {
  const { digest, size, stamp } = honest;
  // What is one chunk ends before it began: there is no half of it that could be proved.
  const [stallAt, dieAt] = size > CHUNK_BYTES ? [CHUNK_BYTES, size / 2] : [0, 0];
  return {
    honest,
    digest,
    size,
    stamp,
    async read(into, position) {
      if (lie === 'slow') await delay(SLOW_MS);
      if (lie === 'stall' && position >= stallAt) await stalling();
      if (lie === 'die' && position >= dieAt) throw new Error('dying on purpose');
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

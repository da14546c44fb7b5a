/**
 * The hostile nodes of a storm: real nodes with one part replaced, on simulated time. `chunk` and `proof` are those of
 * test/support/hostile.ts; `stall` and `die` stop at the second MiB; `slow` and `trickle` give honest bytes late; `size` signs sizes that are one byte
 * off; `replay` says again what others said; `tags` holds another image under everybody's name.
 */
import type { Ground } from '../../src/cli/ground.ts';
import { MirrorError } from '../../src/errors.ts';
import { CHUNK_BYTES } from '../../src/proof/proof.ts';
import type { Content, Hashes, Store } from '../../src/store/store.ts';
import type { World } from '../../src/world.ts';
import { hostile } from '../support/hostile.ts';
import type { MemoryWire } from '../support/memory-wire.ts';

export const LIES = ['chunk', 'proof', 'stall', 'die', 'slow', 'trickle', 'size', 'replay', 'tags'] as const;
export type Lie = (typeof LIES)[number];

/** Milliseconds before each read of the slow one, and of the one that trickles. */
const SLOW_MS = 700;
const TRICKLE_MS = 3_000;
/** How often old things are said again, in milliseconds, and how many are kept. */
const REPLAY_MS = 2_000;
const REPLAYS_KEPT = 50;

/** The ground of a node that tells `lie`. */
export function liarsGround(ground: Ground, lie: Lie): Ground {
  switch (lie) {
    case 'chunk':
    case 'proof':
      return hostile(ground, lie);
    case 'stall':
    case 'die':
    case 'slow':
    case 'trickle':
      return { ...ground, store: limping(ground, lie) };
    case 'size':
      return { ...ground, hashes: falseSizes(ground.hashes) };
    case 'replay':
    case 'tags':
      return ground;
  }
}

/** A store whose contents are read late, or from the second chunk on not at all. */
function limping({ store, world }: Ground, lie: 'stall' | 'die' | 'slow' | 'trickle'): Store {
  const before = async (position: number): Promise<void> => {
    if (lie === 'slow') return world.sleep(SLOW_MS);
    if (lie === 'trickle') return world.sleep(TRICKLE_MS);
    if (position < CHUNK_BYTES) return;
    if (lie === 'die') throw new MirrorError('FILE_UNREADABLE', 'dying on purpose');
    await new Promise(() => undefined);
  };
  const limp = (content: Content): Content => ({
    digest: content.digest,
    size: content.size,
    stamp: content.stamp,
    async read(into, position) {
      await before(position);
      return content.read(into, position);
    },
    close: () => content.close(),
  });
  return {
    kind: store.kind,
    images: () => store.images(),
    watch: (changed, signal) => store.watch(changed, signal),
    ...(store.keeping ? { keeping: store.keeping } : {}),
    async open(digest) {
      const content = await store.open(digest);
      return content && limp(content);
    },
  };
}

const falseSizes = (hashes: Hashes): Hashes => ({
  prove: async (content, signal) => {
    const proof = await hashes.prove(content, signal);
    return { ...proof, size: proof.size + 1 };
  },
  again: (content, signal) => hashes.again(content, signal),
  known: digest => hashes.known(digest),
});

/** Makes a wire say again what it heard. */
export function replaying(wire: MemoryWire, world: World): void {
  const heard: { topic: string; message: Uint8Array }[] = [];
  const subscribe = wire.subscribe.bind(wire);
  wire.subscribe = (topic, judge) =>
    subscribe(topic, (from, message) => {
      heard.push({ topic, message });
      if (heard.length > REPLAYS_KEPT) heard.shift();
      return judge(from, message);
    });
  void (async () => {
    for (;;) {
      await world.sleep(REPLAY_MS);
      const [byte = 0] = world.random(1);
      const one = heard[byte % Math.max(1, heard.length)];
      if (one) await wire.publish(one.topic, one.message);
    }
  })();
}

/**
 * The hostile nodes of a storm: real nodes with one part replaced, on simulated time. `chunk` and `proof` are those of
 * test/support/hostile.ts, down to small layers; `stall` and `die` say what they hold and stop within it; `slow` gives
 * honest bytes late; `trickle` a byte a second; `garble` flips any byte of what it gives, manifests among it; `size` signs
 * sizes that are one byte off; `replay` says again what others said; `tags` holds another image under everybody's name.
 */
import type { Ground } from '../../src/cli/ground.ts';
import { MirrorError } from '../../src/errors.ts';
import { encodeItem } from '../../src/peers/intake.ts';
import { CHUNK_BYTES } from '../../src/proof/proof.ts';
import type { Content, Hashes } from '../../src/store/store.ts';
import type { LaneWire } from '../../src/peers/wire.ts';
import type { World } from '../../src/world.ts';
import { bound, hostile } from '../support/hostile.ts';
import type { MemoryWire } from '../support/memory-wire.ts';
import type { Chance } from './chance.ts';
import { tapped } from './lane-taps.ts';

export const LIES = ['chunk', 'proof', 'stall', 'die', 'slow', 'trickle', 'garble', 'size', 'replay', 'tags'] as const;
export type Lie = (typeof LIES)[number];

/** Smaller contents are given honestly: a liar has to read its own manifests. */
const LIE_FROM_BYTES = 5_000;
/** The longest that a read of the slow one takes, in milliseconds. */
const SLOW_MS = 5_000;
/** Between two bytes of the one that trickles, in milliseconds. */
const TRICKLE_MS = 1_000;
/** So many of the sends of the one that garbles have a byte flipped. */
const GARBLED = 0.5;
/** How often old things are said again, in milliseconds, and how many are kept, from the oldest on. */
const REPLAY_MS = 700;
const REPLAYS_KEPT = 200;
/** So many of them are the first roster. */
const ROSTERS = 0.1;

/** The ground of a node that tells `lie`. */
export function liarsGround(ground: Ground, lie: Lie, chance: Chance): Ground {
  switch (lie) {
    case 'chunk':
    case 'proof':
      return hostile(ground, lie, LIE_FROM_BYTES);
    case 'stall':
    case 'die':
    case 'slow':
      return { ...ground, ...limping(ground, lie, chance) };
    case 'size':
      return { ...ground, hashes: falseSizes(ground.hashes) };
    case 'trickle':
    case 'garble':
    case 'replay':
    case 'tags':
      return ground;
  }
}

/** The lanes of a node that tells `lie`. */
export function liarsLanes(wire: LaneWire, lie: Lie, world: World, chance: Chance): LaneWire {
  if (lie === 'trickle')
    return tapped(wire, async (socket, _, bytes) => {
      for (let at = 0; at < bytes.length; at++) {
        await socket.send(bytes.subarray(at, at + 1));
        await world.sleep(TRICKLE_MS);
      }
    });
  if (lie === 'garble')
    return tapped(wire, (socket, _, bytes) => {
      const garbled = Uint8Array.from(bytes);
      if (chance.happens(GARBLED)) garbled[chance.whole(0, bytes.length - 1)]! ^= 1;
      return socket.send(garbled);
    });
  return wire;
}

/** A store whose contents are read late, or from the second chunk on not at all; its hashes are made in peace. */
function limping(
  { store, hashes, world }: Ground,
  lie: 'stall' | 'die' | 'slow',
  chance: Chance,
): Pick<Ground, 'store' | 'hashes'> {
  const sound = new WeakMap<Content, Content>();
  const before = async (size: number, position: number): Promise<void> => {
    if (lie === 'slow') return world.sleep(chance.fraction() * SLOW_MS);
    if (position < CHUNK_BYTES && size > CHUNK_BYTES) return;
    if (lie === 'die') throw new MirrorError('FILE_UNREADABLE', 'dying on purpose');
    await new Promise(() => undefined);
  };
  const limp = (content: Content): Content => {
    const { digest, size, stamp } = content;
    const limps: Content = {
      digest,
      size,
      stamp,
      async read(into, position) {
        await before(size, position);
        return content.read(into, position);
      },
      close: () => content.close(),
    };
    sound.set(limps, content);
    return limps;
  };
  return {
    store: {
      ...bound(store),
      async open(digest) {
        const content = await store.open(digest);
        return content && content.size >= LIE_FROM_BYTES ? limp(content) : content;
      },
    },
    hashes: {
      prove: (content, signal) => hashes.prove(sound.get(content) ?? content, signal),
      again: (content, signal) => hashes.again(sound.get(content) ?? content, signal),
      known: digest => hashes.known(digest),
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

/** Makes a wire say again what it heard, and the roster that was in force when its node began. */
export function replaying(wire: MemoryWire, world: World, chance: Chance, roster: () => string | undefined): void {
  const heard: { topic: string; message: Uint8Array }[] = [];
  const subscribe = wire.subscribe.bind(wire);
  wire.subscribe = (topic, judge) =>
    subscribe(topic, (from, message) => {
      if (heard.length < REPLAYS_KEPT) heard.push({ topic, message });
      return judge(from, message);
    });
  void (async () => {
    for (;;) {
      await world.sleep(REPLAY_MS);
      if (heard.length === 0) continue;
      const { topic, message } = chance.pick(heard);
      const first = chance.happens(ROSTERS) ? roster() : undefined;
      await wire.publish(topic, first === undefined ? message : encodeItem('roster', first));
    }
  })();
}

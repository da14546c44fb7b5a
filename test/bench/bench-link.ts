/**
 * An image of 500 MB, pulled by containerd 2.x through the mirror from a peer, against the same pull straight from a
 * registry: over links of 400 Mbit/s, and unshaped. With two vouchers, and with one.
 */
import { join } from 'node:path';
import type { BuiltImage } from '../support/images.ts';
import type { Containerd } from '../support/system/containerd.ts';
import type { Lab } from '../support/system/lab.ts';
import {
  type ClusterFolder,
  initCluster,
  MIRROR,
  type PinnaceNode,
  prepareNode,
  sharing,
} from '../support/system/node.ts';
import { inLab, pidOfNode, startQuietly } from './containerds.ts';
import type { Bench, Ground } from './ground.ts';
import { type Figure, figureOf, type Findings, type Goal } from './report.ts';
import { until } from './processes.ts';
import { type Contender, race } from './rounds.ts';

const LINK_MBIT = 400;
const LAYERS = 4;
const LAYER_BYTES = 125_000_000;
const LIMITS = { two: 1.2, one: 1.4 } as const;
const REGISTRY = 'registry.test';
const REFERENCE = `${REGISTRY}/bench/big:1`;
const POLICY = sharing(`${REGISTRY}/**`);
/** Milliseconds for holders to hash the image and tell of it. */
const HELD_TIMEOUT_MS = 120_000;

/** Nodes that hold the image, and the operator's folder of their cluster. */
interface Holders {
  readonly cluster: ClusterFolder;
  readonly nodes: readonly PinnaceNode[];
}

async function holding(
  lab: Lab,
  image: BuiltImage,
  cluster: ClusterFolder,
  labels: readonly string[],
): Promise<Holders> {
  const nodes: PinnaceNode[] = [];
  for (const name of labels) {
    const host = await lab.host(name);
    const bootstrap = nodes.slice(0, 1).map(node => node.host);
    const node = await prepareNode(join(lab.folder, `holder-${name}`), {
      name,
      host,
      cluster,
      policy: POLICY,
      bootstrap,
    });
    lab.atEnd(() => node.stop());
    await startQuietly(node);
    await node.cli('import', `oci:${image.dir}`);
    await node.holds(image.contents.length, HELD_TIMEOUT_MS);
    nodes.push(node);
  }
  return { cluster, nodes };
}

/** A pull by a containerd that starts empty each time; through a node that starts with nothing where there are holders. */
function freshContainerd(
  ground: Ground,
  lab: Lab,
  name: string,
  bytes: number,
  from: { readonly upstream: string } | { readonly holders: Holders; readonly contents: number },
): Contender {
  let containerd: Containerd | undefined;
  let taker: PinnaceNode | undefined;
  let count = 0;
  const prefix = name.replace(/[^a-z]+/g, '-');
  const startTaker = async (holders: Holders, contents: number, store: Containerd): Promise<PinnaceNode> => {
    const host = await lab.host('taker');
    const own = `${prefix}-${++count}`;
    const bootstrap = holders.nodes.map(node => node.host);
    const options = { name: own, host, cluster: holders.cluster, policy: POLICY, bootstrap, containerd: store };
    const node = await prepareNode(join(lab.folder, `taker-${own}`), options);
    lab.atEnd(() => node.stop());
    taker = node;
    await startQuietly(node);
    await until(`${own} knowing who holds the image`, HELD_TIMEOUT_MS, ground.signal, async () => {
      const { peers } = await node.status();
      const held = peers.filter(peer => peer.connected && peer.holdings >= contents).map(peer => peer.name);
      return holders.nodes.every(holder => held.includes(holder.name)) || undefined;
    });
    return node;
  };
  return {
    name,
    bytes,
    async prepare() {
      containerd = await lab.containerd('taker', '2.x');
      if ('upstream' in from) return containerd.hosts(REGISTRY, from);
      // No upstream: what the mirror does not answer fails, instead of coming from elsewhere unseen.
      await containerd.hosts(REGISTRY, { mirror: MIRROR });
      await startTaker(from.holders, from.contents, containerd);
    },
    run: async () => void (await containerd!.cri.pull(REFERENCE)),
    async clean() {
      await taker?.stop();
      await containerd?.remove();
      [taker, containerd] = [undefined, undefined];
    },
    processes() {
      const givers = 'holders' in from ? from.holders.nodes : [];
      const all = givers.map(node => [node.name, pidOfNode(node)] as const);
      return Object.fromEntries(taker ? [...all, ['taker', pidOfNode(taker)]] : all);
    },
  };
}

const byName = (figures: readonly Figure[], name: string): number => figures.find(one => one.name === name)!.median;

/** How much longer each way takes than the direct one, from figures in MB/s. */
function goals(figures: readonly Figure[]): Goal[] {
  const slower = (name: string): number => byName(figures, 'shaped, direct') / byName(figures, `shaped, ${name}`);
  const goal = (name: string, value: number, limit: number): Goal => ({
    name,
    value,
    sense: 'at most',
    limit,
    unit: '×',
  });
  return [
    goal(`time to a direct pull at ${LINK_MBIT} Mbit/s, two vouchers`, slower('two vouchers'), LIMITS.two),
    goal(`time to a direct pull at ${LINK_MBIT} Mbit/s, one voucher`, slower('one voucher'), LIMITS.one),
  ];
}

async function measure(ground: Ground, lab: Lab): Promise<Findings> {
  ground.say('  building the image');
  const layers = Array.from({ length: LAYERS }, (_, seed) => ({ randomBytes: LAYER_BYTES, seed }));
  const image = await lab.image({ reference: REFERENCE, layers, gzip: true });
  const registry = await lab.registry('origin');
  await registry.push(image);
  const two = await holding(lab, image, await lab.cluster(), ['one', 'two']);
  const one = await holding(lab, image, await initCluster(join(lab.folder, 'cluster-of-one')), ['three']);
  const contents = image.contents.length;
  const contenders = (way: string): Contender[] => [
    freshContainerd(ground, lab, `${way}, direct`, image.bytes, { upstream: registry.endpoint }),
    freshContainerd(ground, lab, `${way}, two vouchers`, image.bytes, { holders: two, contents }),
    freshContainerd(ground, lab, `${way}, one voucher`, image.bytes, { holders: one, contents }),
  ];
  const figures: Figure[] = [];
  for (const way of ['unshaped', 'shaped']) {
    const all = contenders(way);
    if (way === 'shaped')
      for (const label of ['origin', 'one', 'two', 'three', 'taker']) await (await lab.host(label)).shape(LINK_MBIT);
    const samples = await race(all, { ...ground, warm: 1 });
    figures.push(...all.map(({ name, bytes }) => figureOf(name, bytes, samples.get(name)!)));
  }
  const notes = [
    `${(image.bytes / 1e6).toFixed(0)} MB in ${LAYERS} gzip layers; containerd's unpacking is in the time`,
    `shaped: each machine sends and receives at ${LINK_MBIT} Mbit/s, which is ${LINK_MBIT / 8} MB/s at most`,
  ];
  return { figures, goals: goals(figures), notes };
}

export const linkBench: Bench = {
  name: 'link',
  summary: 'containerd pulls 500 MB through the mirror and directly, at 400 Mbit/s and unshaped',
  run: ground => inLab(lab => measure(ground, lab)),
};

/**
 * A large layer from node to node to curl, proved and encrypted, against nginx TLS → nginx proxy → curl, which verifies
 * nothing, and the same piped into a hash. Once with two vouchers (handed on chunk by chunk), once with one (whole first).
 */
import type { Bench, Ground } from './ground.ts';
import type { BenchImage } from './image.ts';
import { type BenchCluster, type BenchNode, createBenchCluster, getManifest, mirrorUrl, untilHeld } from './nodes.ts';
import { needPrograms } from './packages.ts';
import { figureOf, type Goal } from './report.ts';
import { type Contender, race, type Sample } from './rounds.ts';
import { curl, curlHashed, startYardsticks } from './yardsticks.ts';

/** A manifest, a config, a layer. */
const DIGESTS_OF_IMAGE = 3;
/** What is promised and aimed at, as a share of nginx proxy and of nginx proxy with a hash. */
const TWO_VOUCHERS = { limits: [0.45, 0.8], aims: [0.6, 1] } as const;
const ONE_VOUCHER = { limits: [0.35, 0.55] } as const;

/** A cluster in which every one of `holders` nodes holds the image. */
export async function clusterHolding(
  ground: Ground,
  name: string,
  image: BenchImage,
  holders: number,
): Promise<{ cluster: BenchCluster; nodes: BenchNode[] }> {
  const cluster = await createBenchCluster(ground, name);
  const nodes: BenchNode[] = [];
  for (let at = 1; at <= holders; at++) {
    const node = await cluster.start(`n${at}`);
    await node.import(image);
    nodes.push(node);
  }
  return { cluster, nodes };
}

/**
 * A node that knows the image's holders and its manifest, and has nothing of the layer. A new name every time: a node whose
 * state was taken away would be refused as one that goes back in time, and one that keeps it vouches for itself.
 */
export async function freshNode(
  ground: Ground,
  cluster: BenchCluster,
  name: string,
  holders: readonly BenchNode[],
  image: BenchImage,
): Promise<BenchNode> {
  const node = await cluster.start(name);
  await untilHeld(
    node,
    holders.map(holder => holder.name),
    DIGESTS_OF_IMAGE,
    ground.signal,
  );
  await getManifest(node, image, ground.signal);
  return node;
}

/** Pulls the layer on a fresh node each round; `get` does it. */
export function freshPull(
  ground: Ground,
  name: string,
  from: { readonly cluster: BenchCluster; readonly nodes: readonly BenchNode[] },
  image: BenchImage,
  get: (url: string) => Promise<void>,
): Contender {
  let count = 0;
  let node: BenchNode | undefined;
  return {
    name,
    bytes: image.layer.size,
    async prepare() {
      node = await freshNode(ground, from.cluster, `fresh-${++count}`, from.nodes, image);
    },
    run: () => get(mirrorUrl(node!, image, 'blobs', image.layer.digest)),
    async clean() {
      await node?.remove();
      node = undefined;
    },
    processes: () =>
      Object.fromEntries(
        [...from.nodes, node!].map((one, at, all) => [at === all.length - 1 ? 'taker' : one.name, one.pid]),
      ),
  };
}

function goals(
  samples: ReadonlyMap<string, readonly Sample[]>,
  names: readonly [string, string, string, string],
): Goal[] {
  const [two, one, proxied, hashed] = names.map(name => figureOf(name, 1, samples.get(name)!).median);
  const goal = (name: string, value: number, limit: number, aim?: number): Goal => ({
    name,
    value,
    sense: 'at least',
    limit,
    unit: '×',
    ...(aim === undefined ? {} : { aim }),
  });
  return [
    goal('two vouchers to nginx proxy', two! / proxied!, TWO_VOUCHERS.limits[0], TWO_VOUCHERS.aims[0]),
    goal('two vouchers to nginx proxy, hashed', two! / hashed!, TWO_VOUCHERS.limits[1], TWO_VOUCHERS.aims[1]),
    goal('one voucher to nginx proxy', one! / proxied!, ONE_VOUCHER.limits[0]),
    goal('one voucher to nginx proxy, hashed', one! / hashed!, ONE_VOUCHER.limits[1]),
  ];
}

export const transferBench: Bench = {
  name: 'transfer',
  summary: 'a large layer node → node → curl against nginx TLS → nginx proxy → curl',
  async run(ground) {
    const programs = await needPrograms(ground.processes, { curl: 'curl', openssl: 'openssl' }, ground.say);
    const image = await ground.image(ground.layerBytes);
    const yardsticks = await startYardsticks(ground, image);
    const two = await clusterHolding(ground, 'two', image, 2);
    const one = await clusterHolding(ground, 'one', image, 1);
    const get = (url: string): Promise<void> => curl(ground.processes, programs.curl, url, image.layer.size);
    const contenders = [
      yardsticks.proxied,
      freshPull(ground, 'two vouchers: node → node → curl', two, image, get),
      yardsticks.proxiedHashed,
      freshPull(ground, 'one voucher: node → node → curl', one, image, get),
    ] as const;
    const samples = await race(contenders, { ...ground, warm: 1 });

    // Untimed: what came out is the layer, not only as long as it.
    const hex = image.layer.digest.slice('sha256:'.length);
    const check = freshPull(ground, 'check', two, image, url => curlHashed(ground.processes, programs, url, hex));
    await race([check], { ...ground, rounds: 1, warm: 0 });

    const [proxied, twice, hashed, once] = contenders.map(({ name }) => name) as [string, string, string, string];
    return {
      figures: contenders.map(({ name, bytes }) => figureOf(name, bytes, samples.get(name)!)),
      goals: goals(samples, [twice, once, proxied, hashed]),
      notes: yardsticks.notes,
      files: yardsticks.files,
    };
  },
};

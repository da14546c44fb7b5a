/**
 * A large layer from node to node to curl, proved and encrypted, against nginx TLS → nginx proxy → curl, which verifies
 * nothing, and the same piped into a hash. Once with two vouchers (handed on chunk by chunk), once with one (whole first).
 */
import type { ProcessCluster, ProcessNode } from '../support/nodes.ts';
import type { Bench, Ground } from './ground.ts';
import type { BenchImage } from './image.ts';
import {
  benchCluster,
  DIGESTS_OF_IMAGE,
  getManifest,
  importImage,
  mirrorUrl,
  pidOf,
  removeNode,
  startNode,
  untilHeld,
} from './nodes.ts';
import { warmMemory } from './memory.ts';
import { needPrograms } from './packages.ts';
import { figureOf, type Goal } from './report.ts';
import { type Contender, race, type Sample } from './rounds.ts';
import { curl, curlHashed, startYardsticks } from './yardsticks.ts';

const WARM_ROUNDS = 1;
/** What is promised and aimed at, as a share of nginx proxy and of nginx proxy with a hash. */
const TWO_VOUCHERS = { limits: [0.45, 0.8], aims: [0.6, 1] } as const;
const ONE_VOUCHER = { limits: [0.35, 0.55] } as const;

/** A cluster and those of its nodes that hold the image. */
export interface Holders {
  readonly cluster: ProcessCluster;
  readonly nodes: readonly ProcessNode[];
  /** How many digests each of them tells of once it has hashed all that was imported. */
  readonly digests: number;
}

/** A cluster in which `holders` nodes hold the image, with room for `fresh` more nodes. */
export async function clusterHolding(
  ground: Ground,
  image: BenchImage,
  holders: number,
  fresh: number,
): Promise<Holders> {
  const cluster = await benchCluster(ground, holders + fresh);
  const nodes: ProcessNode[] = [];
  for (let at = 1; at <= holders; at++) {
    const node = await startNode(cluster, `n${at}`);
    await importImage(node, image);
    nodes.push(node);
  }
  return { cluster, nodes, digests: DIGESTS_OF_IMAGE };
}

/**
 * Pulls the layer on a fresh node each round, one that knows the holders and the manifest and has nothing of the layer;
 * `get` does it. A new name every time: a node whose state was taken away would be refused as one that goes back in time,
 * and one that keeps it vouches for itself.
 */
export function freshPull(
  ground: Ground,
  name: string,
  { cluster, nodes, digests }: Holders,
  image: BenchImage,
  get: (url: string) => Promise<void>,
): Contender {
  let count = 0;
  let taker: ProcessNode | undefined;
  const prefix = name
    .replace(/[^a-z0-9]+/gi, '-')
    .toLowerCase()
    .slice(0, 24);
  return {
    name,
    bytes: image.layer.size,
    async prepare() {
      taker = await startNode(cluster, `${prefix}-${++count}`);
      await untilHeld(taker, nodes, digests, ground.signal);
      await getManifest(taker, image, ground.signal);
    },
    run: () => get(mirrorUrl(taker!.mirror, image, 'blobs', image.layer.digest)),
    async clean() {
      if (taker) await removeNode(taker);
      taker = undefined;
    },
    processes: () => ({ ...Object.fromEntries(nodes.map(node => [node.name, pidOf(node)])), taker: pidOf(taker!) }),
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
    const two = await clusterHolding(ground, image, 2, ground.rounds + WARM_ROUNDS + 1);
    const one = await clusterHolding(ground, image, 1, ground.rounds + WARM_ROUNDS);
    const get = (url: string): Promise<void> => curl(ground.processes, programs.curl, url, image.layer.size);
    const contenders = [
      yardsticks.proxied,
      freshPull(ground, 'two vouchers: node → node → curl', two, image, get),
      yardsticks.proxiedHashed,
      freshPull(ground, 'one voucher: node → node → curl', one, image, get),
    ] as const;
    const first = await warmMemory(ground.dir, 2 * image.layer.size);
    const again = await warmMemory(ground.dir, 2 * image.layer.size);
    const before = (): Promise<number> => warmMemory(ground.dir, image.layer.size);
    const samples = await race(contenders, { ...ground, warm: WARM_ROUNDS, before });

    // Untimed: what came out is the layer, not only as long as it.
    const hex = image.layer.digest.slice('sha256:'.length);
    const check = freshPull(ground, 'check', two, image, url => curlHashed(ground.processes, programs, url, hex));
    await race([check], { ...ground, rounds: 1, warm: 0 });

    const [proxied, twice, hashed, once] = contenders.map(({ name }) => name) as [string, string, string, string];
    return {
      figures: contenders.map(({ name, bytes }) => figureOf(name, bytes, samples.get(name)!)),
      goals: goals(samples, [twice, once, proxied, hashed]),
      notes: [
        ...yardsticks.notes,
        `twice the layer written to memory as it was: ${first.toFixed(2)} s, to memory just freed: ${again.toFixed(2)} s (each run starts with the latter)`,
      ],
      files: yardsticks.files,
    };
  },
};

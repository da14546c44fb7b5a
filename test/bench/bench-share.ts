/** How soon an image that came to be on A can be pulled on B: what hashing, signing and spreading cost. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProcessNode } from '../support/nodes.ts';
import type { Bench, Ground } from './ground.ts';
import { type BenchImage, buildBenchImage } from './image.ts';
import { benchCluster, importImage, mirrorUrl, pidOf, startNode } from './nodes.ts';
import { needPrograms } from './packages.ts';
import { until } from './processes.ts';
import { figureOf } from './report.ts';
import { type Contender, race } from './rounds.ts';
import { curlHashed } from './yardsticks.ts';

/** Layers: a small image, and one with 300 MB more to hash. Bytes, multiples of 512. */
const SMALL_BYTES = 100_000_256;
const LARGE_BYTES = SMALL_BYTES + 300_000_256;
const SMALL_LIMIT_S = 2;
const LARGE_LIMIT_S = 3;
const SHARED_TIMEOUT_MS = 60_000;

/** Answers when `node`'s mirror says 200 to the manifest, the config and the layer. */
async function untilPullable(node: ProcessNode, image: BenchImage, signal: AbortSignal): Promise<void> {
  const there = (url: string, method: 'GET' | 'HEAD') =>
    until(`${method} ${url} on ${node.name}`, SHARED_TIMEOUT_MS, signal, async () => {
      const answer = await fetch(url, { method, signal });
      await answer.arrayBuffer();
      return answer.status === 200 || undefined;
    });
  await there(mirrorUrl(node.mirror, image, 'manifests', image.manifest.digest), 'GET');
  for (const { digest } of [image.config, image.layer])
    await there(mirrorUrl(node.mirror, image, 'blobs', digest), 'HEAD');
}

function sharing(
  ground: Ground,
  name: string,
  bytes: number,
  { from, to }: { readonly from: ProcessNode; readonly to: ProcessNode },
  programs: Readonly<Record<'curl' | 'openssl', string>>,
): Contender {
  let image: BenchImage | undefined;
  let count = 0;
  return {
    name,
    bytes: 0,
    async prepare() {
      const tag = `${bytes}-${++count}`;
      image = await buildBenchImage(join(ground.dir, tag), `registry.test/bench/share:${tag}`, bytes);
      await importImage(from, image);
    },
    run: () => untilPullable(to, image!, ground.signal),
    async check() {
      const { digest } = image!.layer;
      await curlHashed(
        ground.processes,
        programs,
        mirrorUrl(to.mirror, image!, 'blobs', digest),
        digest.slice('sha256:'.length),
      );
    },
    async clean() {
      if (image) await rm(image.dir, { recursive: true, force: true });
    },
    processes: () => ({ from: pidOf(from), to: pidOf(to) }),
  };
}

export const shareBench: Bench = {
  name: 'share',
  summary: 'from an image on A to an image that B can pull',
  async run(ground) {
    const programs = await needPrograms(ground.processes, { curl: 'curl', openssl: 'openssl' }, ground.say);
    const cluster = await benchCluster(ground, 2);
    const nodes = { from: await startNode(cluster, 'n1'), to: await startNode(cluster, 'n2') };
    const small = sharing(ground, 'image of 100 MB', SMALL_BYTES, nodes, programs);
    const large = sharing(ground, 'image of 400 MB', LARGE_BYTES, nodes, programs);
    const samples = await race([small, large], { ...ground, warm: 0 });
    const figures = [small, large].map(({ name }) => figureOf(name, 0, samples.get(name)!));
    return {
      figures,
      goals: [SMALL_LIMIT_S, LARGE_LIMIT_S].map((limit, at) => ({
        name: `${figures[at]!.name}, from the end of its import on A to 200 for all of it on B`,
        value: figures[at]!.median,
        sense: 'at most',
        limit,
        unit: 's',
      })),
      notes: [
        'CPU of this bench is seconds in a run, not per GB',
        'HEAD of a blob makes the mirror fetch it, so the time holds that transfer too (one voucher: whole first)',
      ],
    };
  },
};

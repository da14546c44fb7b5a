/** A layer that the node itself holds, store → curl, against nginx plain → curl. */
import { clusterHolding } from './bench-transfer.ts';
import type { Bench } from './ground.ts';
import { DIGESTS_OF_IMAGE, getManifest, mirrorUrl, pidOf, untilProved } from './nodes.ts';
import { needPrograms } from './packages.ts';
import { figureOf } from './report.ts';
import { type Contender, race } from './rounds.ts';
import { curl, startYardsticks } from './yardsticks.ts';

/** What is promised, as a share of nginx plain. */
const LIMIT = 0.7;

export const localBench: Bench = {
  name: 'local',
  summary: 'a layer from the own store → curl against nginx plain → curl',
  async run(ground) {
    const programs = await needPrograms(ground.processes, { curl: 'curl' }, ground.say);
    const image = await ground.image(ground.layerBytes);
    const yardsticks = await startYardsticks(ground, image);
    const { nodes } = await clusterHolding(ground, image, 1, 0);
    const node = nodes[0]!;
    await untilProved(node, DIGESTS_OF_IMAGE, ground.signal);
    await getManifest(node, image, ground.signal);
    const url = mirrorUrl(node.mirror, image, 'blobs', image.layer.digest);
    const hit: Contender = {
      name: 'store → curl',
      bytes: image.layer.size,
      run: () => curl(ground.processes, programs.curl, url, image.layer.size),
      processes: () => ({ node: pidOf(node) }),
    };
    const contenders = [yardsticks.local, hit];
    const samples = await race(contenders, { ...ground, warm: 1 });
    const figures = contenders.map(({ name, bytes }) => figureOf(name, bytes, samples.get(name)!));
    const value = figures[1]!.median / figures[0]!.median;
    return {
      figures,
      goals: [{ name: 'store → curl to nginx plain', value, sense: 'at least', limit: LIMIT, unit: '×' }],
      notes: yardsticks.notes,
      files: yardsticks.files,
    };
  },
};

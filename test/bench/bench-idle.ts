/**
 * What a node weighs: idle, beside a process that only loads the same libraries under the same flags; from start to ready;
 * and at its peak while a layer passes through, for a large layer and one a quarter as large.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { realWorld } from '../../src/world.ts';
import type { ProcessCluster } from '../support/nodes.ts';
import { freshPull } from './bench-transfer.ts';
import type { Bench, Ground } from './ground.ts';
import { LOADED, librariesOf, nodeFlags } from './imports.ts';
import { familyOf, residentOf } from './measure.ts';
import { benchCluster, DIGESTS_OF_IMAGE, importImage, pidOf, removeNode, startNode } from './nodes.ts';
import { needPrograms } from './packages.ts';
import { until } from './processes.ts';
import { type Figure, figure, figureOf, type Goal } from './report.ts';
import { type Contender, race } from './rounds.ts';
import { curl } from './yardsticks.ts';

/** Milliseconds after which a process that does nothing counts as idle. */
const SETTLE_MS = 5_000;
const LOAD_TIMEOUT_MS = 30_000;
const IDLE_LIMIT_MIB = 150;
/** Of a process that only loads the same libraries. */
const IDLE_LIMIT_SHARE = 1.25;
const READY_LIMIT_S = 1.5;
const TRANSFER_LIMIT_MIB = 110;
/** How much more a layer four times as large may cost and still count as nothing. */
const GROWTH_LIMIT_MIB = 16;
const SMALLER = 4;
const SOURCES = resolve(import.meta.dirname, '../../src/cli');
const ROOTS = ['main.ts', 'daemon.ts'].map(name => resolve(SOURCES, name));

async function idleMiB(ground: Ground, pid: number): Promise<number> {
  await realWorld.sleep(SETTLE_MS, ground.signal);
  ground.signal.throwIfAborted();
  return residentOf(familyOf(pid));
}

async function importsMiB(ground: Ground, flags: readonly string[], libraries: readonly string[]): Promise<number> {
  const script = resolve(import.meta.dirname, 'imports.ts');
  const running = ground.processes.start(process.execPath, [...flags, script, ...libraries]);
  try {
    await until('the libraries loaded', LOAD_TIMEOUT_MS, ground.signal, async () => {
      if (running.ended()) throw new Error(`loading the libraries failed: ${running.output()}`);
      return running.output().includes(LOADED) || undefined;
    });
    return await idleMiB(ground, running.pid);
  } finally {
    await running.stop();
  }
}

/** Idle and start, node and yardstick in turn. */
async function idleFigures(
  ground: Ground,
  cluster: ProcessCluster,
): Promise<Record<'ready' | 'idle' | 'imports', Figure>> {
  const libraries = await librariesOf(ROOTS);
  const [ready, idle, imports]: [number[], number[], number[]] = [[], [], []];
  for (let round = 1; round <= ground.rounds; round++) {
    const node = await cluster.add(`idle-${round}`);
    const began = realWorld.monotonic();
    await node.start();
    ready.push((realWorld.monotonic() - began) / 1e3);
    const flags = nodeFlags(await readFile(`/proc/${pidOf(node)}/cmdline`, 'latin1'));
    idle.push(await idleMiB(ground, pidOf(node)));
    await removeNode(node);
    imports.push(await importsMiB(ground, flags, libraries));
    ground.say(`  ${round}/${ground.rounds} ready ${ready.at(-1)?.toFixed(2)} s, idle ${idle.at(-1)?.toFixed(0)} MiB`);
  }
  return {
    ready: figure('start to ready', 's', ready),
    idle: figure('idle node, resident', 'MiB', idle),
    imports: figure('process that loads the same libraries, resident', 'MiB', imports),
  };
}

/** Peaks of the taker and the givers while a layer passes, for each of these sizes in bytes. */
async function transferPeaks(ground: Ground, sizes: readonly number[]): Promise<Figure[]> {
  const { curl: program } = await needPrograms(ground.processes, { curl: 'curl' }, ground.say);
  const cluster = await benchCluster(ground, 2 + sizes.length * ground.rounds);
  const nodes = [await startNode(cluster, 'n1'), await startNode(cluster, 'n2')];
  const holders = { cluster, nodes, digests: DIGESTS_OF_IMAGE * sizes.length };
  const contenders: Contender[] = [];
  for (const bytes of sizes) {
    const image = await ground.image(bytes);
    for (const node of nodes) await importImage(node, image);
    const get = (url: string): Promise<void> => curl(ground.processes, program, url, bytes);
    contenders.push(freshPull(ground, `${bytes >> 20} MiB layer`, holders, image, get));
  }
  const samples = await race(contenders, { ...ground, warm: 0 });
  return contenders.map(({ name, bytes }) => figureOf(name, bytes, samples.get(name)!));
}

const atMost = (name: string, value: number, limit: number, unit: Goal['unit']): Goal => ({
  name,
  value,
  sense: 'at most',
  limit,
  unit,
});

export const idleBench: Bench = {
  name: 'idle',
  summary: 'resident memory idle and in transfers, and start to ready',
  async run(ground) {
    const cluster = await benchCluster(ground, 1 + ground.rounds);
    const first = await startNode(cluster, 'n1');
    const { ready, idle, imports } = await idleFigures(ground, cluster);
    await first.stop();
    const peaks = await transferPeaks(ground, [ground.layerBytes / SMALLER, ground.layerBytes]);
    const peak = (at: number, name: string): number => peaks[at]?.peak?.[name] ?? Number.NaN;
    return {
      figures: [ready, idle, imports, ...peaks],
      goals: [
        atMost('start to ready', ready.median, READY_LIMIT_S, 's'),
        atMost('idle', idle.median, IDLE_LIMIT_MIB, 'MiB'),
        atMost('idle to a process that loads the same libraries', idle.median / imports.median, IDLE_LIMIT_SHARE, '×'),
        atMost('taker above idle', peak(1, 'taker') - idle.median, TRANSFER_LIMIT_MIB, 'MiB'),
        atMost('giver above idle', Math.max(peak(1, 'n1'), peak(1, 'n2')) - idle.median, TRANSFER_LIMIT_MIB, 'MiB'),
        atMost(
          `taker, large layer less a 1/${SMALLER} one`,
          peak(1, 'taker') - peak(0, 'taker'),
          GROWTH_LIMIT_MIB,
          'MiB',
        ),
      ],
      notes: [`idle: ${SETTLE_MS} ms after ready; peaks are VmHWM, reset before each pull`],
    };
  },
};

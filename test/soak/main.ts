/**
 * `npm run soak -- --minutes M`: six nodes, real processes, while images come and go and half of the nodes with them;
 * then a report and a chart of memory, handles and sockets of each. Exits 1 where something does not stay flat, or a pull
 * failed. `--out FOLDER`, `--seed S`; SIGINT ends it early, with a report of what there is.
 */
import { mkdir, mkdtemp } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createProcesses } from '../bench/processes.ts';
import { Draws } from '../support/draws.ts';
import { eventually, ProcessCluster } from '../support/nodes.ts';
import { Churn } from './churn.ts';
import { drawChart, writeReport } from './report.ts';
import { type Sample, sampleOf } from './samples.ts';
import { judge } from './verdict.ts';

const NODES = 6;
const MINUTE_MS = 60_000;
const SAMPLE_MS = 2_000;
/** The quiet before the churn that is measured, and the time by which idle lanes are closed: they last 45 s. */
const BEFORE_MS = 12_000;
const IDLE_MS = 60_000;
const AFTER_MS = 20_000;
const JOIN_MS = 120_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '15' },
    out: { type: 'string' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
});

/** Samples all nodes that are up, every two seconds, until `signal`. */
async function watch(
  cluster: ProcessCluster,
  since: () => number,
  samples: Sample[],
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    for (const { name, pid } of cluster.nodes) {
      const sample = pid === undefined ? undefined : await sampleOf(name, pid, since());
      if (sample) samples.push(sample);
    }
    await delay(SAMPLE_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function joined(cluster: ProcessCluster): Promise<void> {
  await eventually('all nodes are connected', JOIN_MS, async () => {
    const all = await Promise.all(cluster.nodes.map(node => node.status()));
    return all.every(({ peers }) => peers.filter(({ connected }) => connected).length === NODES - 1) || undefined;
  });
}

async function soak(minutes: number, seed: string, out: string, stop: AbortSignal): Promise<boolean> {
  const processes = createProcesses(new AbortController().signal);
  const cluster = await ProcessCluster.make(NODES);
  const samples: Sample[] = [];
  const over = new AbortController();
  const churning = new AbortController();
  try {
    for (let n = 1; n <= NODES; n++) await cluster.add(`n${n}`);
    await Promise.all(cluster.nodes.map(node => node.start()));
    await joined(cluster);
    const draws = { images: new Draws(`${seed} images`), nodes: new Draws(`${seed} nodes`) };
    const churn = new Churn(cluster, draws, churning.signal);
    await churn.warmUp();
    await delay(IDLE_MS, undefined, { signal: stop }).catch(() => undefined);
    let zero = performance.now() + BEFORE_MS;
    const watching = watch(cluster, () => performance.now() - zero, samples, over.signal);
    await delay(BEFORE_MS, undefined, { signal: stop }).catch(() => undefined);
    zero = performance.now();
    console.log(`churning for ${minutes} minutes`);
    const running = churn.run();
    await Promise.race([delay(minutes * MINUTE_MS, undefined, { signal: stop }).catch(() => undefined), running]);
    churning.abort();
    await running;
    const churnMs = performance.now() - zero;
    await joined(cluster);
    await delay(IDLE_MS, undefined, { signal: stop }).catch(() => undefined);
    const quietMs = performance.now() - zero;
    await delay(AFTER_MS, undefined, { signal: stop }).catch(() => undefined);
    over.abort();
    await watching;

    const verdicts = cluster.nodes.map(({ name }) => judge(name, samples, { churnMs, quietMs }));
    const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'processor'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Node ${process.version}`;
    const soaked = { seed, minutes: churnMs / MINUTE_MS, machine, samples, verdicts, done: churn.done };
    console.log(await writeReport(out, soaked));
    const undrawn = await drawChart(out, soaked, processes);
    console.log(undrawn ? `no chart: ${undrawn}` : `chart: ${join(out, 'soak.png')}`);
    return churn.done.failed.length === 0 && verdicts.every(({ wrong }) => wrong.length === 0);
  } finally {
    churning.abort();
    over.abort();
    await processes.stopAll();
    await cluster.remove();
  }
}

const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error('--minutes takes a number above 0');
  process.exit(64);
}
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
const out = values.out ?? (await mkdtemp(join(tmpdir(), 'pinnace-soak-')));
await mkdir(out, { recursive: true });
console.log(`${NODES} nodes, seed ${values.seed}; the report goes to ${out}`);
process.exitCode = (await soak(minutes, values.seed, out, stop.signal)) ? 0 : 1;

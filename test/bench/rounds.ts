/**
 * Runs contenders against each other, interleaved: A B A B, never A A B B, so that a busy minute of the machine hits all of
 * them. Promises: what is timed is `run` alone; CPU, peak memory and the machine's other load are taken over the same
 * span. Refuses to know what a contender does.
 */
import { realWorld } from '../../src/world.ts';
import { cpuOf, endedChildrenCpu, familyOf, machineCpu, peakOf, resetPeak } from './measure.ts';

/** One of those that are compared. */
export interface Contender {
  readonly name: string;
  /** Bytes that one run moves; 0 where nothing is moved. */
  readonly bytes: number;
  /** Outside the timed part. */
  prepare?(): Promise<void>;
  run(): Promise<void>;
  /** Outside the timed part, after a run that went well: throws where what it did is wrong. */
  check?(): Promise<void>;
  /** Outside the timed part; runs also after a failure. */
  clean?(): Promise<void>;
  /** Heads of the families of processes that work for it, by the name to report; asked after `prepare`. */
  processes?(): Readonly<Record<string, number>>;
}

/** One timed run. */
export interface Sample {
  readonly seconds: number;
  /** CPU seconds by process; `client` is what the bench started and has ended by itself in the run (curl and such). */
  readonly cpu: Readonly<Record<string, number>>;
  /** MiB: peak of resident memory in the run, by process. */
  readonly peak: Readonly<Record<string, number>>;
  /** Cores that others kept busy meanwhile, on average. */
  readonly foreign: number;
}

/** How often; `warm` runs of each are made first and thrown away. */
export interface Plan {
  readonly rounds: number;
  readonly warm: number;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
  /** Outside the timed part, just before each run of anybody. */
  readonly before?: () => Promise<unknown>;
}

const ownCpu = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

async function timed(contender: Contender): Promise<Sample> {
  const families = Object.entries(contender.processes?.() ?? {}).map(([name, head]) => [name, familyOf(head)] as const);
  for (const [, pids] of families) resetPeak(pids);
  const before = families.map(([, pids]) => cpuOf(pids));
  const [machine, children, own] = [machineCpu(), endedChildrenCpu(), ownCpu()];
  const started = realWorld.monotonic();
  await contender.run();
  const seconds = (realWorld.monotonic() - started) / 1e3;
  const client = endedChildrenCpu() - children;
  const cpu: Record<string, number> = {};
  const peak: Record<string, number> = {};
  let ours = client + ownCpu() - own;
  for (const [at, [name, pids]] of families.entries()) {
    cpu[name] = cpuOf(pids) - before[at]!;
    peak[name] = peakOf(pids);
    ours += cpu[name];
  }
  cpu['client'] = client;
  return { seconds, cpu, peak, foreign: Math.max(0, (machineCpu() - machine - ours) / seconds) };
}

async function once(contender: Contender, before: Plan['before']): Promise<Sample> {
  try {
    await contender.prepare?.();
    await before?.();
    const sample = await timed(contender);
    await contender.check?.();
    return sample;
  } finally {
    await contender.clean?.();
  }
}

/** Runs all contenders in turn, `rounds` times; answers the samples of each, in order. Throws what a contender throws. */
export async function race(contenders: readonly Contender[], plan: Plan): Promise<Map<string, Sample[]>> {
  const samples = new Map<string, Sample[]>(contenders.map(({ name }) => [name, []]));
  for (let round = -plan.warm; round < plan.rounds; round++) {
    for (const contender of contenders) {
      plan.signal.throwIfAborted();
      const sample = await once(contender, plan.before);
      if (round >= 0) samples.get(contender.name)!.push(sample);
      const speed = contender.bytes > 0 ? `, ${Math.round(contender.bytes / 1e6 / sample.seconds)} MB/s` : '';
      const which = round < 0 ? 'warm' : `${round + 1}/${plan.rounds}`;
      plan.say(`  ${which} ${contender.name}: ${sample.seconds.toFixed(3)} s${speed}`);
    }
  }
  return samples;
}

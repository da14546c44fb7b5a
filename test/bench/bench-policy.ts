/**
 * A policy of 1,000 rules and 100,000 pins: how long it takes to load, what it costs in memory, and how long a decision
 * takes: what a name is pinned to, whether it may be pulled, what must be signed, and whether that suffices. No node runs.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Bench } from './ground.ts';
import type { PolicyFindings } from './policy-process.ts';
import { figure } from './report.ts';
import { type Contender, race } from './rounds.ts';

export const LOAD_LIMIT_MS = 1_000;
export const MEMORY_LIMIT_MIB = 60;
export const DECISION_LIMIT_MS = 0.1;
/** As the daemon runs (src/cli/pinnace), and with the collector at hand. */
const FLAGS = ['--optimize-for-size', '--max-semi-space-size=4', '--expose-gc'];
const SCRIPT = resolve(import.meta.dirname, 'policy-process.ts');

/** Runs node with arguments; answers what it printed. */
type RunNode = (args: readonly string[]) => Promise<string>;

/** What processes that make and load the policy found, one after the other. */
export async function policyFindings(run: RunNode): Promise<PolicyFindings> {
  const folder = await mkdtemp(join(tmpdir(), 'pinnace-bench-policy-'));
  try {
    const lock = join(folder, 'all.lock');
    await run([SCRIPT, 'make', lock]);
    return JSON.parse(await run([...FLAGS, SCRIPT, 'load', lock])) as PolicyFindings;
  } finally {
    await rm(folder, { recursive: true });
  }
}

export const policyBench: Bench = {
  name: 'policy',
  summary: 'a policy of 1,000 rules and 100,000 pins: loading, memory, decisions',
  async run(ground) {
    const found: PolicyFindings[] = [];
    const policy: Contender = {
      name: 'policy',
      bytes: 0,
      async run() {
        found.push(await policyFindings(args => ground.processes.run(process.execPath, [...args])));
      },
    };
    const samples = await race([policy], { ...ground, warm: 0 });
    const foreign = samples.get(policy.name)!.map(sample => sample.foreign);
    const of = (name: string, unit: 'ms' | 'MiB', pick: (findings: PolicyFindings) => number) =>
      figure(name, unit, found.map(pick));
    const load = of('policy loaded', 'ms', ({ loadMs }) => loadMs);
    const memory = of(
      'resident, above the process with the files',
      'MiB',
      all => all.residentAfter - all.residentBefore,
    );
    const decision = of('decided, median', 'ms', ({ decideMs50 }) => decideMs50);
    const goal = { sense: 'at most' } as const;
    return {
      figures: [load, memory, decision, of('decided, 99th percentile', 'ms', ({ decideMs99 }) => decideMs99)],
      goals: [
        { ...goal, name: load.name, value: load.median, limit: LOAD_LIMIT_MS, unit: 'ms' },
        { ...goal, name: 'memory of the policy', value: memory.median, limit: MEMORY_LIMIT_MIB, unit: 'MiB' },
        { ...goal, name: decision.name, value: decision.median, limit: DECISION_LIMIT_MS, unit: 'ms' },
      ],
      notes: [
        `the lock file has ${(found[0]!.pinsBytes / 2 ** 20).toFixed(1)} MiB`,
        `foreign cores ${Math.max(...foreign).toFixed(2)} at most`,
      ],
    };
  },
};

/**
 * Looking up who holds a digest, where 1,000 nodes hold 1,000 digests each of 50,000 (drawn by Zipf's law): how long, and
 * what all of that costs in memory. No node runs: it is the memory and the time of the holdings alone.
 */
import { resolve } from 'node:path';
import type { Bench } from './ground.ts';
import type { LookupFindings } from './lookup-process.ts';
import { type Contender, race } from './rounds.ts';
import { figure } from './report.ts';

const P99_LIMIT_MS = 1;
const MEMORY_LIMIT_MIB = 100;
/** As the daemon runs (src/cli/pinnace), and with the collector at hand. */
const FLAGS = ['--optimize-for-size', '--max-semi-space-size=4', '--expose-gc'];
const SCRIPT = resolve(import.meta.dirname, 'lookup-process.ts');

export const lookupBench: Bench = {
  name: 'lookup',
  summary: 'who holds a digest, among 1,000 nodes with 1,000 digests each',
  async run(ground) {
    const found: LookupFindings[] = [];
    const lookup: Contender = {
      name: 'holdings',
      bytes: 0,
      async run() {
        found.push(JSON.parse(await ground.processes.run(process.execPath, [...FLAGS, SCRIPT])) as LookupFindings);
      },
    };
    const samples = await race([lookup], { ...ground, warm: 0 });
    const foreign = samples.get(lookup.name)!.map(sample => sample.foreign);
    const of = (name: string, unit: 'ms' | 'MiB' | 's', pick: (findings: LookupFindings) => number) =>
      figure(name, unit, found.map(pick));
    const p99 = of('found and ranked, 99th percentile', 'ms', ({ rank }) => rank.p99);
    const memory = of('resident, above the empty process', 'MiB', all => all.residentAfter - all.residentBefore);
    return {
      figures: [
        of('found, median', 'ms', ({ find }) => find.p50),
        of('found, 99th percentile', 'ms', ({ find }) => find.p99),
        of('found and ranked, median', 'ms', ({ rank }) => rank.p50),
        p99,
        of('found and ranked, CPU, 99th percentile', 'ms', ({ rank }) => rank.cpu99),
        of('found and ranked, slowest of all', 'ms', ({ rank }) => rank.max),
        memory,
        of('parsing and taking all statements', 's', ({ fillSeconds }) => fillSeconds),
      ],
      goals: [
        { name: p99.name, value: p99.median, sense: 'at most', limit: P99_LIMIT_MS, unit: 'ms' },
        {
          name: 'memory of all holdings',
          value: memory.median,
          sense: 'at most',
          limit: MEMORY_LIMIT_MIB,
          unit: 'MiB',
        },
      ],
      notes: [
        `${found[0]!.rank.holders.toFixed(0)} holders were found in a lookup on average`,
        `foreign cores ${Math.max(...foreign).toFixed(2)} at most; where others keep cores busy, waiting for one is in the times and not in the CPU`,
      ],
    };
  },
};

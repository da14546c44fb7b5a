/** How long a snapshot of 2,000 digests takes to be signed, to reach ten nodes and to be verified by them, all on one machine. */
import { resolve } from 'node:path';
import type { Bench } from './ground.ts';
import { figure } from './report.ts';
import { type Contender, race } from './rounds.ts';
import type { SpreadFindings } from './spread-process.ts';

const LIMIT_S = 2;
const SCRIPT = resolve(import.meta.dirname, 'spread-process.ts');
/** As the daemon runs (src/cli/pinnace). */
const FLAGS = ['--optimize-for-size', '--max-semi-space-size=4'];

export const spreadBench: Bench = {
  name: 'spread',
  summary: 'a snapshot of 2,000 digests to ten nodes',
  async run(ground) {
    const found: SpreadFindings[] = [];
    const spread: Contender = {
      name: 'spread',
      bytes: 0,
      async run() {
        found.push(JSON.parse(await ground.processes.run(process.execPath, [...FLAGS, SCRIPT])) as SpreadFindings);
      },
    };
    const samples = (await race([spread], { ...ground, warm: 0 })).get(spread.name)!;
    const foreign = Math.max(...samples.map(sample => sample.foreign));
    const seconds = figure(
      'signed, spread and verified',
      's',
      found.map(one => one.seconds),
    );
    const cpu = figure(
      'CPU of all eleven nodes together',
      's',
      found.map(one => one.cpu),
    );
    return {
      figures: [seconds, cpu],
      goals: [
        { name: 'signed, spread and verified', value: seconds.median, sense: 'at most', limit: LIMIT_S, unit: 's' },
      ],
      notes: [`eleven nodes share one thread; foreign cores ${foreign.toFixed(2)} at most, joining included`],
    };
  },
};

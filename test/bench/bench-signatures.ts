/**
 * Judging a signature that was never seen before: by a key, keyless by Rekor v1 and v2, and cosign's older form. No node
 * runs and nothing is fetched: it is the time of the judgement alone, in a process as the daemon runs.
 */
import { resolve } from 'node:path';
import type { Bench } from './ground.ts';
import { figure } from './report.ts';
import { type Contender, race } from './rounds.ts';
import type { SignatureFindings } from './signatures-process.ts';

export const COLD_LIMIT_MS = 10;
/** As the daemon runs (src/cli/pinnace). */
const FLAGS = ['--optimize-for-size', '--max-semi-space-size=4'];
const SCRIPT = resolve(import.meta.dirname, 'signatures-process.ts');
const KINDS = [
  ['key', 'bundle by a key'],
  ['keyless', 'keyless bundle, Rekor v1'],
  ['rekor2', 'keyless bundle, Rekor v2 and a timestamp'],
  ['legacy', 'keyless legacy signature'],
] as const;

export const signaturesBench: Bench = {
  name: 'signatures',
  summary: 'a signature that was never seen before, judged',
  async run(ground) {
    const found: SignatureFindings[] = [];
    const judging: Contender = {
      name: 'signatures',
      bytes: 0,
      async run() {
        found.push(JSON.parse(await ground.processes.run(process.execPath, [...FLAGS, SCRIPT])) as SignatureFindings);
      },
    };
    const samples = await race([judging], { ...ground, warm: 0 });
    const foreign = samples.get(judging.name)!.map(sample => sample.foreign);
    const of = (name: string, pick: (findings: SignatureFindings) => number) => figure(name, 'ms', found.map(pick));
    const medians = KINDS.map(([kind, name]) => of(`${name}, median`, all => all[kind].p50));
    return {
      figures: KINDS.flatMap(([kind, name], at) => [
        medians[at]!,
        of(`${name}, 99th percentile`, all => all[kind].p99),
        of(`${name}, CPU, median`, all => all[kind].cpu50),
      ]).concat(of('the very first of a process', all => all.key.first)),
      goals: medians.map(({ name, median }) => ({
        name,
        value: median,
        sense: 'at most',
        limit: COLD_LIMIT_MS,
        unit: 'ms',
      })),
      notes: [
        `foreign cores ${Math.max(...foreign).toFixed(2)} at most; where others keep cores busy, waiting for one is in the times and not in the CPU`,
      ],
    };
  },
};

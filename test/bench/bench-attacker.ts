/**
 * What a pull takes while one process on an address of its own makes refused handshakes at both ports of the node that
 * pulls and of one that gives, against the same pull when all is quiet; and how large these nodes become.
 */
import { underAttack } from '../support/system/under-attack.ts';
import { inLab } from './containerds.ts';
import type { Bench, Ground } from './ground.ts';
import { median } from './measure.ts';
import { figure, type Findings } from './report.ts';
import type { Lab } from '../support/system/lab.ts';

const SECONDS = 30;
/** Before each attack, and again after it. */
const PULLS = 10;
const IMAGE_MIB = 8;
const LIMIT_TIMES = 3;
const LIMIT_MIB = 300;

async function measure(ground: Ground, lab: Lab): Promise<Findings> {
  const attack = await underAttack(lab, { seconds: SECONDS, pulls: PULLS, mib: IMAGE_MIB });
  const [quiet, attacked, peaks, tried]: [number[], number[], number[], number[]] = [[], [], [], []];
  for (let round = 1; round <= ground.rounds; round++) {
    ground.signal.throwIfAborted();
    const endured = await attack();
    quiet.push(...endured.quiet);
    attacked.push(...endured.attacked);
    peaks.push(Math.max(...Object.values(endured.peak)));
    const { control, lanes } = endured.attempts;
    tried.push((control.tried + lanes.tried) / SECONDS);
    ground.say(`  ${round}/${ground.rounds} ${(median(endured.attacked) / median(endured.quiet)).toFixed(2)} times`);
  }
  const figures = [
    figure('pull, quiet', 'ms', quiet),
    figure('pull, attacked', 'ms', attacked),
    figure('peak of an attacked node, resident', 'MiB', peaks),
  ];
  const [calm, slowed, peak] = figures.map(one => one.median) as [number, number, number];
  return {
    figures,
    goals: [
      {
        name: 'pull under attack to a quiet one',
        value: slowed / calm,
        sense: 'at most',
        limit: LIMIT_TIMES,
        unit: '×',
      },
      { name: 'memory under attack', value: peak, sense: 'at most', limit: LIMIT_MIB, unit: 'MiB' },
    ],
    notes: [
      `${quiet.length} quiet and ${attacked.length} attacked pulls of ${IMAGE_MIB} MiB; ${SECONDS} s an attack, which the same cores carry`,
      `${median(tried).toFixed(0)} handshakes begun a second, in all`,
    ],
  };
}

export const attackerBench: Bench = {
  name: 'attacker',
  summary: 'a pull, and memory, while one process makes refused handshakes',
  run: ground => inLab(lab => measure(ground, lab)),
};

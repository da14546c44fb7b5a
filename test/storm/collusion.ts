/**
 * Storms in which as many nodes sign one false proof as policy asks vouchers: what no proof can prevent, and how it ends.
 * First the colluders alone hold an image; later an honest node has it too.
 */
import { Chance } from './chance.ts';
import type { Action, Cast, Scenario } from './scenario.ts';
import { Storm } from './storm.ts';

const COLLUDERS = 2;
const IMAGE = { name: 'r.test/shared/app:1', layers: [3_000_000] };
/** Simulated ms: the first pulls, the honest import, the second pulls. */
const [FIRST_MS, HONEST_MS, SECOND_MS] = [20_000, 40_000, 50_000];
/** When the honest node has it, where the colluders are contested. */
const CONTESTED_MS = 1_000;
const SECONDS = 60;

export interface Collusion {
  readonly storm: Storm;
  /** It pulls before and after. */
  readonly puller: string;
  /** It pulls only after. */
  readonly late: string;
  readonly colluders: readonly string[];
}

/** With `contested`, the honest node has the image from the start: what the colluders sign is contradicted. */
export function collusionOf(seed: number, contested = false): Collusion {
  const chance = new Chance(`collusion ${seed}`);
  const honest = Array.from({ length: chance.whole(3, 6) }, (_, at) => `n${at + 1}`);
  const colluders = Array.from({ length: COLLUDERS }, (_, at) => `c${at + 1}`);
  const [puller = '', holder = '', late = ''] = honest;
  const cast: Cast[] = [
    ...honest.map(name => ({ name, zone: 'a', clockMs: chance.whole(-20_000, 20_000) })),
    ...colluders.map(name => ({ name, zone: 'a', clockMs: chance.whole(-20_000, 20_000), lie: 'proof' as const })),
  ];
  const image = IMAGE.name;
  const actions: Action[] = [
    ...colluders.map(node => ({ at: chance.whole(500, 2_500), kind: 'import' as const, node, image })),
    { at: FIRST_MS, kind: 'pull', node: puller, image, by: 'digest' },
    { at: contested ? CONTESTED_MS : HONEST_MS, kind: 'import', node: holder, image },
    { at: SECOND_MS, kind: 'pull', node: puller, image, by: 'digest' },
    { at: SECOND_MS, kind: 'pull', node: late, image, by: 'digest' },
  ];
  const scenario: Scenario = { seed, seconds: SECONDS, vouchers: COLLUDERS, cast, pictures: [IMAGE], actions };
  return { storm: new Storm(scenario, { collusion: !contested }), puller, late, colluders };
}

/**
 * What a mirror costs that cannot help: small images that no node holds, pulled by containerd 2.x from a registry, in turn
 * with the mirror asked first and without it.
 */
import type { BuiltImage } from '../support/images.ts';
import type { Containerd } from '../support/system/containerd.ts';
import type { Lab } from '../support/system/lab.ts';
import { MIRROR, type PinnaceNode, sharing } from '../support/system/node.ts';
import type { Registry } from '../support/system/registry.ts';
import { inLab, pidOfNode, startQuietly } from './containerds.ts';
import type { Bench, Ground } from './ground.ts';
import { median, percentile } from './measure.ts';
import { type Figure, figure, type Findings, type Goal } from './report.ts';
import { type Contender, race, type Sample } from './rounds.ts';

/** Pulls of either kind in each round of the bench: 100 in five. */
const PULLS_PER_ROUND = 20;
const WARM_PULLS = 3;
const PUSHES_AT_ONCE = 4;
const LAYERS = 3;
const LAYER_BYTES = 4_096;
const SHARE = 0.95;
const LIMIT_MS = 50;
/** Two names of one registry: containerd asks the mirror for the first alone. */
const WITH = 'mirrored.test';
const WITHOUT = 'direct.test';
const REPOSITORY = 'bench/small';

/** Puts `count` images into the registry that share no content with any other. */
async function pushSmallImages(lab: Lab, registry: Registry, prefix: string, count: number): Promise<void> {
  const images: BuiltImage[] = [];
  for (let at = 0; at < count; at++) {
    const seeds = Array.from({ length: LAYERS }, (_, layer) => `${prefix} ${at} ${layer}`);
    const layers = seeds.map(seed => ({ randomBytes: LAYER_BYTES, seed }));
    images.push(await lab.image({ reference: `${WITH}/${REPOSITORY}:${prefix}-${at}`, layers, gzip: true }));
  }
  for (let at = 0; at < count; at += PUSHES_AT_ONCE)
    await Promise.all(images.slice(at, at + PUSHES_AT_ONCE).map(image => registry.push(image)));
}

function pulling(containerd: Containerd, node: PinnaceNode, name: string, registry: string, prefix: string): Contender {
  let count = 0;
  return {
    name,
    bytes: 0,
    run: async () => void (await containerd.cri.pull(`${registry}/${REPOSITORY}:${prefix}-${count++}`)),
    processes: () => ({ node: pidOfNode(node) }),
  };
}

/** Throws unless the mirror was asked and never had an answer. */
async function provedUnhelped(node: PinnaceNode): Promise<void> {
  const audit = await node.audit();
  const count = (event: string): number => audit.filter(line => line.event === event).length;
  const [refused, started] = [count('pull.refused'), count('pull.started')];
  if (refused === 0 || started > 0)
    throw new Error(
      `the mirror should have been asked in vain, but it refused ${refused} and answered ${started} pulls`,
    );
}

function findingsOf(withMirror: readonly Sample[], without: readonly Sample[]): Findings {
  const ms = (samples: readonly Sample[]): number[] => samples.map(({ seconds }) => seconds * 1e3);
  const pulls = (name: string, samples: readonly Sample[]): Figure =>
    figure(name, 'ms', ms(samples), { foreign: median(samples.map(({ foreign }) => foreign)) });
  const [asked, direct] = [
    pulls('pull, the mirror asked first', withMirror),
    pulls('pull, without the mirror', without),
  ];
  const late = (samples: readonly Sample[]): number => percentile(ms(samples), SHARE);
  const [slow, fast] = [late(withMirror), late(without)];
  const adds = (which: string, value: number): Goal => {
    return { name: `what it adds, ${which}`, value, sense: 'at most', limit: LIMIT_MS, unit: 'ms' };
  };
  return {
    figures: [
      asked,
      direct,
      figure('95th percentile, the mirror asked first', 'ms', [slow]),
      figure('95th percentile, without the mirror', 'ms', [fast]),
    ],
    goals: [adds('95th percentile', slow - fast), adds('median', asked.median - direct.median)],
    notes: [
      `${withMirror.length} pulls of each kind, ${LAYERS} layers of ${LAYER_BYTES} bytes; another node holds none of it`,
      'containerd and the registry count as foreign cores; where others do too, trust the median more',
    ],
  };
}

async function measure(ground: Ground, lab: Lab): Promise<Findings> {
  const pulls = PULLS_PER_ROUND * ground.rounds;
  const registry = await lab.registry('origin');
  ground.say('  filling the registry');
  for (const prefix of ['with', 'without']) await pushSmallImages(lab, registry, prefix, pulls + WARM_PULLS);
  const containerd = await lab.containerd('taker', '2.x');
  await containerd.hosts(WITH, { mirror: MIRROR, upstream: registry.endpoint });
  await containerd.hosts(WITHOUT, { upstream: registry.endpoint });
  const policy = sharing(`${WITH}/**`);
  const other = await startQuietly(await lab.node('other', { policy, started: false }));
  const bootstrap = [other.host];
  const node = await startQuietly(await lab.node('taker', { policy, containerd, bootstrap, started: false }));
  await node.sees('other');
  const withMirror = pulling(containerd, node, 'with', WITH, 'with');
  const without = pulling(containerd, node, 'without', WITHOUT, 'without');
  const plan = { rounds: pulls, warm: WARM_PULLS, signal: ground.signal, say: () => undefined };
  const samples = await race([withMirror, without], plan);
  await provedUnhelped(node);
  return findingsOf(samples.get('with')!, samples.get('without')!);
}

export const unhelpedBench: Bench = {
  name: 'unhelped',
  summary: 'what a pull costs more where the mirror cannot help',
  run: ground => inLab(lab => measure(ground, lab)),
};

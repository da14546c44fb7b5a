/**
 * Pulls by containerd on a quiet cluster and while an attacker on an address of its own makes refused handshakes with the
 * node that pulls and one that gives. Promises: all images were shared before, each pull takes one that is new. Refuses to
 * know what is too slow.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { peakOf, resetPeak } from '../../bench/measure.ts';
import { startQuietly } from '../../bench/containerds.ts';
import { type BuiltImage, buildImage } from '../images.ts';
import type { Containerd } from './containerd.ts';
import type { Lab } from './lab.ts';
import { assertHolds, ownContents } from './machine.ts';
import { CONTROL_PORT, LANE_PORT, MIRROR, type PinnaceNode, sharing } from './node.ts';
import { type Started, start } from './processes.ts';

const ATTACKER = fileURLToPath(new URL('../attacker.ts', import.meta.url));
const REGISTRY = 'reg.test';
const LAYERS = 4;
const MIB = 2 ** 20;
const SHARED_MS = 120_000;
/** Before what is timed. */
const WARM_PULLS = 3;
/** Milliseconds until the attacker is at full speed. */
const RISE_MS = 1_000;

export interface Attack {
  /** Seconds of attack. */
  readonly seconds: number;
  /** Pulls before the attack, and again after it; in it at most twice as many. */
  readonly pulls: number;
  /** MiB of an image. */
  readonly mib: number;
}

/** Handshakes that were begun at either port, and those of them that a node answered with work. */
type Attempts = Readonly<Record<'control' | 'lanes', { readonly tried: number; readonly answered: number }>>;

export interface Endured {
  /** Milliseconds of each pull. */
  readonly quiet: readonly number[];
  readonly attacked: readonly number[];
  /** MiB: the peak of resident memory in the attack, by node. */
  readonly peak: Readonly<Record<string, number>>;
  readonly attempts: Attempts;
  /** Codes of the refusals that each attacked node recorded, with how many. */
  readonly refused: Readonly<Record<string, number>>;
}

interface Cluster {
  readonly lab: Lab;
  readonly containerd: Containerd;
  readonly taker: PinnaceNode;
  readonly givers: readonly PinnaceNode[];
}

async function build(lab: Lab): Promise<Cluster> {
  const policy = sharing(`${REGISTRY}/**`);
  const good = await startQuietly(await lab.node('good', { policy, started: false }));
  const bootstrap = [good.host];
  const other = await startQuietly(await lab.node('other', { policy, bootstrap, started: false }));
  const containerd = await lab.containerd('taker', '2.x');
  await containerd.hosts(REGISTRY, { mirror: MIRROR });
  const taker = await startQuietly(await lab.node('taker', { policy, bootstrap, containerd, started: false }));
  await taker.sees('good', 'other');
  return { lab, containerd, taker, givers: [good, other] };
}

/** Makes `count` images named after `round` that share nothing with others, and puts them into all who give. */
async function share({ lab, givers, taker }: Cluster, round: number, count: number, mib: number) {
  const dir = join(lab.folder, `attacked-${round}`);
  const images: BuiltImage[] = [];
  for (let at = 0; at < count; at++) {
    const seeds = Array.from({ length: LAYERS }, (_, layer) => `attacked ${round} ${at} ${layer}`);
    const layers = seeds.map(seed => ({ randomBytes: (mib * MIB) / LAYERS, seed }));
    images.push(await buildImage(dir, { reference: `${REGISTRY}/team/attacked-${round}:${at}`, layers }));
  }
  for (const node of givers) {
    const contents = (await node.status()).holdings.contents + images.flatMap(ownContents).length;
    await node.cli('import', `oci:${dir}`);
    await node.holds(contents, SHARED_MS);
    await taker.hears(node.name, contents, SHARED_MS);
    for (const image of images) await taker.hearsTag(node.name, image.reference);
  }
  await rm(dir, { recursive: true });
  return images;
}

/** Sums the refusals that `nodes` recorded of the host `address`. */
async function refusals(nodes: readonly PinnaceNode[], address: string): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const node of nodes)
    for (const line of await node.audit())
      if (line.event === 'peer.refused' && String(line['address']).startsWith(address)) {
        const code = String(line['code']);
        sums[code] = (sums[code] ?? 0) + Number(line['count'] ?? 1);
      }
  return sums;
}

/** Starts the attacker of `nodes`, whose peaks of memory count from now on; answers when it is at full speed. */
async function startAttacker(lab: Lab, nodes: readonly PinnaceNode[], seconds: number): Promise<Started> {
  const { netns } = await lab.host('attacker');
  const targets = nodes.flatMap(({ host: { address: at } }) => [
    `--control=${at}:${CONTROL_PORT}`,
    `--lanes=${at}:${LANE_PORT}`,
  ]);
  for (const { process } of nodes) resetPeak([process!.pid]);
  const attacker = await start([process.execPath, ATTACKER, '--seconds', String(seconds), ...targets], { netns });
  lab.atEnd(() => attacker.stop());
  await new Promise(resolve => setTimeout(resolve, RISE_MS));
  return attacker;
}

async function measure(cluster: Cluster, round: number, { seconds, pulls, mib }: Attack): Promise<Endured> {
  const { lab, containerd, taker, givers } = cluster;
  const images = (await share(cluster, round, WARM_PULLS + 4 * pulls, mib)).values();
  const pull = async (): Promise<number> => {
    const image = images.next().value!;
    const began = performance.now();
    await containerd.cri.pull(image.reference);
    const ms = performance.now() - began;
    await assertHolds(containerd, image);
    await containerd.cri.remove(image.reference);
    return ms;
  };
  const several = async (most: number, on: () => boolean = () => true): Promise<number[]> => {
    const times: number[] = [];
    while (times.length < most && on()) times.push(await pull());
    return times;
  };
  await several(WARM_PULLS);
  const before = await several(pulls);
  const nodes = [taker, givers[0]!];
  const attacker = await startAttacker(lab, nodes, seconds);
  // A pull that the attack ends in counts as attacked.
  const attacked = await several(2 * pulls, () => attacker.running);
  await attacker.ended;
  const peak = Object.fromEntries(nodes.map(({ name, process }) => [name, peakOf([process!.pid])]));
  const after = await several(pulls);
  const refused = await refusals(nodes, (await lab.host('attacker')).address);
  return { quiet: [...before, ...after], attacked, peak, attempts: JSON.parse(attacker.log()) as Attempts, refused };
}

/** A cluster that can be attacked; each call of the answer measures one attack. */
export async function underAttack(lab: Lab, attack: Attack): Promise<() => Promise<Endured>> {
  const cluster = await build(lab);
  let round = 0;
  return () => measure(cluster, ++round, attack);
}

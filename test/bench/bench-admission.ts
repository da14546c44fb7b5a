/**
 * What admission costs a pull: a decision that was made before, and a large transfer while another policy has come into
 * force and every image in the store is judged anew, its signature never seen under that policy. The yardstick, in the same
 * run, is the same transfer after a policy came into force that asks for no signatures.
 */
import { join, resolve } from 'node:path';
import { writePolicy } from '../support/policies.ts';
import { pinnace, type ProcessNode } from '../support/nodes.ts';
import type { AdmissionFindings } from './admission-process.ts';
import { clusterHolding, type Holders } from './bench-transfer.ts';
import type { Bench, Ground } from './ground.ts';
import type { BenchImage } from './image.ts';
import { median } from './measure.ts';
import { warmMemory } from './memory.ts';
import { getManifest, mirrorUrl, pidOf, removeNode, untilHeld, untilProved } from './nodes.ts';
import { needPrograms } from './packages.ts';
import { until } from './processes.ts';
import { figure, figureOf, type Findings } from './report.ts';
import { type Contender, race } from './rounds.ts';
import { buildSignedImages, markRule, type SignedBy, type SignedImages, writeNamed } from './signed-images.ts';
import { curl } from './yardsticks.ts';

export const KEPT_LIMIT_MS = 0.05;
export const SLOWER_LIMIT_TIMES = 1.1;
const IMAGES = 200;
const WARM_ROUNDS = 1;
const KINDS: readonly SignedBy[] = ['key', 'keyless'];
/** Milliseconds in which a node must have seen a policy, and judged everything by it. */
const JUDGED_TIMEOUT_MS = 60_000;
/** As the daemon runs (src/cli/pinnace). */
const FLAGS = ['--optimize-for-size', '--max-semi-space-size=4'];
const SCRIPT = resolve(import.meta.dirname, 'admission-process.ts');

/** What a process that judged images and asked again found; `run` runs node and answers what it printed. */
export const admissionFindings = async (
  run: (args: readonly string[]) => Promise<string>,
): Promise<AdmissionFindings> => JSON.parse(await run([...FLAGS, SCRIPT])) as AdmissionFindings;

/** When marks were judged, in milliseconds since the transfer began, and the transfer's own length. */
interface Judging {
  readonly marks: readonly number[];
  readonly transfer: number;
}

/** What all transfers share, and what tells them apart. */
interface Task {
  readonly name: string;
  readonly ground: Ground;
  /** The path of curl. */
  readonly curl: string;
  readonly holders: Holders;
  readonly image: BenchImage;
  readonly signed: SignedImages;
  /** Whether the policy that comes into force just before the transfer asks for signatures. */
  readonly asks: boolean;
}

/** Pulls the layer on a fresh node each round, one that has the signed images. */
class Taking implements Contender {
  readonly name: string;
  readonly bytes: number;
  /** One for each round. */
  readonly judgings: Judging[] = [];
  readonly #task: Task;
  #count = 0;
  #taker: ProcessNode | undefined;

  constructor(task: Task) {
    this.#task = task;
    this.name = task.name;
    this.bytes = task.image.layer.size;
  }

  async prepare(): Promise<void> {
    const { ground, holders, image, signed, asks } = this.#task;
    const { cluster, nodes, digests } = holders;
    const { signal } = ground;
    const name = `${this.name.replace(/[^a-z]+/gi, '-').toLowerCase()}-${++this.#count}`;
    await writeNamed(cluster.dir, signed);
    const taker = await cluster.add(name, { policy: signed.policy(1, true) });
    this.#taker = taker;
    await pinnace('import', `oci:${signed.dir}`, '--config', taker.config);
    await taker.start();
    await untilHeld(taker, nodes, digests, signal);
    await untilProved(taker, signed.contents, signal);
    await getManifest(taker, image, signal);
    await warmMemory(ground.dir, this.bytes);
    await writePolicy(join(cluster.dir, `${name}.policy.yaml`), signed.policy(2, asks));
    // It gathers changes for a while then, so the transfer begins first.
    await until(`${name} under its new policy`, JUDGED_TIMEOUT_MS, signal, async () => {
      const records = await taker.records();
      return records.some(({ event, serial }) => event === 'policy.loaded' && serial === 2) || undefined;
    });
  }

  run(): Promise<void> {
    const { ground, image } = this.#task;
    const url = mirrorUrl(this.#taker!.mirror, image, 'blobs', image.layer.digest);
    return curl(ground.processes, this.#task.curl, url, this.bytes);
  }

  async check(): Promise<void> {
    const { ground, image, signed } = this.#task;
    const taker = this.#taker!;
    const judging = await until(`${taker.name} judging all anew`, JUDGED_TIMEOUT_MS, ground.signal, async () => {
      const records = await taker.records();
      const timeOf = (event: string): number =>
        Date.parse(
          String(records.find(one => one['event'] === event && one['digest'] === image.layer.digest)?.['time']),
        );
      const [began, ended] = [timeOf('pull.started'), timeOf('pull.ended')];
      const marks = records
        .filter(({ event, rule }) => event === 'image.admitted' && rule === markRule(2))
        .map(({ time }) => Date.parse(String(time)) - began);
      return marks.length >= signed.marks && !Number.isNaN(ended) ? { marks, transfer: ended - began } : undefined;
    });
    this.judgings.push(judging);
  }

  async clean(): Promise<void> {
    if (this.#taker) await removeNode(this.#taker);
    this.#taker = undefined;
  }

  processes(): Readonly<Record<string, number>> {
    const holders = this.#task.holders.nodes.map(node => [node.name, pidOf(node)] as const);
    return { ...Object.fromEntries(holders), taker: pidOf(this.#taker!) };
  }
}

/** How many of the images were judged while the transfer lasted, and until when the last was. */
function judgedMeanwhile({ name, judgings }: Taking): string {
  const shares = judgings.map(
    ({ marks, transfer }) => marks.filter(at => at >= 0 && at <= transfer).length / marks.length,
  );
  const last = median(judgings.map(({ marks }) => Math.max(...marks)));
  return `${name}: ${(median(shares) * 100).toFixed(0)} % of them while the transfer lasted, the last ${last.toFixed(0)} ms after it began (medians)`;
}

async function transfers(ground: Ground): Promise<Findings> {
  const programs = await needPrograms(ground.processes, { curl: 'curl' }, ground.say);
  const image = await ground.image(ground.layerBytes);
  const runs = (ground.rounds + WARM_ROUNDS) * (KINDS.length + 1);
  const holders = await clusterHolding(ground, image, 2, runs);
  const signed = new Map<SignedBy, SignedImages>();
  for (const kind of KINDS) signed.set(kind, await buildSignedImages(join(ground.dir, kind), kind, IMAGES));
  const common = { ground, curl: programs.curl, holders, image };
  const taking = (name: string, kind: SignedBy, asks: boolean): Taking =>
    new Taking({ ...common, name, signed: signed.get(kind)!, asks });
  const quiet = taking('no bundle to judge', 'key', false);
  const judging = KINDS.map(kind => taking(`judging ${IMAGES} bundles, ${kind}`, kind, true));
  const samples = await race([quiet, ...judging], { ...ground, warm: WARM_ROUNDS });
  const figures = [quiet, ...judging].map(({ name, bytes }) => figureOf(name, bytes, samples.get(name)!));
  return {
    figures,
    goals: figures.slice(1).map(one => ({
      name: `slower while ${one.name}`,
      value: figures[0]!.median / one.median,
      sense: 'at most',
      limit: SLOWER_LIMIT_TIMES,
      unit: '×',
    })),
    notes: judging.map(judgedMeanwhile),
  };
}

export const admissionBench: Bench = {
  name: 'admission',
  summary: `a decision made before; a large layer while ${IMAGES} signatures are judged anew`,
  async run(ground) {
    const found: AdmissionFindings[] = [];
    for (let round = 0; round < ground.rounds; round++)
      found.push(await admissionFindings(args => ground.processes.run(process.execPath, [...args])));
    const of = (name: string, pick: (findings: AdmissionFindings) => number) => figure(name, 'ms', found.map(pick));
    const [kept, pulled] = [
      of('kept ruling', all => all.kept.p50),
      of('all of a pull, decided', all => all.pulled.p50),
    ];
    const moved = await transfers(ground);
    return {
      figures: [kept, of('kept ruling, 99th percentile', all => all.kept.p99), pulled, ...moved.figures],
      goals: [
        ...[kept, pulled].map(({ name, median: value }) => ({
          name,
          value,
          sense: 'at most' as const,
          limit: KEPT_LIMIT_MS,
          unit: 'ms' as const,
        })),
        ...moved.goals,
      ],
      notes: [
        `${(kept.median * 1e3).toFixed(1)} µs the kept ruling, ${(pulled.median * 1e3).toFixed(1)} µs all of a pull`,
        ...moved.notes,
      ],
    };
  },
};

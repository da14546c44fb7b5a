/**
 * Small images pulled by containerd beside one bad peer and one good one: no pull fails, no byte is wrong, and what it
 * costs is shown against pulls in turn from two good ones. `node test/system/bad-peers.test.ts --count N` makes N pulls of
 * each kind.
 */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import type { Code } from '../../src/errors.ts';
import { countOf } from '../support/count.ts';
import type { Lie } from '../support/hostile.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import type { Lab } from '../support/system/lab.ts';
import { assertHolds, type Machine, machine, ownContents } from '../support/system/machine.ts';
import { type PinnaceNode, sharing } from '../support/system/node.ts';
import { until } from '../support/system/processes.ts';
import { systemTest } from '../support/system/suite.ts';
import { FORGET } from '../support/unlucky.ts';
import { median, percentile } from '../bench/measure.ts';

/** Pulls of each kind. */
const COUNT = countOf(10);
/** Images that are made, shared and pulled in one go, of each kind. */
const BATCH = 20;
const REGISTRY = 'reg.test';
const POLICY = sharing(`${REGISTRY}/**`);
const KIB = 1024;
/** One layer is more than a chunk, so that a peer can fail in the middle of it. */
const LAYERS_KIB = [64, 128, 192, 1280];
/** Layers are lied about, manifests and configs are not: without them no image of the liar's would be shared. */
const LIE_FROM = 32 * KIB;
const SLOW_MBIT = 1;
/** What a batch needs to be shared by all who hold it, over the slow peer's link too, in milliseconds. */
const SHARED_MS = 90_000;
const PULL_MS = 120_000;
/** Of the time: lab, batches. */
const AROUND_MS = 180_000;
const EACH_MS = 30_000;
/** After a pull, what its puller found out is written down. */
const FOUND_OUT_MS = 20_000;

/** Whom the image is held by, beside one good peer, and whether the puller has met that one before. */
const KINDS = ['healthy', 'met', 'known'] as const;
type Kind = (typeof KINDS)[number];

interface Cluster {
  readonly b: Machine;
  readonly holders: Readonly<Record<'good' | 'other' | 'bad', PinnaceNode>>;
  /** Contents that each holder was given, by its name. */
  readonly held: Map<string, number>;
}

async function build(lab: Lab, { lie, mbit }: Bad): Promise<Cluster> {
  const bootstrap = [await lab.host('good')];
  const good = await lab.node('good', { policy: POLICY });
  const other = await lab.node('other', { policy: POLICY, bootstrap });
  const bad = await lab.node('bad', { policy: POLICY, bootstrap, ...(lie ? { lie, lieFrom: LIE_FROM } : {}) });
  const options = { version: '2.x', policy: POLICY, registry: REGISTRY, asksFirst: 'bad' } as const;
  const b = await machine(lab, 'b', { ...options, bootstrap: ['good'] });
  await b.node.sees('good', 'other', 'bad');
  if (mbit !== undefined) await bad.host.shape(mbit);
  return { b, holders: { good, other, bad }, held: new Map() };
}

/** Starts a node that died; false where it lives. */
async function revived(node: PinnaceNode): Promise<boolean> {
  if (node.process?.running) return false;
  await node.start();
  return true;
}

/** Makes `count` images of a kind that share no content with any other, and puts them into two nodes. */
async function share(lab: Lab, cluster: Cluster, kind: Kind, from: number, count: number): Promise<BuiltImage[]> {
  const { b, holders, held } = cluster;
  const dir = join(lab.folder, `${kind}-${from}`);
  const images: BuiltImage[] = [];
  for (let at = from; at < from + count; at++) {
    const layers = LAYERS_KIB.map(kib => ({ randomBytes: kib * KIB, seed: `${kind} ${at} ${kib}` }));
    images.push(await buildImage(dir, { reference: `${REGISTRY}/team/${kind}:${at}`, layers }));
  }
  for (const node of [holders.good, kind === 'healthy' ? holders.other : holders.bad]) {
    const contents = (held.get(node.name) ?? 0) + images.flatMap(ownContents).length;
    held.set(node.name, contents);
    await node.cli('import', `oci:${dir}`);
    await node.holds(contents, SHARED_MS);
    await b.node.hears(node.name, contents, SHARED_MS);
    for (const image of images) await b.node.hearsTag(node.name, image.reference);
  }
  await rm(dir, { recursive: true });
  return images;
}

/** How a bad peer shows in what `node` recorded and logged since `since` (ms since 1970): the codes beside its name. */
async function foundOut(node: PinnaceNode, since: number): Promise<ReadonlySet<unknown>> {
  const logged = node
    .log()
    .split('\n')
    .filter(line => line.startsWith('{') && line.endsWith('}'))
    .map(line => JSON.parse(line) as Readonly<Record<string, unknown>>)
    .filter(({ time, node: about }) => about === 'bad' && Number(time) >= since);
  const recorded = (await node.audit()).filter(
    ({ event, time, node: about }) => event === 'lie.found' && about === 'bad' && Date.parse(String(time)) >= since,
  );
  return new Set([...logged, ...recorded].map(({ code }) => code));
}

/** Pulls, and looks at every byte; answers with the milliseconds of the pull. */
async function pull({ b }: Cluster, image: BuiltImage): Promise<number> {
  const began = performance.now();
  await b.containerd.cri.pull(image.reference, { timeoutMs: PULL_MS });
  const ms = performance.now() - began;
  await assertHolds(b.containerd, image);
  await b.containerd.cri.remove(image.reference);
  return ms;
}

/** A pull by a node that has forgotten what it knows of the bad peer and asks it first; that one lives. */
async function pullAnew(cluster: Cluster, image: BuiltImage, { codes }: Bad): Promise<number> {
  const { b, holders } = cluster;
  const held = cluster.held.get('bad') ?? 0;
  if (await revived(holders.bad)) {
    await holders.bad.holds(held, SHARED_MS);
    await b.node.hears('bad', held, SHARED_MS);
  }
  b.node.process?.signal(FORGET);
  const began = Date.now();
  const ms = await pull(cluster, image);
  await until(`${codes.join(', ')} of the bad peer`, FOUND_OUT_MS, async () => {
    const found = await foundOut(b.node, began);
    return codes.every(code => found.has(code));
  });
  return ms;
}

const row = (times: readonly number[]): string => {
  const [middle, late, most] = [median(times), percentile(times, 0.95), Math.max(...times)];
  return `${middle.toFixed(0)} ms (p95 ${late.toFixed(0)}, most ${most.toFixed(0)})`;
};

/** What the bad peer does, and how it is made. */
interface Bad {
  readonly what: string;
  readonly lie?: Lie;
  readonly mbit?: number;
  /** How it is found out: codes that stand beside its name in the record or the log of every pull that meets it. */
  readonly codes: readonly Code[];
  /** Milliseconds: ten times the median of pulls that met it, as measured on two cores with other work beside it. */
  readonly limitMs: number;
}

const BADS: readonly Bad[] = [
  { what: 'lies about bytes', lie: 'chunk', codes: ['CHUNK_MISMATCH'], limitMs: 5_000 },
  { what: 'signs false proofs', lie: 'proof', codes: ['PROOF_REFUTED'], limitMs: 5_000 },
  { what: 'stalls', lie: 'stall', codes: ['LANE_STALLED'], limitMs: 45_000 },
  { what: 'dies in each transfer', lie: 'die', codes: ['LANE_CLOSED'], limitMs: 5_000 },
  { what: `is slow (${SLOW_MBIT} Mbit/s)`, mbit: SLOW_MBIT, codes: ['LANE_STALLED'], limitMs: 45_000 },
];
/** The same of pulls from two good peers, and of those that know the bad one already. */
const GOOD_LIMIT_MS = 5_000;

async function pulls(lab: Lab, bad: Bad): Promise<void> {
  const cluster = await build(lab, bad);
  const times: Record<Kind, number[]> = { healthy: [], met: [], known: [] };
  for (let from = 0; from < COUNT; from += BATCH) {
    const count = Math.min(BATCH, COUNT - from);
    const images: Record<Kind, BuiltImage[]> = { healthy: [], met: [], known: [] };
    if (await revived(cluster.holders.bad)) await cluster.b.node.sees('bad');
    for (const kind of KINDS) images[kind] = await share(lab, cluster, kind, from, count);
    for (let at = 0; at < count; at++) {
      times.healthy.push(await pull(cluster, images.healthy[at]!));
      times.met.push(await pullAnew(cluster, images.met[at]!, bad));
      times.known.push(await pull(cluster, images.known[at]!));
    }
  }
  console.log(`# a peer that ${bad.what}, ${COUNT} pulls of each kind, load ${loadavg()[0]!.toFixed(1)}:`);
  console.log(`#   each meets it for the first time: ${row(times.met)}; it is known: ${row(times.known)};`);
  console.log(`#   from two good peers: ${row(times.healthy)}`);
  for (const kind of KINDS) {
    assert.equal(times[kind].length, COUNT);
    const limit = kind === 'met' ? bad.limitMs : GOOD_LIMIT_MS;
    assert.ok(median(times[kind]) <= limit, `${kind}: ${row(times[kind])}, at most ${limit} ms`);
  }
}

for (const bad of BADS)
  systemTest(
    `${COUNT} pulls beside a peer that ${bad.what} and a good one, none of which fails`,
    lab => pulls(lab, bad),
    AROUND_MS + COUNT * EACH_MS,
  );

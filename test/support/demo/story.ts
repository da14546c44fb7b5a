/** The demo's three acts, each measured: a pull without a registry, a lie about a chunk, a lie about a proof. */
import { join } from 'node:path';
import { bytesText, shortDigest } from '../../../src/cli/table.ts';
import type { Descriptor } from '../../../src/oci/oci.ts';
import { type BuiltImage, buildImage, buildMachineImage, HOST_ARCHITECTURE } from '../images.ts';
import { eventually, pinnace, type ProcessCluster, type ProcessNode } from '../nodes.ts';
import { PullFailed, type PullResult, pullImage } from '../pull-client.ts';
import type { Screen } from './screen.ts';

const HOLDERS_MS = 20_000;
const NAMED_MS = 15_000;
const LAYER_BYTES = 24 << 20;

export interface DemoPull {
  readonly by: 'tag' | 'digest';
  readonly node: string;
  readonly from: string;
  readonly seconds: number;
  /** From the first request to the first byte of a layer larger than a chunk. */
  readonly firstByteMs: number;
  readonly how: string;
}

export interface Job {
  readonly nodes: number;
  readonly image: string;
  readonly digest: string;
  readonly bytes: number;
  readonly source: string;
  readonly byTag: boolean;
  readonly byDigest: boolean;
  readonly pulls: readonly DemoPull[];
}

export interface LieResult {
  readonly kind: 'chunk' | 'proof';
  /** The liar was asked and what it sent was found out. */
  readonly told: boolean;
  /** Some byte of the lie reached the client. */
  readonly delivered: boolean;
  readonly named: boolean;
  readonly completed: boolean;
  readonly detail: string;
}

/** Waits until `node` knows `holders` nodes that hold the content, by its own word. */
const holdersKnown = (node: ProcessNode, reference: string, holders: readonly string[]): Promise<true> =>
  eventually(`${node.name} knows that ${holders.join(', ')} hold ${reference}`, HOLDERS_MS, async () => {
    const path = `/why?reference=${encodeURIComponent(reference)}`;
    const { steps } = await node.ask<{ steps: { step: string; ok: boolean; detail: string }[] }>(path);
    const said = steps.find(({ step }) => step === 'holders')?.detail ?? '';
    const decided = steps.find(({ step }) => step === 'tag')?.ok ?? true;
    return decided && holders.every(name => said.includes(name)) ? true : undefined;
  });

interface Watched extends PullResult {
  readonly firstByteMs: number;
  readonly from: string;
}

/** Pulls through a node's mirror, with progress, and asks the node afterwards where the layers came from. */
async function watchedPull(node: ProcessNode, reference: string, screen: Screen): Promise<Watched> {
  const began = performance.now();
  let firstByteMs = 0;
  let from = '';
  const ask = setInterval(() => {
    node.status().then(
      ({ fetches }) => (from = fetches.at(-1)?.from ?? from),
      () => undefined,
    );
  }, 150);
  try {
    const pulled = await pullImage(node.mirror, reference, {
      progress: ({ digest, size }: Descriptor, done) => {
        if (!firstByteMs && size > 1 << 20) firstByteMs = performance.now() - began;
        screen.bar.step({ digest, size, done, from });
      },
    });
    const { pulls } = await node.status();
    const layers = pulls.filter(
      pull =>
        pull.bytes > 1 << 20 && pull.startedAt >= new Date(Date.now() - (performance.now() - began)).toISOString(),
    );
    return { ...pulled, firstByteMs, from: [...new Set(layers.map(pull => pull.from))].join(', ') };
  } finally {
    clearInterval(ask);
    screen.bar.end();
  }
}

async function importAt(node: ProcessNode, image: BuiltImage): Promise<void> {
  await pinnace('import', `oci:${image.dir}`, '--name', image.reference, '--config', node.config);
}

/** Act one: an image of this machine's files goes from the first node to the other two, by tag and by digest. */
export async function mainJob(cluster: ProcessCluster, screen: Screen): Promise<Job> {
  const reference = 'demo.test/pinnace/demo:1';
  const image = await buildMachineImage(join(cluster.dir, 'image'), reference);
  const nodes = [await cluster.add('n1'), await cluster.add('n2'), await cluster.add('n3')] as const;
  const [first, second, third] = nodes;
  for (const node of nodes) await node.start();
  screen.say(`Three nodes are up: ${nodes.map(({ name, mirror }) => `${name} ${mirror}`).join(', ')}`);
  await importAt(first, image);
  const large = image.contents.reduce((a, b) => (a.size > b.size ? a : b)).digest;
  const atDigest = `${reference.slice(0, reference.lastIndexOf(':'))}@${image.digest}`;
  screen.say(`n1 holds ${reference}, ${bytesText(image.bytes)}; nobody else does, and there is no registry`);
  screen.say(
    'Policy: policies/permissive.yaml. One node’s signed word decides a tag (min: 1, as in K3s): it trusts every node with names, none with bytes',
  );
  const wholeAt = (node: ProcessNode, holders: string[]): Promise<true> =>
    holdersKnown(node, `${reference.slice(0, reference.lastIndexOf(':'))}@${large}`, holders);
  await holdersKnown(second, reference, ['n1']);
  await wholeAt(second, ['n1']);
  const byTag = await watchedPull(second, reference, screen);
  screen.say(`n2 pulled it by tag from ${byTag.from}: one voucher, so each layer was proved whole first`);
  await holdersKnown(third, atDigest, ['n1', 'n2']);
  await wholeAt(third, ['n1', 'n2']);
  const byDigest = await watchedPull(third, atDigest, screen);
  screen.say(`n3 pulled it by digest from ${byDigest.from}: two vouchers, so it came chunk by chunk`);
  const peerNames = new Set(nodes.map(({ name }) => name));
  const fromPeers = [byTag, byDigest].every(
    ({ from }) => from !== '' && from.split(', ').every(name => peerNames.has(name)),
  );
  const line = (by: 'tag' | 'digest', node: ProcessNode, pull: Watched, how: string): DemoPull => ({
    by,
    how,
    node: node.name,
    from: pull.from,
    seconds: pull.seconds,
    firstByteMs: pull.firstByteMs,
  });
  const pids = new Set(nodes.map(({ pid }) => pid));
  return {
    nodes: pids.size,
    image: reference,
    digest: byTag.digest,
    bytes: image.bytes,
    source: fromPeers ? 'peer' : `${byTag.from}; ${byDigest.from}`,
    byTag: byTag.digest === image.digest,
    byDigest: byDigest.digest === image.digest,
    pulls: [
      line('tag', second, byTag, 'proved whole in the spool'),
      line('digest', third, byDigest, 'streamed, chunk by chunk'),
    ],
  };
}

/** Whether the node's audit log names the liar; it may find a lie out after the client was told "not here". */
const named = (node: ProcessNode, liar: string, kind: string): Promise<boolean> =>
  eventually(`${node.name} names ${liar}`, NAMED_MS, async () => {
    const records = await node.records();
    return records.some(one => one.event === 'lie.found' && one.node === liar && one.kind === kind) || undefined;
  }).catch(() => false);

const lieImage = (cluster: ProcessCluster, name: string, seed: number): Promise<BuiltImage> =>
  buildImage(join(cluster.dir, name), {
    reference: `demo.test/pinnace/${name}:1`,
    layers: [{ randomBytes: LAYER_BYTES, seed }],
    platforms: [`linux/${HOST_ARCHITECTURE}`, 'linux/other'],
  });

/** Act two: a liar, asked first, flips a byte in the middle of a layer whose proof is honest; the honest holder is slower. */
export async function chunkLie(cluster: ProcessCluster, screen: Screen): Promise<LieResult> {
  const image = await lieImage(cluster, 'flipped', 1);
  const victim = await cluster.add('n4', { zone: 'near' });
  const liar = await cluster.add('liar-chunk', { zone: 'near', lie: 'chunk' });
  const honest = await cluster.add('slow', { lie: 'slow' });
  for (const node of [victim, liar, honest]) await node.start();
  for (const node of [honest, liar]) await importAt(node, image);
  const layer = image.contents.reduce((a, b) => (a.size > b.size ? a : b)).digest;
  await holdersKnown(victim, `demo.test/pinnace/flipped@${layer}`, ['slow', 'liar-chunk']);
  await holdersKnown(victim, image.reference, ['slow', 'liar-chunk']);
  const pulled = await pullImage(victim.mirror, image.reference).catch((error: unknown) => error as Error);
  const told = await named(victim, 'liar-chunk', 'chunk');
  const completed = !(pulled instanceof Error) && pulled.digest === image.digest;
  screen.say(
    `A byte was flipped under an honest proof: ${completed ? 'the pull completed' : pulled instanceof Error ? pulled.message : 'it completed'}`,
  );
  const detail = `n4 left liar-chunk at the last proved MiB of ${shortDigest(layer)} and went on with the slower, honest holder`;
  // The client hashed what it got: a false byte would have failed it.
  return { kind: 'chunk', told, delivered: !completed, named: told, completed, detail };
}

/** Act three: the only holder signs a false proof, and sends bytes that agree with it. */
export async function proofLie(cluster: ProcessCluster, screen: Screen): Promise<LieResult> {
  const image = await lieImage(cluster, 'forged', 2);
  const liar = await cluster.add('liar-proof', { lie: 'proof' });
  const victim = cluster.nodes.find(({ name }) => name === 'n4')!;
  await liar.start();
  await importAt(liar, image);
  const layer = image.contents.reduce((a, b) => (a.size > b.size ? a : b)).digest;
  await holdersKnown(victim, `demo.test/pinnace/forged@${layer}`, ['liar-proof']);
  await holdersKnown(victim, image.reference, ['liar-proof']);
  let largeBytes = 0;
  const pulled = await pullImage(victim.mirror, image.reference, {
    progress: ({ digest }, done) => {
      if (digest === layer) largeBytes = done;
    },
  }).catch((error: unknown) => error as Error);
  const told = await named(victim, 'liar-proof', 'proof');
  // What the mirror's own socket took, beside what the client got.
  const sent = (await victim.status()).pulls
    .filter(({ digest }) => digest === layer)
    .reduce((sum, { bytes }) => sum + bytes, 0);
  const evidence = JSON.parse(await pinnace('evidence', 'list', '--json', '--config', victim.config)) as {
    evidence: { node?: string }[];
  };
  const clean = pulled instanceof PullFailed && pulled.status === 404;
  screen.say(
    `A false proof was signed by the only holder: ${clean ? 'a clean "not here" (404)' : pulled instanceof Error ? pulled.message : 'it completed'}, ${largeBytes} bytes of the layer went out`,
  );
  return {
    kind: 'proof',
    told,
    delivered: largeBytes + sent > 0,
    named: told && evidence.evidence.some(({ node }) => node === 'liar-proof'),
    completed: !(pulled instanceof Error),
    detail: `${largeBytes + sent} bytes went out; evidence is kept against liar-proof`,
  };
}

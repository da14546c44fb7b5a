/**
 * Run by itself: a signer and ten more nodes on one real wire over loopback, in one process; the signer states a snapshot,
 * and the time runs until each of the others finds all of it. Prints one line of JSON. Promises: what was found was signed,
 * sent and verified; the nodes were joined and at rest before.
 */
import { createHash } from 'node:crypto';
import { verifyPeer } from '../../src/identity/key.ts';
import { MirrorError } from '../../src/errors.ts';
import type { Digest } from '../../src/oci/oci.ts';
import type { Giver, Holding } from '../../src/peers/peers.ts';
import { createPeers, type OpenPeers } from '../../src/peers/peers-node.ts';
import type { Root } from '../../src/proof/proof.ts';
import { realWorld } from '../../src/world.ts';
import { type ClusterNode, makeCluster, memoryKeep } from '../support/cluster.ts';
import { cpuOf } from './measure.ts';
import { until } from './processes.ts';

const RECEIVERS = 10;
const DIGESTS = 2_000;
const JOINED_TIMEOUT_MS = 60_000;
const SPREAD_TIMEOUT_MS = 60_000;
/** Longer than a young link counts as young, so that gossip reaches everybody. */
const REST_MS = 8_000;

/** What the process found: seconds, and CPU seconds of all nodes together. */
export interface SpreadFindings {
  readonly seconds: number;
  readonly cpu: number;
}

const hex = (text: string): string => createHash('sha256').update(text).digest('hex');
const HOLDINGS: readonly Holding[] = Array.from({ length: DIGESTS }, (_, at) => ({
  digest: `sha256:${hex(`digest ${at}`)}` as Digest,
  size: 1_000 + at,
  root: hex(`root ${at}`) as Root,
}));

const nothing = async (): Promise<never> => {
  throw new MirrorError('CONTENT_ABSENT', 'nothing is given here');
};
const GIVER: Giver = { give: nothing, proof: nothing, referrers: async () => [], doubt: () => undefined };

async function open(node: ClusterNode, bootstrap: readonly string[], signal: AbortSignal): Promise<OpenPeers> {
  return createPeers({
    world: realWorld,
    self: node.self,
    members: await node.members({}, signal),
    verify: verifyPeer,
    giver: GIVER,
    record: async () => undefined,
    log: () => undefined,
    keeps: { nodes: memoryKeep(), tags: memoryKeep() },
    config: { listen: '127.0.0.1:0', lanePort: 0, advertise: [], bootstrap, peerCidrs: [] },
    signal,
  });
}

async function measure(signal: AbortSignal): Promise<SpreadFindings> {
  const cluster = await makeCluster({ nodes: Array.from({ length: RECEIVERS + 1 }, (_, at) => `n${at}`) });
  const [first, ...rest] = cluster.nodes;
  const signer = await open(first!, [], signal);
  const receivers: OpenPeers[] = [];
  for (const node of rest) receivers.push(await open(node, signer.addresses, signal));
  await until(`${RECEIVERS} nodes joined`, JOINED_TIMEOUT_MS, signal, async () => {
    const joined = signer.status().filter(({ connected }) => connected);
    return joined.length === RECEIVERS || undefined;
  });
  await realWorld.sleep(REST_MS, signal);

  const [began, cpu] = [realWorld.monotonic(), cpuOf([process.pid])];
  await signer.hold(HOLDINGS);
  const knowsAll = (peers: OpenPeers): boolean =>
    HOLDINGS.every(({ digest, root }) => peers.holders(digest).some(holder => holder.root === root));
  const late = new Set(receivers);
  await until(`${RECEIVERS} nodes knowing the snapshot`, SPREAD_TIMEOUT_MS, signal, async () => {
    for (const peers of late) if (knowsAll(peers)) late.delete(peers);
    return late.size === 0 || undefined;
  });
  return { seconds: (realWorld.monotonic() - began) / 1e3, cpu: cpuOf([process.pid]) - cpu };
}

if (import.meta.main) {
  const life = new AbortController();
  const findings = await measure(life.signal);
  process.stdout.write(`${JSON.stringify(findings)}\n`);
  life.abort();
  process.exit();
}

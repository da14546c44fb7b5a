/**
 * Whole nodes on loopback for benches, and what is asked of them. Promises: they end with the bench. Refuses to know what is
 * measured.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ask, CONTROL_SOCKET } from '../../src/cli/control-client.ts';
import type { Status } from '../../src/cli/node-status.ts';
import { type Digest, parseTagReference } from '../../src/oci/oci.ts';
import { pinnace, ProcessCluster, type ProcessNode } from '../support/nodes.ts';
import type { Ground } from './ground.ts';
import type { BenchImage } from './image.ts';
import { until } from './processes.ts';

/** Milliseconds in which holders must have hashed a large layer and told it. */
const HOLDERS_TIMEOUT_MS = 120_000;
/** A manifest, a config, a layer. */
export const DIGESTS_OF_IMAGE = 3;

/** A cluster with room for `nodes` nodes in all, fresh ones of later rounds included; it goes at the end of the bench. */
export async function benchCluster(ground: Ground, nodes: number): Promise<ProcessCluster> {
  const cluster = await ProcessCluster.make(nodes);
  ground.atEnd(() => cluster.remove());
  return cluster;
}

/** Adds a node and starts it. */
export async function startNode(cluster: ProcessCluster, name: string): Promise<ProcessNode> {
  const node = await cluster.add(name);
  await node.start();
  return node;
}

/** The process of a node that was started. */
export function pidOf(node: ProcessNode): number {
  if (node.pid === undefined) throw new Error(`${node.name} does not run`);
  return node.pid;
}

/** Stops a node and removes its state. */
export async function removeNode(node: ProcessNode): Promise<void> {
  await node.stop();
  await rm(node.stateDir, { recursive: true, force: true });
}

/** Imports an image by the command line. */
export const importImage = async (node: ProcessNode, image: BenchImage): Promise<void> =>
  void (await pinnace('import', `oci:${image.dir}`, '--config', node.config));

/** Where a mirror (`http://host:port`) has a manifest or blob of the image. */
export function mirrorUrl(mirror: string, image: BenchImage, kind: 'manifests' | 'blobs', digest: Digest): string {
  const { registry, repository } = parseTagReference(image.reference);
  return `${mirror}/v2/${repository}/${kind}/${digest}?ns=${encodeURIComponent(registry)}`;
}

/** Gets the image's manifest through the mirror, as containerd does before it asks for blobs. */
export async function getManifest(node: ProcessNode, image: BenchImage, signal: AbortSignal): Promise<void> {
  const url = mirrorUrl(node.mirror, image, 'manifests', image.manifest.digest);
  const answer = await fetch(url, { signal, headers: { accept: image.manifest.mediaType } });
  const { byteLength } = await answer.arrayBuffer();
  if (answer.status !== 200 || byteLength !== image.manifest.size)
    throw new Error(`${url} on ${node.name}: ${answer.status}, ${byteLength} bytes`);
}

const statusOf = (node: ProcessNode): Promise<Status> =>
  ask<Status>({ socket: join(node.stateDir, CONTROL_SOCKET), path: '/status' });

/** Waits until `node` itself tells of `contents` contents or more, so has hashed them. */
export async function untilProved(node: ProcessNode, contents: number, signal: AbortSignal): Promise<void> {
  await until(`${node.name} holding ${contents} contents`, HOLDERS_TIMEOUT_MS, signal, async () => {
    const { holdings } = await statusOf(node);
    return holdings.contents >= contents || undefined;
  });
}

/** Waits until `node` is connected to each of `holders` and knows that it holds `digests` digests or more. */
export async function untilHeld(
  node: ProcessNode,
  holders: readonly ProcessNode[],
  digests: number,
  signal: AbortSignal,
): Promise<void> {
  const what = `${node.name} knowing ${digests} digests of ${holders.map(({ name }) => name).join(' and ')}`;
  await until(what, HOLDERS_TIMEOUT_MS, signal, async () => {
    const { peers } = await statusOf(node);
    const held = ({ name }: ProcessNode): boolean =>
      peers.some(peer => peer.name === name && peer.connected && peer.holdings >= digests);
    return holders.every(held) || undefined;
  });
}

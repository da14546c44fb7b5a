/**
 * Whole nodes, run the way an operator runs them: by `pinnace` and files alone. Promises: each node is a process of its own
 * with its own token, ports of loopback and state folder under the bench's. Refuses to know what is measured.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Digest, parseTagReference } from '../../src/oci/oci.ts';
import { realWorld } from '../../src/world.ts';
import type { Ground } from './ground.ts';
import type { BenchImage } from './image.ts';
import { freePorts, type Running, until } from './processes.ts';

/** The program under test. */
export const PINNACE = resolve(import.meta.dirname, '../../src/cli/pinnace');
const POLICY = resolve(import.meta.dirname, '../../policies/permissive.yaml');
/** Milliseconds from start to ready before a node is given up. */
const READY_TIMEOUT_MS = 30_000;
/** Milliseconds between two looks at /readyz; bounds how exact the start is timed. */
const READY_EVERY_MS = 5;
/** Milliseconds in which holders must have hashed a large layer and told it. */
const HOLDERS_TIMEOUT_MS = 120_000;
const STATUS_EVERY_MS = 200;

/** A running node. */
export interface BenchNode {
  readonly name: string;
  readonly pid: number;
  readonly peerPort: number;
  /** Where its mirror listens: `http://127.0.0.1:PORT`. */
  readonly mirror: string;
  /** From the start of the process to the first 200 of /readyz. */
  readonly secondsToReady: number;
  /** Imports an image built by `buildBenchImage`. */
  import(image: BenchImage): Promise<void>;
  /** Digests that each other node says it holds, by name, as this node knows it; only nodes it is connected to. */
  holdings(): Promise<ReadonlyMap<string, number>>;
  /** What it logged. */
  readonly output: () => string;
  readonly stop: () => Promise<void>;
  /** Stops it and removes its state. */
  remove(): Promise<void>;
}

export interface BenchCluster {
  /** Starts a node with a token of its own; it asks the first node that was started. Answers when it is ready. */
  start(name: string): Promise<BenchNode>;
}

/** Where a mirror has a manifest or blob of the image. */
export function mirrorUrl(
  node: Pick<BenchNode, 'mirror'>,
  image: BenchImage,
  kind: 'manifests' | 'blobs',
  what: Digest,
): string {
  const { registry, repository } = parseTagReference(image.reference);
  return `${node.mirror}/v2/${repository}/${kind}/${what}?ns=${encodeURIComponent(registry)}`;
}

/** Gets the image's manifest through the mirror, as containerd does before it asks for blobs. */
export async function getManifest(node: BenchNode, image: BenchImage, signal: AbortSignal): Promise<void> {
  const url = mirrorUrl(node, image, 'manifests', image.manifest.digest);
  const answer = await fetch(url, { signal, headers: { accept: image.manifest.mediaType } });
  const bytes = (await answer.arrayBuffer()).byteLength;
  if (answer.status !== 200 || bytes !== image.manifest.size)
    throw new Error(`${url}: ${answer.status}, ${bytes} bytes\n${node.output()}`);
}

/** Waits until `node` knows that each of `holders` holds at least `digests` digests. */
export async function untilHeld(
  node: BenchNode,
  holders: readonly string[],
  digests: number,
  signal: AbortSignal,
): Promise<void> {
  const what = `${node.name} knowing ${digests} digests of ${holders.join(' and ')}`;
  await until(
    what,
    HOLDERS_TIMEOUT_MS,
    signal,
    async () => {
      const held = await node.holdings();
      return holders.every(name => (held.get(name) ?? 0) >= digests) || undefined;
    },
    STATUS_EVERY_MS,
  );
}

const configText = (
  name: string,
  stateDir: string,
  [mirror, peers, lanes]: readonly number[],
  bootstrap: readonly number[],
): string =>
  [
    `node: ${name}`,
    `stateDir: ${JSON.stringify(stateDir)}`,
    `policyFile: ${JSON.stringify(POLICY)}`,
    'store:',
    '  kind: layout',
    'mirror:',
    `  listen: 127.0.0.1:${mirror}`,
    'peers:',
    `  listen: 127.0.0.1:${peers}`,
    `  lanes: ${lanes}`,
    `  bootstrap: [${bootstrap.map(port => `127.0.0.1:${port}`).join(', ')}]`,
    'log:',
    '  level: warn',
    '',
  ].join('\n');

interface StatusPeer {
  readonly node: { readonly name: string };
  readonly connected: boolean;
  readonly holdings: number;
}

async function awaitReady(ground: Ground, name: string, mirror: string, running: Running): Promise<void> {
  await until(
    `${name} ready`,
    READY_TIMEOUT_MS,
    ground.signal,
    async () => {
      if (running.ended()) throw new Error(`${name} ended before it was ready: ${running.output()}`);
      return fetch(`${mirror}/readyz`, { signal: ground.signal }).then(
        async answer => (await answer.arrayBuffer(), answer.status === 200 || undefined),
        () => undefined,
      );
    },
    READY_EVERY_MS,
  );
}

/** Makes a cluster of its own in the bench's folder. */
export async function createBenchCluster(ground: Ground, clusterName: string): Promise<BenchCluster> {
  const { processes } = ground;
  const dir = join(ground.dir, clusterName);
  const keys = join(dir, 'keys');
  await mkdir(dir, { mode: 0o700 });
  await processes.run(PINNACE, ['cluster', 'init', '--dir', keys, '--no-passphrase']);
  const bootstrap: number[] = [];
  return {
    async start(name) {
      const stateDir = join(dir, name);
      const config = join(dir, `${name}.yaml`);
      await mkdir(stateDir, { mode: 0o700 });
      await processes.run(PINNACE, [
        'token',
        'create',
        '--node',
        name,
        '--out',
        join(stateDir, 'token'),
        '--dir',
        keys,
      ]);
      const ports = await freePorts(3);
      await writeFile(config, configText(name, stateDir, ports, bootstrap));
      if (bootstrap.length === 0) bootstrap.push(ports[1]!);
      const mirror = `http://127.0.0.1:${ports[0]}`;
      const began = realWorld.monotonic();
      const running = processes.start(PINNACE, ['run', '--config', config]);
      await awaitReady(ground, name, mirror, running);
      return {
        name,
        pid: running.pid,
        peerPort: ports[1]!,
        mirror,
        secondsToReady: (realWorld.monotonic() - began) / 1e3,
        async import(image) {
          await processes.run(PINNACE, ['import', '--config', config, `oci:${image.dir}`]);
        },
        async holdings() {
          const text = await processes.run(PINNACE, ['status', '--json', '--config', config]);
          const { peers } = JSON.parse(text) as { peers: StatusPeer[] };
          return new Map(peers.filter(({ connected }) => connected).map(peer => [peer.node.name, peer.holdings]));
        },
        output: running.output,
        stop: running.stop,
        async remove() {
          await running.stop();
          await rm(stateDir, { recursive: true, force: true });
        },
      };
    },
  };
}

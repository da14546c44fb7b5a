/**
 * The churn of a soak: images that are imported, pulled and removed, nodes that end and come again. Promises: every
 * content of every pull is hashed by who pulled it; a pull that fails, while the node that asked stayed up, is told.
 */
import { rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ask, CONTROL_SOCKET } from '../../src/cli/control-client.ts';
import { hasCode } from '../../src/errors.ts';
import type { Draws } from '../support/draws.ts';
import { type BuiltImage, blobPath, buildImage } from '../support/images.ts';
import { pinnace, type ProcessCluster, type ProcessNode } from '../support/nodes.ts';
import { get, pullImage } from '../support/pull-client.ts';

const KIB = 1024;
/** Images that are there at a time; then the oldest goes. */
const IMAGES_MAX = 10;
const LAYER_BYTES = [40 * KIB, 400 * KIB, 1200 * KIB, 2500 * KIB] as const;
const PULLERS = 3;
/** Between two images. */
const REST_MS = 1_000;
/** A node that just came is told of an image within so long, on a busy machine. */
const HEARD_MS = 60_000;
/** Between two nodes that go, and how long one stays away, at most. */
const NODE_REST_MS = 10_000;
const AWAY_MAX_MS = 8_000;
/** Before anything that the store keeps because it is young. */
const LONG_AGO_S = 1_000_000_000;

/** What was done, counted. */
export interface Done {
  images: number;
  removed: number;
  pulls: number;
  bytes: number;
  /** Pulls whose node went meanwhile. */
  brokenOff: number;
  stops: number;
  kills: number;
  readonly failed: string[];
}

export class Churn {
  readonly done: Done = { images: 0, removed: 0, pulls: 0, bytes: 0, brokenOff: 0, stops: 0, kills: 0, failed: [] };
  readonly #cluster: ProcessCluster;
  readonly #steady: readonly ProcessNode[];
  readonly #coming: readonly ProcessNode[];
  readonly #draws: { readonly images: Draws; readonly nodes: Draws };
  readonly #signal: AbortSignal;
  readonly #images: BuiltImage[] = [];
  readonly #away = new Set<ProcessNode>();

  /** Of `cluster`, whose first half of nodes stays up; until `signal` aborts. */
  constructor(cluster: ProcessCluster, draws: { images: Draws; nodes: Draws }, signal: AbortSignal) {
    this.#cluster = cluster;
    const half = Math.ceil(cluster.nodes.length / 2);
    this.#steady = cluster.nodes.slice(0, half);
    this.#coming = cluster.nodes.slice(half);
    this.#draws = draws;
    this.#signal = signal;
  }

  /** Churns until the signal; all nodes are up when it answers. */
  async run(): Promise<void> {
    await Promise.all([this.#imagesComeAndGo(), this.#nodesComeAndGo()]);
  }

  /** One image, everywhere: what a node loads at its first work is loaded. */
  async warmUp(): Promise<void> {
    await this.#bring(this.#cluster.nodes.slice(1));
  }

  async #imagesComeAndGo(): Promise<void> {
    while (!this.#signal.aborted) {
      const up = this.#cluster.nodes.filter(node => !this.#away.has(node));
      await this.#bring(this.#draws.images.some(up, PULLERS));
      if (this.#images.length > IMAGES_MAX) await this.#removeOldest();
      await this.#rest(REST_MS);
    }
  }

  async #bring(pullers: readonly ProcessNode[]): Promise<void> {
    const { images: draws } = this.#draws;
    const name = `soak-${this.done.images++}`;
    const image = await buildImage(join(this.#cluster.dir, 'images', name), {
      reference: `registry.example/soak/${name}:1`,
      layers: draws
        .some(LAYER_BYTES, 1 + draws.below(LAYER_BYTES.length))
        .map((randomBytes, at) => ({ randomBytes, seed: `${name} ${at}` })),
    });
    this.#images.push(image);
    const at = draws.pick(this.#steady);
    await pinnace('import', `oci:${image.dir}`, '--name', image.reference, '--config', at.config);
    await Promise.all(pullers.filter(node => node !== at).map(node => this.#pull(node, image)));
  }

  /** One pull, as containerd does it; each content is hashed. */
  async #pull(node: ProcessNode, image: BuiltImage): Promise<void> {
    const { pid } = node;
    try {
      await this.#heard(node, image.reference);
      const { bytes } = await pullImage(node.mirror, image.reference);
      this.done.pulls += 1;
      this.done.bytes += bytes;
    } catch (error) {
      if (this.#away.has(node) || node.pid !== pid) this.done.brokenOff += 1;
      else this.done.failed.push(`${node.name}, ${image.reference}: ${(error as Error).message}`);
    }
  }

  async #heard(node: ProcessNode, reference: string): Promise<void> {
    const [, repository, tag] = /^[^/]+\/(.+):(.+)$/.exec(reference) ?? [];
    const url = `${node.mirror}/v2/${repository}/manifests/${tag}?ns=registry.example`;
    for (const until = performance.now() + HEARD_MS; ; await delay(200)) {
      if ((await get(url, { method: 'HEAD' })).status === 200) return;
      if (performance.now() > until) throw new Error(`no word of it within ${HEARD_MS} ms`);
    }
  }

  /** Takes the oldest image out of all stores; it is made old enough there for its contents to go at once. */
  async #removeOldest(): Promise<void> {
    const image = this.#images.shift();
    if (!image) return;
    for (const node of this.#cluster.nodes) {
      const layout = join(node.stateDir, 'layout');
      for (const { digest } of image.contents)
        await utimes(blobPath(layout, digest), LONG_AGO_S, LONG_AGO_S).catch(() => undefined);
      const socket = join(node.stateDir, CONTROL_SOCKET);
      await ask({ socket, path: '/remove', body: { reference: image.reference } }).catch((error: unknown) => {
        // Not every node pulled it.
        if (!this.#away.has(node) && !hasCode(error, 'CONTENT_ABSENT'))
          this.done.failed.push(`${node.name}, removing: ${(error as Error).message}`);
      });
    }
    await rm(image.dir, { recursive: true });
    this.done.removed += 1;
  }

  async #nodesComeAndGo(): Promise<void> {
    const { nodes: draws } = this.#draws;
    while (!this.#signal.aborted) {
      await this.#rest(NODE_REST_MS);
      if (this.#signal.aborted) return;
      const going = draws.some(this.#coming, 1 + draws.below(2));
      await Promise.all(
        going.map(async node => {
          const killed = draws.below(2) === 0;
          const awayMs = draws.below(AWAY_MAX_MS);
          this.#away.add(node);
          await node.stop(killed ? 'SIGKILL' : 'SIGTERM');
          this.done[killed ? 'kills' : 'stops'] += 1;
          await this.#rest(awayMs);
          await node.start();
          this.#away.delete(node);
        }),
      );
    }
  }

  #rest(ms: number): Promise<void> {
    return delay(ms, undefined, { signal: this.#signal }).catch(() => undefined);
  }
}

/**
 * Rounds of one SIGKILL each: a node is given something to do, killed at a moment that the seed draws (at a time, or just
 * as a write shows), looked at as it lies, started again, and asked for all that it may have. Promises: what a round found
 * wrong is thrown with the round's name; every round begins with all nodes up.
 */
import assert from 'node:assert/strict';
import { type FSWatcher, existsSync, watch } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Draws } from '../draws.ts';
import { type BuiltImage, buildImage } from '../images.ts';
import { eventually, pinnace, type ProcessCluster, type ProcessNode } from '../nodes.ts';
import { get } from '../pull-client.ts';
import { Aftermath, halfWritten, rosterOnDisk, rostersWaiting } from './aftermath.ts';
import {
  askAll,
  giving,
  importing,
  pulling,
  rostering,
  starting,
  tagging,
  type Truth,
  truthOf,
  type Work,
} from './work.ts';

export const KINDS = ['pull', 'import', 'roster', 'tags', 'start', 'give'] as const;
export type Kind = (typeof KINDS)[number];

const KIB = 1024;
const HEARD_MS = 20_000;
/** Between a write that shows and the kill, at most, in milliseconds. */
const AFTER_WRITE_MS = 4;
/** Images that stay to be asked for again. */
const REMEMBERED = 4;

/** One kill: where it came. */
export interface Round {
  readonly kind: Kind;
  readonly victim: string;
  /** Milliseconds from the beginning of the work to the kill. */
  readonly afterMs: number;
  /** Files that it left half-written. */
  readonly half: readonly string[];
  /** From the start to ready, in milliseconds. */
  readonly readyMs: number;
}

export class KillRounds {
  readonly #cluster: ProcessCluster;
  readonly #draws: Draws;
  readonly #aftermaths = new Map<ProcessNode, Aftermath>();
  readonly #images: { readonly image: BuiltImage; readonly truth: Truth }[] = [];
  #made = 0;

  /** `cluster` has at least two nodes, all up. */
  constructor(cluster: ProcessCluster, draws: Draws) {
    this.#cluster = cluster;
    this.#draws = draws;
    for (const node of cluster.nodes) this.#aftermaths.set(node, new Aftermath(node));
  }

  /** Starts of all nodes that their logs tell of. */
  get starts(): number {
    return [...this.#aftermaths.values()].reduce((sum, { starts }) => sum + starts, 0);
  }

  /** One kill, in the middle of work of that kind. */
  async one(kind: Kind): Promise<Round> {
    const victim = this.#draws.pick(this.#cluster.nodes);
    const work = await this.#begin(kind, victim);
    const began = performance.now();
    const waiting = await rostersWaiting(victim);
    const moment = this.#moment(victim, work);
    const dropped = new Set(waiting);
    const noting = setInterval(() => void rostersWaiting(victim).then(all => all.forEach(seq => dropped.add(seq))), 50);
    await moment;
    clearInterval(noting);
    work.beside?.kill('SIGKILL');
    await victim.stop('SIGKILL');
    const afterMs = Math.round(performance.now() - began);
    await work.end();

    const left = await rostersWaiting(victim);
    const taken = Math.max(0, ...[...dropped].filter(seq => !left.includes(seq)));
    const half = await halfWritten(victim);
    const all = this.#images.map(({ image }) => image);
    await this.#aftermaths.get(victim)?.check(all);
    if (existsSync(join(victim.stateDir, 'roster.jwt')))
      assert.ok((await rosterOnDisk(victim)) >= taken, `roster ${taken} was taken, and is lost`);
    const restarted = performance.now();
    await victim.start();
    const readyMs = Math.round(performance.now() - restarted);
    assert.ok((await victim.status()).roster.seq >= taken, `roster ${taken} was taken, and is not in force`);
    await this.#settled(victim);
    return { kind, victim: victim.name, afterMs, half, readyMs };
  }

  /** Brings a new image to one node, which all pull: the cluster is as good as new. */
  async pullEverywhere(): Promise<void> {
    const made = await this.#image();
    const [first, ...others] = this.#cluster.nodes;
    if (first) await this.#give(first, others, made.image);
    for (const node of others)
      await eventually(`${node.name} has all of ${made.image.reference}`, HEARD_MS, async () => {
        const whole = await askAll(node, made.image, made.truth);
        return whole === made.image.contents.length || undefined;
      });
    for (const node of this.#cluster.nodes) await this.#aftermaths.get(node)?.check([made.image]);
  }

  async #begin(kind: Kind, victim: ProcessNode): Promise<Work> {
    const others = this.#cluster.nodes.filter(node => node !== victim);
    const fresh = async (at: ProcessNode, hearers: readonly ProcessNode[]) => {
      const made = await this.#image();
      await this.#give(at, hearers, made.image);
      return made;
    };
    switch (kind) {
      case 'pull': {
        const { image, truth } = await fresh(this.#draws.pick(others), [victim]);
        return pulling(victim, image, truth);
      }
      case 'give': {
        const { image, truth } = await fresh(victim, others);
        return giving(others, image, truth);
      }
      case 'import':
        return importing(victim, (await this.#image()).image);
      case 'roster':
        return rostering(victim, join(this.#cluster.dir, 'cluster'));
      case 'tags': {
        const { image } = await fresh(victim, []);
        return tagging(victim, image.reference);
      }
      case 'start':
        await victim.stop();
        return starting(victim);
    }
  }

  async #image(): Promise<{ readonly image: BuiltImage; readonly truth: Truth }> {
    const name = `kill-${++this.#made}`;
    const image = await buildImage(join(this.#cluster.dir, 'images', name), {
      reference: `registry.example/kills/${name}:1`,
      layers: [200 * KIB, 1500 * KIB, 3000 * KIB].map((randomBytes, at) => ({ randomBytes, seed: `${name} ${at}` })),
    });
    const made = { image, truth: await truthOf(image) };
    this.#images.push(made);
    if (this.#images.length > REMEMBERED) this.#images.shift();
    return made;
  }

  /** Imports an image at one node, until the others know its tag and who holds it. */
  async #give(at: ProcessNode, hearers: readonly ProcessNode[], image: BuiltImage): Promise<void> {
    await pinnace('import', `oci:${image.dir}`, '--name', image.reference, '--config', at.config);
    const [, repository, tag] = /^[^/]+\/(.+):(.+)$/.exec(image.reference) ?? [];
    for (const node of hearers)
      await eventually(`${node.name} hears of ${image.reference}`, HEARD_MS, async () => {
        const url = `${node.mirror}/v2/${repository}/manifests/${tag}?ns=registry.example`;
        return (await get(url, { method: 'HEAD' })).status === 200 || undefined;
      });
  }

  /** When to kill: at a time, or a few milliseconds after a write of the work showed; the draws say which and when. */
  async #moment(victim: ProcessNode, { shows, lastsMs }: Work): Promise<void> {
    const aimed = this.#draws.below(3) > 0;
    const after = this.#draws.below(aimed ? AFTER_WRITE_MS + 1 : lastsMs);
    const skipped = this.#draws.below(4);
    if (!aimed) return delay(after);
    const shown = Promise.withResolvers<void>();
    const watchers: FSWatcher[] = [];
    let writes = 0;
    for (const { folder, name } of shows)
      if (existsSync(join(victim.stateDir, folder)))
        watchers.push(
          watch(join(victim.stateDir, folder), (_, file) => {
            if (file && name.test(file) && ++writes > skipped) shown.resolve();
          }),
        );
    const late = setTimeout(() => shown.resolve(), lastsMs);
    await shown.promise;
    clearTimeout(late);
    for (const watcher of watchers) watcher.close();
    await delay(after);
  }

  /** After the start: everything that the node answers is right, and it comes to the newest roster by itself. */
  async #settled(victim: ProcessNode): Promise<void> {
    for (const { image, truth } of this.#images) await askAll(victim, image, truth);
    const newest = await eventually('the newest roster is everywhere', HEARD_MS, async () => {
      const seqs = await Promise.all(this.#cluster.nodes.map(async node => (await node.status()).roster.seq));
      const waiting = await rostersWaiting(victim);
      return seqs.every(seq => seq === seqs[0]) && waiting.length === 0 ? seqs[0] : undefined;
    });
    assert.ok((await rosterOnDisk(victim)) <= newest);
    await this.#aftermaths.get(victim)?.check(this.#images.map(({ image }) => image));
  }
}

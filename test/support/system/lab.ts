/**
 * A small datacentre for one test: machines, containerds, registries, nodes and images that go when the test ends, in the
 * reverse order of their making. Promises: nothing stays, whatever fails; a failing test shows the logs of all that ran.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BuiltImage, buildBusyboxImage, buildImage, type ImageSpec, writeOciArchive } from '../images.ts';
import { type Containerd, type ContainerdOptions, PAUSE_IMAGE, startContainerd } from './containerd.ts';
import { type Host, makeNetwork, type Network } from './netns.ts';
import { type ClusterFolder, initCluster, type NodeOptions, type PinnaceNode, prepareNode } from './node.ts';
import type { ContainerdVersion, Ready } from './packages.ts';
import { type Registry, startRegistry } from './registry.ts';

type Programs = Extract<Ready, { ok: true }>;

export interface Lab {
  /** A folder of the test's own. */
  readonly folder: string;
  readonly network: Network;
  /** The machine of this name, made when it is first asked for. */
  host(label: string): Promise<Host>;
  /** Starts a containerd on the machine `label`. */
  containerd(label: string, version: ContainerdVersion, more?: Partial<ContainerdOptions>): Promise<Containerd>;
  /** Puts the image that pods are made around into a containerd. */
  pause(containerd: Containerd): Promise<void>;
  /** Starts a registry on the machine `label`. */
  registry(label: string, port?: number): Promise<Registry>;
  /** The lab's cluster, made when it is first asked for. */
  cluster(): Promise<ClusterFolder>;
  /** Makes a node named as its machine, and starts it unless `started` is false. */
  node(
    label: string,
    options: Omit<NodeOptions, 'name' | 'host' | 'cluster'> & { readonly started?: boolean },
  ): Promise<PinnaceNode>;
  /** Builds an image in the lab's layout. */
  image(spec: ImageSpec): Promise<BuiltImage>;
  /** Builds a runnable image around busybox. */
  busybox(reference: string): Promise<BuiltImage>;
  /** Writes an image as oci-archive; answers its path. */
  archive(image: BuiltImage): Promise<string>;
  /** Runs at the end, before what was made earlier goes. */
  atEnd(work: () => Promise<void>): void;
}

const once = <T>(make: () => Promise<T>): (() => Promise<T>) => {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
};

/** What the lab can show of everything that ran in it. */
type Logs = Map<string, () => string>;
const SHOWN_LOG_CHARACTERS = 6_000;

function show(logs: Logs): void {
  for (const [name, log] of logs) console.log(`# log of ${name}:\n${log().slice(-SHOWN_LOG_CHARACTERS)}`);
}

function labOver(programs: Programs, folder: string, network: Network, ends: (() => Promise<void>)[], logs: Logs): Lab {
  const hosts = new Map<string, Promise<Host>>();
  const host = (label: string): Promise<Host> => {
    const made = hosts.get(label) ?? network.add(label);
    hosts.set(label, made);
    return made;
  };
  const layout = join(folder, 'images');
  const cluster = once(() => initCluster(join(folder, 'cluster')));
  let archives = 0;
  const archive = async (image: BuiltImage): Promise<string> => {
    const path = join(folder, `image-${archives++}.tar`);
    await writeOciArchive(image, path);
    return path;
  };
  const busybox = async (reference: string, command?: readonly string[]): Promise<BuiltImage> => {
    const built = await buildBusyboxImage(layout, reference, command ? { command } : {});
    if (!built) throw new Error('no busybox here: install busybox-static');
    return built;
  };
  const pause = once(async () => archive(await busybox(PAUSE_IMAGE, ['/bin/sleep', '100000'])));
  return {
    folder,
    network,
    host,
    async containerd(label, version, more = {}) {
      const { netns } = await host(label);
      const started = await startContainerd({ binaries: programs.containerd[version], netns, ...more });
      ends.push(() => started.remove());
      logs.set(`containerd ${version} on ${label}`, () => started.log());
      return started;
    },
    pause: async containerd => containerd.load(await pause()),
    async registry(label, port) {
      const started = await startRegistry(await host(label), port);
      ends.push(() => started.remove());
      logs.set(`the registry on ${label}`, () => started.log());
      return started;
    },
    cluster,
    async node(label, { started = true, ...options }) {
      const on = { name: label, host: await host(label), cluster: await cluster() };
      const node = await prepareNode(join(folder, `node-${label}`), { ...options, ...on });
      ends.push(() => node.stop());
      logs.set(`node ${label}`, () => node.log());
      if (started) await node.start();
      return node;
    },
    image: spec => buildImage(layout, spec),
    busybox: reference => busybox(reference),
    archive,
    atEnd: work => void ends.push(work),
  };
}

/** A lab that is taken away by hand. */
export interface OpenLab {
  readonly lab: Lab;
  /** Takes everything away; where the test `failed`, all logs are shown first. */
  close(failed: boolean): Promise<void>;
}

/** Opens a lab for a test that must see to its end itself. */
export async function openLab(programs: Programs): Promise<OpenLab> {
  const folder = await mkdtemp(join(tmpdir(), 'pinnace-lab-'));
  const network = await makeNetwork();
  const ends = [() => rm(folder, { recursive: true, force: true }), () => network.remove()];
  const logs: Logs = new Map();
  return {
    lab: labOver(programs, folder, network, ends, logs),
    async close(failed) {
      if (failed) show(logs);
      const errors: unknown[] = [];
      for (const end of ends.splice(0).reverse()) await end().catch((error: unknown) => errors.push(error));
      if (errors.length) throw new AggregateError(errors, 'the lab could not be taken away');
    },
  };
}

/** Runs `body` in a lab of its own; shows all logs where it fails, and takes everything away in any case. */
export async function withLab(programs: Programs, body: (lab: Lab) => Promise<void>): Promise<void> {
  const open = await openLab(programs);
  try {
    await body(open.lab);
  } catch (error) {
    // What the test found matters more than what its end may stumble over.
    await open.close(true).catch((more: unknown) => console.log('#', more));
    throw error;
  }
  await open.close(false);
}

/**
 * A machine as it stands in a cluster: its containerd, and its node beside it that containerd asks first. Promises: what a
 * containerd holds is compared byte by byte with what was built. Refuses to know how a test goes.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { type Descriptor, type Digest, hexOf } from '../../../src/oci/oci.ts';
import { type BuiltImage, blobPath, HOST_ARCHITECTURE } from '../images.ts';
import type { Containerd, ContainerdOptions } from './containerd.ts';
import type { Lab } from './lab.ts';
import { MIRROR, type NodeOptions, type PinnaceNode } from './node.ts';
import type { ContainerdVersion } from './packages.ts';
import { until } from './processes.ts';

export interface Machine {
  readonly containerd: Containerd;
  readonly node: PinnaceNode;
}

export interface MachineOptions
  extends Pick<NodeOptions, 'policy' | 'policyFiles' | 'lie' | 'lieFrom' | 'asksFirst' | 'spool'> {
  readonly version: ContainerdVersion;
  /** Labels of the machines whose nodes are asked first. */
  readonly bootstrap?: readonly string[];
  /** The registry that containerd asks the node's mirror about. */
  readonly registry: string;
  /** `address:port` of that registry itself; left out: nobody answers there. */
  readonly upstream?: string;
  readonly more?: Partial<ContainerdOptions>;
}

/** containerd has collected its garbage within so many ms after a removal. */
const COLLECTED_MS = 15_000;

/** Starts a containerd on the machine `label` and a node over it. */
export async function machine(lab: Lab, label: string, options: MachineOptions): Promise<Machine> {
  const { version, bootstrap = [], registry, upstream, more, ...rest } = options;
  const containerd = await lab.containerd(label, version, more);
  await containerd.hosts(registry, { mirror: MIRROR, ...(upstream ? { upstream } : {}) });
  const first = await Promise.all(bootstrap.map(name => lab.host(name)));
  const node = await lab.node(label, { ...rest, containerd, bootstrap: first });
  return { containerd, node };
}

/** Each of the machines is connected to all others. */
export async function joined(...machines: readonly { readonly node: PinnaceNode }[]): Promise<void> {
  const nodes = machines.map(({ node }) => node);
  for (const node of nodes) await node.sees(...nodes.filter(other => other !== node).map(({ name }) => name));
}

/** What a pull on this machine must bring: of an index the own platform alone. */
export function ownContents({ target, manifests }: BuiltImage): readonly Descriptor[] {
  const own = manifests.filter(({ platform }) => platform === `linux/${HOST_ARCHITECTURE}`);
  const all = [target, ...own.flatMap(({ manifest, config, layers }) => [manifest, config, ...layers])];
  return [...new Map(all.map(content => [content.digest, content])).values()];
}

/** The file of a content in a containerd's store. */
export const fileOf = ({ content }: Containerd, digest: Digest): string => blobPath(content, digest);

async function hexOfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** Asserts that a containerd knows `image` by its reference and holds what a pull must bring, byte by byte. */
export async function assertHolds(containerd: Containerd, image: BuiltImage, by = image.reference): Promise<void> {
  assert.match(await containerd.ctr('images', 'ls', `name==${by}`), new RegExp(image.digest));
  for (const { digest, size } of ownContents(image)) {
    const path = fileOf(containerd, digest);
    assert.equal((await stat(path)).size, size);
    assert.equal(await hexOfFile(path), hexOf(digest));
  }
}

/** Removes an image as the kubelet does and waits until its layers are off the disk. */
export async function removeImage(containerd: Containerd, image: BuiltImage): Promise<void> {
  await until('the kubelet knows the image', COLLECTED_MS, async () =>
    (await containerd.cri.images()).some(({ repo_tags }) => repo_tags.includes(image.reference)),
  );
  await containerd.cri.remove(image.reference);
  const gone = async (): Promise<boolean> => {
    for (const { digest } of ownContents(image)) {
      const there = await stat(fileOf(containerd, digest)).then(
        () => true,
        () => false,
      );
      if (there) return false;
    }
    return true;
  };
  await until(`the contents of ${image.reference} are collected`, COLLECTED_MS, gone);
}

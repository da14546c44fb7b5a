/**
 * Where `pinnace pins` takes images from: the command line, Kubernetes manifests, a node's own store. Promises: what says
 * nothing of a registry, or is no reference, is handed out with the reason, never left out unseen. Refuses to ask a registry.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { asMirrorError, MirrorError } from '../errors.ts';
import { attachmentTag, formatReference } from '../oci/oci.ts';
import { realDisk } from '../store/disk.ts';
import { openLayout } from '../store/layout.ts';
import type { Store } from '../store/store.ts';
import { readText } from './bounded-file.ts';
import type { Command, Io } from './command.ts';
import { type Config, LAYOUT_DIR, loadConfig } from './config.ts';
import { CONFIG_DEFAULT } from './control-client.ts';
import { kubeImages, type NamedImage, readImage } from './kube-images.ts';

/** The largest file of manifests, in bytes. */
export const MANIFESTS_MAX_BYTES = 64 << 20;

/** An image, and where it was named. */
export interface Sourced extends NamedImage {
  readonly from: string;
}

export const SOURCE_OPTIONS: Command['options'] = {
  manifests: { type: 'string', multiple: true },
  'from-node': { type: 'boolean' },
  config: { type: 'string' },
};
export const SOURCE_USAGE = `  --manifests F  a file of Kubernetes manifests (YAML or JSON), or a folder of them; may stand several times
  --from-node    the images in the store of this machine's node, whether it runs or not
  --config FILE  that node's configuration (default ${CONFIG_DEFAULT})
`;

/** All images of the sources that a command line names; `references` stand on it themselves. @throws USAGE where it names none */
export async function sourcedImages(
  references: readonly string[],
  values: Readonly<Record<string, unknown>>,
  io: Io,
): Promise<readonly Sourced[]> {
  const manifests = (values.manifests ?? []) as readonly string[];
  if (!references.length && !manifests.length && values['from-node'] !== true)
    throw new MirrorError('USAGE', 'name images, or give --manifests FILE or --from-node');
  const images: Sourced[] = references.map(text => ({ ...readImage(text), from: 'the command line' }));
  for (const path of manifests)
    for (const file of await manifestFiles(path))
      for (const image of kubeImages(await readText(file, MANIFESTS_MAX_BYTES), file))
        images.push({ ...image, from: file });
  if (values['from-node'] === true) images.push(...(await nodeImages(values, io)));
  return images;
}

/** The file itself, or the manifests that lie in a folder. */
async function manifestFiles(path: string): Promise<readonly string[]> {
  const facts = await realDisk.facts(path);
  if (facts?.kind !== 'folder') return [path];
  const names = await readdir(path).catch((error: unknown) => {
    throw asMirrorError(error, 'FILE_UNREADABLE', `cannot read the folder ${path}`);
  });
  return names
    .filter(name => /\.(?:ya?ml|json)$/.test(name))
    .sort()
    .map(name => join(path, name));
}

async function nodeImages({ config }: Readonly<Record<string, unknown>>, io: Io): Promise<readonly Sourced[]> {
  const file = typeof config === 'string' ? config : CONFIG_DEFAULT;
  const store = await openStoreOf(await loadConfig(file, path => readFile(path, 'utf8')), io);
  const images = await store.images();
  // Names of signatures are no images.
  return images
    .filter(({ reference: { tag } }) => tag === undefined || !attachmentTag(tag))
    .map(({ reference, target }) => {
      const named = { ...reference, digest: target.digest };
      return { text: formatReference(named), reference: named, from: `the store of ${file}` };
    });
}

/** The store of a node, by its configuration. @throws CONFIG_INVALID, STATE_INVALID, STATE_NEWER, FILE_UNREADABLE */
export async function openStoreOf({ store, stateDir }: Pick<Config, 'store' | 'stateDir'>, io: Io): Promise<Store> {
  if (store.kind === 'layout') return openLayout(realDisk, resolve(stateDir, LAYOUT_DIR), io.world);
  const { createContainerdStore } = await import('../store/containerd.ts');
  const quiet = (): undefined => undefined;
  const log = { debug: quiet, info: quiet, warn: (_: object, text: string) => io.err(`${text}\n`) };
  return createContainerdStore({ ...store, world: io.world, log });
}

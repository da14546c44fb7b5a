/**
 * Images for tests, built in OCI image layouts: generated ones, one made of this machine's files, a runnable one.
 * Promises: the same specification gives the same digests (machine files aside). Refuses to know who stores or pulls
 * them. Build one image at a time in one folder. Spec: OCI image-spec image-layout.md; Docker Image Manifest V2 Schema 2.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Descriptor,
  type Digest,
  DOCKER_CONFIG,
  DOCKER_LAYER_GZIP,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  digestOf,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_LAYER_GZIP,
  OCI_MANIFEST,
} from '../../src/oci/oci.ts';
import { type BuiltLayer, blobPath, buildLayer, type FileSpec, type LayerSpec } from './image-layers.ts';

export { blobPath } from './image-layers.ts';
export { writeDockerArchive, writeOciArchive } from './image-archives.ts';

export interface ImageSpec {
  /** `registry/repository:tag`; it becomes the name in `index.json`. */
  readonly reference: string;
  readonly layers: readonly LayerSpec[];
  /** `os/architecture[/variant]`; given: an index over one manifest each. Not given: one manifest of this machine's. */
  readonly platforms?: readonly string[];
  /** Docker's media types instead of OCI's; layers are then gzip. */
  readonly dockerSchema2?: boolean;
  readonly command?: readonly string[];
  /** Compress layers; off unless said. */
  readonly gzip?: boolean;
  /** More for the config's `config`. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** One platform's manifest. */
export interface BuiltManifest {
  readonly platform: string;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly built: readonly BuiltLayer[];
}

export interface BuiltImage {
  readonly dir: string;
  readonly reference: string;
  /** What the reference names: the index where there are platforms, else the manifest. */
  readonly target: Descriptor;
  readonly digest: Digest;
  /** Bytes of the whole closure as stored, each content once. */
  readonly bytes: number;
  readonly manifests: readonly BuiltManifest[];
  /** The closure: index, manifests, configs, layers; each content once. */
  readonly contents: readonly Descriptor[];
}

/** This machine's architecture as images call it. */
export const HOST_ARCHITECTURE: string = process.arch === 'x64' ? 'amd64' : process.arch;

const MEDIA_TYPES = {
  oci: { index: OCI_INDEX, manifest: OCI_MANIFEST, config: OCI_CONFIG, plain: OCI_LAYER, gzip: OCI_LAYER_GZIP },
  docker: { index: DOCKER_LIST, manifest: DOCKER_MANIFEST, config: DOCKER_CONFIG, plain: '', gzip: DOCKER_LAYER_GZIP },
} as const;

/** Writes `bytes` as a content of the layout `dir`. */
export async function putContent(dir: string, mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
  const digest = digestOf(bytes);
  await mkdir(join(dir, 'blobs', 'sha256'), { recursive: true });
  await writeFile(blobPath(dir, digest), bytes);
  return { mediaType, digest, size: bytes.length };
}

const putJson = (dir: string, mediaType: string, value: unknown): Promise<Descriptor> =>
  putContent(dir, mediaType, Buffer.from(JSON.stringify(value)));

function platformOf(text: string): { os: string; architecture: string; variant?: string } {
  const [os = 'linux', architecture = HOST_ARCHITECTURE, variant] = text.split('/');
  return { os, architecture, ...(variant ? { variant } : {}) };
}

async function buildManifest(dir: string, spec: ImageSpec, platform: string): Promise<BuiltManifest> {
  const types = MEDIA_TYPES[spec.dockerSchema2 ? 'docker' : 'oci'];
  const gzip = spec.gzip === true || spec.dockerSchema2 === true;
  const built: BuiltLayer[] = [];
  for (const [at, layer] of spec.layers.entries()) {
    // Random layers differ between platforms, layers of files are shared, as with real images.
    const seed = `${layer.seed ?? at}${spec.platforms ? ` ${platform}` : ''}`;
    built.push(await buildLayer(dir, { ...layer, seed }, gzip));
  }
  const config = await putJson(dir, types.config, {
    ...platformOf(platform),
    created: '1970-01-01T00:00:00Z',
    config: { ...spec.config, ...(spec.command ? { Cmd: spec.command } : {}) },
    rootfs: { type: 'layers', diff_ids: built.map(layer => layer.diffId) },
    history: built.map((_, at) => ({ created: '1970-01-01T00:00:00Z', created_by: `layer ${at}` })),
  });
  const mediaType = gzip ? types.gzip : types.plain;
  const layers = built.map(({ digest, size }) => ({ mediaType, digest, size }));
  const manifest = await putJson(dir, types.manifest, { schemaVersion: 2, mediaType: types.manifest, config, layers });
  return { platform, manifest, config, layers, built };
}

/** Names `target` in the layout's `index.json`; a name that was there is moved. */
export async function nameInLayout(dir: string, reference: string, target: Descriptor): Promise<void> {
  const NAME = 'org.opencontainers.image.ref.name';
  interface Entry extends Descriptor {
    readonly annotations?: Readonly<Record<string, string>>;
  }
  const path = join(dir, 'index.json');
  const before = existsSync(path) ? (JSON.parse(await readFile(path, 'utf8')) as { manifests: Entry[] }).manifests : [];
  const annotations = { [NAME]: reference, 'io.containerd.image.name': reference };
  const manifests = [...before.filter(entry => entry.annotations?.[NAME] !== reference), { ...target, annotations }];
  await writeFile(`${path}.part`, JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
  await rename(`${path}.part`, path);
  await writeFile(join(dir, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
}

/** Builds an image in the OCI layout `dir` (made where missing; other images in it stay). */
export async function buildImage(dir: string, spec: ImageSpec): Promise<BuiltImage> {
  await mkdir(dir, { recursive: true });
  const manifests: BuiltManifest[] = [];
  for (const platform of spec.platforms ?? [`linux/${HOST_ARCHITECTURE}`])
    manifests.push(await buildManifest(dir, spec, platform));
  const [only] = manifests;
  if (!only) throw new Error('an image needs at least one platform');
  const mediaType = MEDIA_TYPES[spec.dockerSchema2 ? 'docker' : 'oci'].index;
  const list = manifests.map(({ manifest, platform }) => ({ ...manifest, platform: platformOf(platform) }));
  const target = spec.platforms
    ? await putJson(dir, mediaType, { schemaVersion: 2, mediaType, manifests: list })
    : only.manifest;
  await nameInLayout(dir, spec.reference, target);
  const closure = [target, ...manifests.flatMap(m => [m.manifest, m.config, ...m.layers])];
  const contents = [...new Map(closure.map(content => [content.digest, content])).values()];
  const bytes = contents.reduce((sum, { size }) => sum + size, 0);
  return { dir, reference: spec.reference, target, digest: target.digest, bytes, manifests, contents };
}

/** Files of `folders` (not links), in order of their names, as many as make up at most `bytes`. */
async function someFiles(folders: readonly string[], bytes: number): Promise<Record<string, FileSpec>> {
  const files: Record<string, FileSpec> = {};
  let sum = 0;
  for (const folder of folders) {
    const entries = (await readdir(folder, { withFileTypes: true })).filter(entry => entry.isFile());
    for (const { name } of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const from = join(folder, name);
      const { size, mode } = await stat(from);
      if (size === 0 || sum + size > bytes || !(mode & 0o004)) continue;
      files[from.slice(1)] = { from };
      sum += size;
    }
  }
  return files;
}

/**
 * A real image of at least 100 MB in three layers, for this machine's platform and another one, made of this machine's own
 * files; its digest varies by machine.
 */
export async function buildMachineImage(dir: string, reference: string, gzip = false): Promise<BuiltImage> {
  const library = `/usr/lib/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu`;
  const layers: LayerSpec[] = [
    { files: await someFiles(['/usr/bin'], 12 << 20) },
    { files: await someFiles([library].filter(existsSync), 16 << 20) },
    { files: { 'usr/local/bin/node': { from: process.execPath, mode: 0o755 } } },
  ];
  const other = HOST_ARCHITECTURE === 'arm64' ? 'amd64' : 'arm64';
  const platforms = [`linux/${HOST_ARCHITECTURE}`, `linux/${other}`];
  return buildImage(dir, { reference, layers, gzip, platforms, command: ['/usr/local/bin/node'] });
}

/** A runnable image around a statically linked busybox; undefined where this machine has none (package busybox-static). */
export async function buildBusyboxImage(
  dir: string,
  reference: string,
  more: Partial<Pick<ImageSpec, 'layers' | 'command' | 'dockerSchema2' | 'gzip'>> = {},
): Promise<BuiltImage | undefined> {
  const from = ['/bin/busybox', '/usr/bin/busybox'].find(existsSync);
  if (!from) return undefined;
  const files: Record<string, FileSpec> = { 'bin/busybox': { from, mode: 0o755 } };
  for (const name of ['sh', 'cat', 'echo', 'ls', 'sleep', 'true', 'sha256sum', 'wget'])
    files[`bin/${name}`] = { link: 'busybox' };
  files['etc/passwd'] = 'root:x:0:0:root:/:/bin/sh\n';
  return buildImage(dir, {
    command: ['/bin/sh'],
    ...more,
    reference,
    layers: [{ files }, ...(more.layers ?? [])],
    config: { Env: ['PATH=/bin'] },
  });
}

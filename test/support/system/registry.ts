/**
 * A real registry (Debian's docker-registry) on a machine of the test's network, without TLS. Promises: ended by pid, its
 * folder removed; what is pushed keeps its digests. Refuses to know mirrors.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Descriptor, isManifestType, parseTagReference } from '../../../src/oci/oci.ts';
import { type BuiltImage, blobPath } from '../images.ts';
import { type Answer, request } from './http.ts';
import type { Host } from './netns.ts';
import { type Started, start, until } from './processes.ts';

export interface Registry {
  /** `address:port`, reached from every machine of the network. */
  readonly endpoint: string;
  /**
   * Pushes an image, byte for byte, under the repository and tag of its own reference, or of `reference`; the registry's host
   * in it is left aside.
   */
  push(image: BuiltImage, reference?: string): Promise<void>;
  /** Ends it; nobody answers at its port any more. */
  stop(): Promise<void>;
  /** Starts it again with what it had. */
  start(): Promise<void>;
  log(): string;
  remove(): Promise<void>;
}

const READY_TIMEOUT_MS = 15_000;

const configuration = (folder: string, endpoint: string): string =>
  `version: 0.1
log: {level: info}
storage:
  filesystem: {rootdirectory: ${JSON.stringify(join(folder, 'data'))}}
http:
  addr: ${endpoint}
`;

function expectStatus(status: number, answer: Answer): void {
  if (answer.status !== status)
    throw new Error(`the registry answers ${answer.status}, not ${status}: ${answer.body.toString().slice(0, 500)}`);
}

/** Uploads one blob, whole, in the protocol's two steps. Spec: OCI distribution-spec, "Pushing blobs". */
export async function pushBlob(netns: string, base: string, blob: Descriptor, path: string): Promise<void> {
  const begun = await request(netns, `${base}/blobs/uploads/`, { method: 'POST' });
  expectStatus(202, begun);
  const location = new URL(begun.headers.location ?? '', base);
  location.searchParams.set('digest', blob.digest);
  const headers = { 'content-type': 'application/octet-stream' };
  expectStatus(201, await request(netns, location.href, { method: 'PUT', headers, upload: path }));
}

/** Starts a registry on `host` at `port`. */
export async function startRegistry(host: Host, port = 5000): Promise<Registry> {
  const folder = await mkdtemp(join(tmpdir(), 'pinnace-registry-'));
  const endpoint = `${host.address}:${port}`;
  const config = join(folder, 'config.yml');
  await writeFile(config, configuration(folder, endpoint));
  let daemon: Started | undefined;
  const log = (): string => daemon?.log() ?? '';
  const begin = async (): Promise<void> => {
    const started = await start(['docker-registry', 'serve', config], { netns: host.netns });
    daemon = started;
    const answers = async (): Promise<boolean> =>
      started.running && (await request(host.netns, `http://${endpoint}/v2/`)).status === 200;
    await until('the registry answers', READY_TIMEOUT_MS, answers, log);
  };
  const stop = async (): Promise<void> => daemon?.stop();
  const remove = async (): Promise<void> => {
    await stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await begin();
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    endpoint,
    async push(image, reference = image.reference) {
      const { repository, tag } = parseTagReference(reference);
      const base = `http://${endpoint}/v2/${repository}`;
      const manifests = image.contents.filter(({ mediaType }) => isManifestType(mediaType));
      for (const blob of image.contents.filter(content => !manifests.includes(content)))
        await pushBlob(host.netns, base, blob, blobPath(image.dir, blob.digest));
      // The closure is told from the top down; a registry wants what a manifest names before the manifest.
      for (const manifest of manifests.toReversed()) {
        const name = manifest.digest === image.digest ? tag : manifest.digest;
        const headers = { 'content-type': manifest.mediaType };
        const upload = blobPath(image.dir, manifest.digest);
        expectStatus(201, await request(host.netns, `${base}/manifests/${name}`, { method: 'PUT', headers, upload }));
      }
    },
    stop,
    start: begin,
    log,
    remove,
  };
}

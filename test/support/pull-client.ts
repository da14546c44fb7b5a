/**
 * A client that pulls as containerd does: HEAD for a tag, then everything by digest, three blobs at once, each hashed; a
 * body that ends early is taken up again by Range, and "not here" ends the pull. Promises: counts every byte of a body
 * that came over its sockets. Refuses to know Pinnace.
 */
import { createHash } from 'node:crypto';
import { type IncomingHttpHeaders, request } from 'node:http';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  isIndexType,
  isManifestType,
  parseManifest,
  parseReference,
} from '../../src/oci/oci.ts';

const AT_ONCE = 3;
/** Times that one body is taken up again. */
const RESUMES_MAX = 20;

export interface ClientAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** False where the connection ended before all promised bytes came. */
  readonly whole: boolean;
}

export interface GetOptions {
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  readonly onBytes?: (bytes: Buffer) => void;
  /** Keep no body. */
  readonly discard?: boolean;
}

/** One request to `http://host:port/…`; never throws for what a server answers. */
export function get(
  url: string,
  { method = 'GET', headers = {}, onBytes, discard }: GetOptions = {},
): Promise<ClientAnswer> {
  return new Promise((done, failed) => {
    const client = request(url, { method, headers, agent: false }, response => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => {
        onBytes?.(part);
        if (!discard) parts.push(part);
      });
      response.on('error', () => undefined);
      response.on('close', () =>
        done({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(parts),
          whole: response.complete,
        }),
      );
    });
    client.on('error', failed);
    client.end();
  });
}

export interface PullResult {
  readonly digest: Digest;
  /** Bytes of all bodies received, manifests included. */
  readonly bytes: number;
  readonly seconds: number;
  readonly contents: readonly Digest[];
}

/** Why a pull ended without the image, and how many bytes of blobs it was given. */
export class PullFailed extends Error {
  readonly status: number;
  readonly blobBytes: number;

  constructor(what: string, status: number, blobBytes: number) {
    super(what);
    this.status = status;
    this.blobBytes = blobBytes;
  }
}

export interface PullOptions {
  readonly architecture?: string;
  /** Called as bytes of a blob arrive: its descriptor, and how many so far. */
  readonly progress?: (blob: Descriptor, done: number) => void;
}

/** Pulls `reference` through the mirror at `base` (`http://host:port`). @throws PullFailed */
export async function pullImage(base: string, reference: string, options: PullOptions = {}): Promise<PullResult> {
  const began = performance.now();
  const { registry, repository, tag, digest } = parseReference(reference);
  const url = (kind: string, what: string): string =>
    `${base}/v2/${repository}/${kind}/${what}?ns=${encodeURIComponent(registry)}`;
  const count = { all: 0, blobs: 0 };
  const manifest = async (what: Digest): Promise<Buffer> => {
    const answer = await get(url('manifests', what));
    if (answer.status !== 200) throw new PullFailed(`manifest ${what}: ${answer.status}`, answer.status, count.blobs);
    count.all += answer.body.length;
    check(what, createHash('sha256').update(answer.body).digest('hex'));
    return answer.body;
  };
  const head = await get(url('manifests', digest ?? tag ?? 'latest'), { method: 'HEAD' });
  if (head.status !== 200) throw new PullFailed(`${reference}: ${head.status}`, head.status, 0);
  const root = head.headers['docker-content-digest'] as Digest;
  const contents = [root];
  const blobs: Descriptor[] = [];
  const first = parseManifest(await manifest(root));
  const images = isIndexType(first.mediaType)
    ? childrenOf(first).filter(
        ({ platform }) => platform?.architecture === (options.architecture ?? hostArchitecture()),
      )
    : [];
  for (const image of images) {
    contents.push(image.digest);
    blobs.push(...childrenOf(parseManifest(await manifest(image.digest))));
  }
  if (first.kind === 'image') blobs.push(...childrenOf(first));
  contents.push(...blobs.map(blob => blob.digest));
  const [config, ...layers] = blobs.filter(({ mediaType }) => !isManifestType(mediaType));
  const take = async (blob: Descriptor): Promise<void> => {
    await pullBlob(url('blobs', blob.digest), blob, count, options);
  };
  // The config comes first, alone: so does containerd.
  if (config) await take(config);
  const worker = async (): Promise<void> => {
    for (let layer = layers.shift(); layer; layer = layers.shift()) await take(layer);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { digest: root, bytes: count.all, seconds: (performance.now() - began) / 1000, contents };
}

async function pullBlob(
  url: string,
  blob: Descriptor,
  count: { all: number; blobs: number },
  { progress }: PullOptions,
): Promise<void> {
  const hash = createHash('sha256');
  let got = 0;
  for (let times = 0; got < blob.size || times === 0; times++) {
    const headers: Record<string, string> = got > 0 ? { range: `bytes=${got}-` } : {};
    const answer = await get(url, {
      headers,
      discard: true,
      onBytes: bytes => {
        hash.update(bytes);
        got += bytes.length;
        count.all += bytes.length;
        count.blobs += bytes.length;
        progress?.(blob, got);
      },
    });
    if (answer.status !== (headers.range ? 206 : 200) || times > RESUMES_MAX)
      throw new PullFailed(`${blob.digest}: ${answer.status}`, answer.status, count.blobs);
  }
  check(blob.digest, hash.digest('hex'));
}

const hostArchitecture = (): string => (process.arch === 'x64' ? 'amd64' : process.arch);

function check(digest: Digest, hex: string): void {
  // Such a pull is poisoned: nothing but a defect of the mirror leads here.
  if (digest !== `sha256:${hex}`) throw new Error(`defect: ${digest} came with the digest sha256:${hex}`);
}

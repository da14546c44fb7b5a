/**
 * containerd as a store: names and records by gRPC, bytes as files of its content store. Promises: never writes anything
 * to containerd; content counts as here only where a configured namespace records it whole and its file has that size.
 * Refuses to know what images are for.
 */
import { isAbsolute } from 'node:path';
import { MirrorError } from '../errors.ts';
import { type Digest, formatReference, parseReference, type Reference } from '../oci/oci.ts';
import type { World } from '../world.ts';
import { openBlob } from './containerd-blob.ts';
import { type BlobRecord, type ContainerdClient, containerdClient, type NamedTarget } from './containerd-client.ts';
import { followContainerd, type StoreLog } from './containerd-events.ts';
import { type Disk, realDisk } from './disk.ts';
import type { Content, Image, Store } from './store.ts';

export interface ContainerdOptions {
  /** The absolute path of containerd's socket; it may appear later. */
  readonly socket: string;
  /** containerd's namespaces that are looked into, in this order; kubelet's is `k8s.io`. */
  readonly namespaces: readonly string[];
  readonly world: World;
  readonly log?: StoreLog;
  /** What the blobs are read from; the machine's own disk where left out. */
  readonly disk?: Disk;
}

/** As containerd itself defines names of namespaces. */
const NAMESPACE = /^[A-Za-z0-9]+(?:[-._][A-Za-z0-9]+)*$/;
const NAMESPACE_MAX = 76;
/** containerd writes this label, with a host behind it, on what it fetched from a registry. */
const SOURCE_LABEL = 'containerd.io/distribution.source.';
/**
 * For so long the record of an image's target is believed: a look at hundreds of images after each new one would keep the
 * node from answering. Content itself is asked for whenever it is opened.
 */
const KNOWN_MS = 60_000;
/** Records that are asked for at once. */
const ASKED_AT_ONCE = 16;

/** The reference that `name` spells, where it is a full one by tag or digest and fits what it names. */
function referenceOf({ name, target }: NamedTarget): Reference | undefined {
  try {
    const reference = parseReference(name);
    if (reference.digest ? reference.digest !== target.digest : !reference.tag) return undefined;
    return reference;
  } catch (error) {
    // `sha256:…` and what people call their imports: no names that another node could ask for.
    if (error instanceof MirrorError) return undefined;
    throw error;
  }
}

/** Runs `work` on each of `items`, some at a time, and answers in their order. */
async function eachOf<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += ASKED_AT_ONCE)
    results.push(...(await Promise.all(items.slice(at, at + ASKED_AT_ONCE).map(work))));
  return results;
}

const wasFetched = ({ labels }: BlobRecord): boolean => Object.keys(labels).some(name => name.startsWith(SOURCE_LABEL));

class ContainerdStore implements Store {
  readonly kind = 'containerd';
  readonly #options: ContainerdOptions;
  readonly #client: ContainerdClient;
  readonly #disk: Disk;
  /** The content store's folder, as last told. */
  #root: string | undefined;
  /** Records of targets, by namespace and digest, asked since `#knownSince` (monotonic ms). */
  #known = new Map<string, BlobRecord>();
  #knownSince = 0;

  constructor(options: ContainerdOptions) {
    this.#options = options;
    this.#disk = options.disk ?? realDisk;
    this.#client = containerdClient(options.socket, options.world);
  }

  async images(): Promise<readonly Image[]> {
    const now = this.#options.world.monotonic();
    if (now - this.#knownSince >= KNOWN_MS) [this.#known, this.#knownSince] = [new Map(), now];
    const images = new Map<string, Image>();
    for (const namespace of this.#options.namespaces) {
      const named = (await this.#client.images(namespace)).flatMap(image => {
        const reference = referenceOf(image);
        return reference ? [{ ...image, reference }] : [];
      });
      const targets = [...new Set(named.map(({ target }) => target.digest))];
      const records = await eachOf(targets, digest => this.#target(namespace, digest));
      const recordOf = new Map(targets.map((digest, at) => [digest, records[at]]));
      for (const { reference, target, createdAt } of named) {
        const record = recordOf.get(target.digest);
        const name = formatReference(reference);
        // A name without its target is no image that anybody could have from here; the first namespace's word counts.
        if (!record || images.has(name)) continue;
        images.set(name, { reference, target, createdAt, fetched: wasFetched(record) });
      }
    }
    return [...images.values()];
  }

  /** The record of an image's target; one that was there a little while ago is not asked for again. */
  async #target(namespace: string, digest: Digest): Promise<BlobRecord | undefined> {
    const key = `${namespace} ${digest}`;
    const known = this.#known.get(key);
    if (known) return known;
    const record = await this.#client.blob(namespace, digest);
    if (record) this.#known.set(key, record);
    return record;
  }

  async open(digest: Digest): Promise<Content | undefined> {
    for (const namespace of this.#options.namespaces) {
      const record = await this.#client.blob(namespace, digest);
      if (!record) continue;
      const known = this.#root;
      this.#root ??= await this.#client.contentRoot();
      const content = await openBlob(this.#disk, this.#root, digest, record.size);
      if (content || known === undefined) return content;
      // Recorded but not where it was said to be: removed just now, or containerd was restarted on another folder.
      this.#root = await this.#client.contentRoot();
      return this.#root === known ? undefined : openBlob(this.#disk, this.#root, digest, record.size);
    }
    return undefined;
  }

  watch(changed: () => void, signal: AbortSignal): Promise<void> {
    return followContainerd(this.#client, this.#options.namespaces, changed, { ...this.#options, signal });
  }
}

/** A store over a running containerd; nothing is asked before the first use. @throws CONFIG_INVALID */
export function createContainerdStore(options: ContainerdOptions): Store {
  const { socket, namespaces } = options;
  if (!isAbsolute(socket))
    throw new MirrorError('CONFIG_INVALID', `containerd's socket must be an absolute path, not ${socket}`);
  if (!namespaces.length)
    throw new MirrorError('CONFIG_INVALID', 'name at least one namespace of containerd, such as k8s.io');
  for (const namespace of namespaces)
    if (namespace.length > NAMESPACE_MAX || !NAMESPACE.test(namespace))
      throw new MirrorError(
        'CONFIG_INVALID',
        `not a namespace of containerd: ${JSON.stringify(namespace.slice(0, 160))}`,
      );
  return new ContainerdStore(options);
}

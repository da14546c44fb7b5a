/**
 * containerd's gRPC, as far as a reader needs it. Promises: nothing here can write (the protos beside it have no such
 * call), every call has a deadline, and what comes back was parsed to types. Refuses to know files and policy.
 * Spec: the files in `proto/`.
 */
import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Client,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { assert, MirrorError } from '../errors.ts';
import { type Descriptor, type Digest, isDigest } from '../oci/oci.ts';
import type { World } from '../world.ts';

/** A named image as containerd records it. */
export interface NamedTarget {
  readonly name: string;
  readonly target: Descriptor;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

/** What containerd records of one blob. */
export interface BlobRecord {
  /** Bytes. */
  readonly size: number;
  readonly labels: Readonly<Record<string, string>>;
}

export interface ContainerdClient {
  /** The absolute path of the content store's folder. @throws STORE_UNAVAILABLE */
  contentRoot(): Promise<string>;
  /** Undefined where the namespace does not know the blob, or has it only in part. @throws STORE_UNAVAILABLE */
  blob(namespace: string, digest: Digest): Promise<BlobRecord | undefined>;
  /** All names in the namespace whose target is well formed. @throws STORE_UNAVAILABLE */
  images(namespace: string): Promise<readonly NamedTarget[]>;
  /**
   * Calls `happened` for every change of an image or a blob in `namespaces`, until the stream breaks or `signal` aborts.
   * @throws STORE_UNAVAILABLE when it breaks
   */
  events(namespaces: readonly string[], happened: () => void, signal: AbortSignal): Promise<void>;
}

const CALL_TIMEOUT_MS = 10_000;
/** A list of some 30,000 names. */
const MAX_MESSAGE_BYTES = 32 * 1024 * 1024;
/** gRPC's own pauses between attempts to connect: short, so that a restarted containerd is found soon. */
const RECONNECT_MIN_MS = 100;
const RECONNECT_MAX_MS = 1_000;
const LABELS_MAX = 256;

const PROTOS = ['content', 'images', 'events', 'introspection'] as const;
type Service = (typeof PROTOS)[number];
const SERVICES: Readonly<Record<Service, string>> = {
  content: 'Content',
  images: 'Images',
  events: 'Events',
  introspection: 'Introspection',
};

type Unary = (
  request: object,
  metadata: Metadata,
  options: { deadline: number },
  done: (error: ServiceError | null, answer?: unknown) => void,
) => void;
interface Events {
  on(event: 'data', listener: () => void): void;
  on(event: 'error', listener: (error: ServiceError) => void): void;
  on(event: 'end', listener: () => void): void;
  cancel(): void;
}
type Subscribe = (request: object) => Events;

function connect(socket: string): Readonly<Record<Service, Client>> {
  const folder = fileURLToPath(new URL('./proto/', import.meta.url));
  const loaded = loadPackageDefinition(
    loadSync(
      PROTOS.map(name => `${name}.proto`),
      { includeDirs: [folder], keepCase: true, longs: String, defaults: true },
    ),
  );
  const options = {
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.initial_reconnect_backoff_ms': RECONNECT_MIN_MS,
    'grpc.max_reconnect_backoff_ms': RECONNECT_MAX_MS,
    'grpc.use_local_subchannel_pool': 1,
  };
  const client = (service: Service): Client => {
    const path = ['containerd', 'services', service, 'v1', SERVICES[service]];
    const found = path.reduce<unknown>((at, part) => (at as GrpcObject)[part], loaded);
    return new (found as ServiceClientConstructor)(`unix://${socket}`, credentials.createInsecure(), options);
  };
  return {
    content: client('content'),
    images: client('images'),
    events: client('events'),
    introspection: client('introspection'),
  };
}

const away = (socket: string, what: string, error: unknown): MirrorError =>
  new MirrorError(
    'STORE_UNAVAILABLE',
    `containerd at ${socket} did not answer (${what}): ${(error as ServiceError).details ?? String(error)}; is it running?`,
    { cause: error },
  );

/** A client of the containerd behind `socket`, which need not be there yet: nothing is asked before the first call. */
export function containerdClient(socket: string, world: World): ContainerdClient {
  let clients: ReturnType<typeof connect> | undefined;
  const of = (service: Service): Client => {
    clients ??= connect(socket);
    return clients[service];
  };
  const call = (service: Service, method: string, namespace: string | undefined, request: object): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const metadata = new Metadata();
      if (namespace !== undefined) metadata.set('containerd-namespace', namespace);
      const client = of(service);
      const unary = (client as unknown as Record<string, Unary>)[method];
      assert(unary, `the protos have ${service}.${method}`);
      const deadline = world.now() + CALL_TIMEOUT_MS;
      unary.call(client, request, metadata, { deadline }, (error, answer) => {
        if (!error) resolve(answer);
        else if (error.code === status.NOT_FOUND) resolve(undefined);
        else reject(away(socket, `${SERVICES[service]}.${method}`, error));
      });
    });
  return {
    async contentRoot() {
      const answer = await call('introspection', 'Plugins', undefined, { filters: ['type==io.containerd.content.v1'] });
      return parseRoot(answer, socket);
    },
    blob: async (namespace, digest) => parseBlob(await call('content', 'Info', namespace, { digest })),
    images: async namespace => parseImages(await call('images', 'List', namespace, {})),
    events: (namespaces, happened, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return resolve();
        const filters = namespaces.map(namespace => `namespace==${namespace},topic~="^/(images|content)/"`);
        const client = of('events');
        const stream = (client as unknown as { Subscribe: Subscribe }).Subscribe({ filters });
        const stop = (): void => stream.cancel();
        signal.addEventListener('abort', stop, { once: true });
        const ended = (error: unknown): void => {
          signal.removeEventListener('abort', stop);
          if (signal.aborted) resolve();
          else reject(away(socket, 'events', error));
        };
        stream.on('data', happened);
        stream.on('error', ended);
        stream.on('end', () => ended('the stream of events ended'));
      }),
  };
}

const field = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;

/** A number that the wire spells as digits; undefined where it is negative or too large to be exact. */
function parseNumber(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^[0-9]{1,16}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

function parseRoot(answer: unknown, socket: string): string {
  const plugins = field(answer, 'plugins');
  const [plugin] = (Array.isArray(plugins) ? plugins : []) as unknown[];
  const root = field(field(plugin, 'exports'), 'root');
  if (typeof root !== 'string' || !isAbsolute(root) || root.includes('\0'))
    throw new MirrorError(
      'STORE_UNAVAILABLE',
      `containerd at ${socket} names no folder of its content store: its content plugin must be the local one`,
    );
  return root;
}

function parseBlob(answer: unknown): BlobRecord | undefined {
  const size = parseNumber(field(field(answer, 'info'), 'size'));
  if (size === undefined) return undefined;
  const labels = Object.entries(field(field(answer, 'info'), 'labels') ?? {}).slice(0, LABELS_MAX);
  return { size, labels: Object.fromEntries(labels.map(([name, value]) => [name, String(value)])) };
}

function parseImages(answer: unknown): NamedTarget[] {
  const images = field(answer, 'images');
  return ((Array.isArray(images) ? images : []) as unknown[]).flatMap(image => {
    const [name, target, created] = ['name', 'target', 'created_at'].map(key => field(image, key));
    const [mediaType, digest, size] = [
      field(target, 'media_type'),
      field(target, 'digest'),
      parseNumber(field(target, 'size')),
    ];
    if (typeof name !== 'string' || typeof mediaType !== 'string' || typeof digest !== 'string') return [];
    if (!isDigest(digest) || size === undefined) return [];
    const createdAt = (parseNumber(field(created, 'seconds')) ?? 0) * 1000 + Number(field(created, 'nanos') ?? 0) / 1e6;
    return [{ name, target: { mediaType, digest, size }, createdAt: Math.floor(createdAt) }];
  });
}

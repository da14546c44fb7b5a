/**
 * A containerd that exists only as far as the store looks at it: a gRPC server on a socket over a folder of blobs. Serves
 * what a test puts in; the real ones are tried in `test/system/store.test.ts`.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type GrpcObject,
  loadPackageDefinition,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceClientConstructor,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { type Digest, digestOf } from '../../src/oci/oci.ts';
import { blobPath } from '../../src/store/containerd-blob.ts';

interface Call {
  readonly request: { readonly digest?: string; readonly filters?: readonly string[] };
  readonly metadata: Metadata;
}
type Done = (error: object | null, answer?: object) => void;
interface Subscription extends Call {
  write(envelope: object): void;
  end(): void;
}

/** What the fake records of a blob. */
export interface FakeBlob {
  readonly size: number;
  readonly labels: Readonly<Record<string, string>>;
}

const PROTOS = fileURLToPath(new URL('../../src/store/proto/', import.meta.url));
const NAMES = ['content', 'images', 'events', 'introspection'] as const;

export class FakeContainerd {
  readonly folder: string;
  readonly socket: string;
  /** What `Plugins` tells as the content store's folder. */
  root: string;
  /** By namespace and digest. */
  readonly blobs = new Map<string, FakeBlob>();
  /** By namespace: images as they stand in the answer. */
  readonly images = new Map<string, object[]>();
  /** The filters of each subscription so far. */
  readonly subscribed: (readonly string[])[] = [];
  #streams: Subscription[] = [];
  #server: Server | undefined;

  private constructor(folder: string) {
    this.folder = folder;
    this.socket = join(folder, 'containerd.sock');
    this.root = join(folder, 'content');
  }

  /** Makes its folder; it does not listen yet. */
  static async make(): Promise<FakeContainerd> {
    return new FakeContainerd(await mkdtemp(join(tmpdir(), 'pinnace-fake-')));
  }

  /** Puts a blob in: the file, and the record of its namespace, which may lie about the size. */
  async put(
    bytes: Uint8Array,
    labels: Readonly<Record<string, string>> = {},
    namespace = 'k8s.io',
    size = bytes.length,
  ): Promise<Digest> {
    const digest = digestOf(bytes);
    await mkdir(dirname(blobPath(this.root, digest)), { recursive: true });
    await writeFile(blobPath(this.root, digest), bytes);
    this.blobs.set(`${namespace} ${digest}`, { size, labels });
    return digest;
  }

  /** Names an image. */
  name(
    name: string,
    digest: string,
    size: number | string,
    namespace = 'k8s.io',
    seconds: number | string = 1_700_000_000,
  ): void {
    const target = { media_type: 'application/vnd.oci.image.manifest.v1+json', digest, size };
    const image = { name, target, created_at: { seconds, nanos: 5_000_000 } };
    this.images.set(namespace, [...(this.images.get(namespace) ?? []), image]);
  }

  /** Tells every subscriber that something happened. */
  tell(): void {
    for (const stream of this.#streams) stream.write({ namespace: 'k8s.io', topic: '/images/delete' });
  }

  async listen(): Promise<void> {
    const loaded = loadPackageDefinition(
      loadSync(
        NAMES.map(name => `${name}.proto`),
        { includeDirs: [PROTOS], keepCase: true, longs: String, defaults: true },
      ),
    );
    const server = new Server();
    for (const [name, calls] of Object.entries(this.#calls())) {
      const path = ['containerd', 'services', name.toLowerCase(), 'v1', name];
      const Service = path.reduce<unknown>((at, part) => (at as GrpcObject)[part], loaded) as ServiceClientConstructor;
      server.addService(Service.service, calls);
    }
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix://${this.socket}`, ServerCredentials.createInsecure(), error =>
        error ? reject(error) : resolve(),
      );
    });
    this.#server = server;
  }

  /** Ends as a killed daemon does: connections break, the socket goes. */
  async stop(): Promise<void> {
    this.#streams = [];
    this.#server?.forceShutdown();
    this.#server = undefined;
    await rm(this.socket, { force: true });
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  #calls(): Readonly<Record<string, UntypedServiceImplementation>> {
    const namespaceOf = ({ metadata }: Call): string => String(metadata.get('containerd-namespace')[0]);
    return {
      Content: {
        Info: (call: Call, done: Done) => {
          const found = this.blobs.get(`${namespaceOf(call)} ${call.request.digest}`);
          if (!found) return done({ code: status.NOT_FOUND, details: 'content not found', metadata: new Metadata() });
          done(null, { info: { digest: call.request.digest, ...found } });
        },
      },
      Images: { List: (call: Call, done: Done) => done(null, { images: this.images.get(namespaceOf(call)) ?? [] }) },
      Introspection: {
        Plugins: (_: Call, done: Done) =>
          done(null, { plugins: [{ type: 'io.containerd.content.v1', id: 'content', exports: { root: this.root } }] }),
      },
      Events: {
        Subscribe: (stream: Subscription) => {
          this.subscribed.push(stream.request.filters ?? []);
          this.#streams.push(stream);
        },
      },
    };
  }
}

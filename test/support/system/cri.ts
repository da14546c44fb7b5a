/**
 * The kubelet's side of containerd: the Container Runtime Interface, as far as tests pull images and run one line from
 * them. Promises: every call has a deadline; a pod that was started is removed again. Refuses to know registries.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { until } from './processes.ts';

/** One image as containerd tells the kubelet of it. */
export interface CriImage {
  readonly id: string;
  readonly repo_tags: readonly string[];
  readonly repo_digests: readonly string[];
}

export interface Cri {
  /** True once images and pods can be asked for. */
  ready(): Promise<boolean>;
  /** Pulls as kubelet does; answers containerd's reference. Throws a gRPC error (`code` 4 where `timeoutMs` is over). */
  pull(image: string, options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal }): Promise<string>;
  images(): Promise<readonly CriImage[]>;
  /** RemoveImage: all names of the image that `image` names. */
  remove(image: string): Promise<void>;
  /** Runs `command` in a pod of `image` on the node's own network; answers what it wrote. Throws where it fails. */
  runLine(image: string, command: readonly string[]): Promise<string>;
  /** Stops and removes every pod. */
  removePods(): Promise<void>;
  close(): void;
}

const PROTO = fileURLToPath(new URL('./proto/cri.proto', import.meta.url));
const CALL_TIMEOUT_MS = 60_000;
const PULL_TIMEOUT_MS = 300_000;
/** `NamespaceMode.NODE` of the interface. */
const NODE_NETWORK = 2;
/** `ContainerState.CONTAINER_EXITED` of the interface. */
const EXITED = 2;

type Call = (method: string, request: object, timeoutMs?: number, signal?: AbortSignal) => Promise<unknown>;
type Unary = (
  request: object,
  options: { deadline: number },
  done: (error: Error | null, answer: unknown) => void,
) => { cancel(): void };

const caller =
  (client: Client): Call =>
  (method, request, timeoutMs = CALL_TIMEOUT_MS, signal) =>
    new Promise((resolve, reject) => {
      const unary = (client as unknown as Record<string, Unary>)[method] as Unary;
      const done = (error: Error | null, answer: unknown): void => (error ? reject(error) : resolve(answer));
      const call = unary.call(client, request, { deadline: Date.now() + timeoutMs }, done);
      signal?.addEventListener('abort', () => call.cancel(), { once: true });
    });

/** What the kubelet's log format leaves of one line: `<time> <stream> <F|P> <text>`. */
const textOf = (log: string): string =>
  log
    .split('\n')
    .map(line => line.replace(/^\S+ \S+ [FP] ?/, ''))
    .join('\n');

async function runLine(runtime: Call, image: string, command: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'pinnace-pod-'));
  const name = folder.slice(-6);
  const config = {
    metadata: { name, uid: name, namespace: 'default' },
    log_directory: folder,
    linux: { security_context: { namespace_options: { network: NODE_NETWORK, pid: 1 } } },
  };
  const pod = (await runtime('RunPodSandbox', { config })) as { pod_sandbox_id: string };
  try {
    const container = (await runtime('CreateContainer', {
      ...pod,
      config: { metadata: { name: 'line' }, image: { image }, command, log_path: 'line.log' },
      sandbox_config: config,
    })) as { container_id: string };
    await runtime('StartContainer', container);
    const ended = await until(`the end of ${command.join(' ')}`, CALL_TIMEOUT_MS, async () => {
      const { status } = (await runtime('ContainerStatus', container)) as {
        status: { state: number; exit_code: number; message: string };
      };
      return status.state === EXITED && status;
    });
    const text = textOf(await readFile(join(folder, 'line.log'), 'utf8'));
    if (ended.exit_code !== 0) throw new Error(`${command.join(' ')} ended with ${ended.exit_code}: ${text}`);
    return text;
  } finally {
    await runtime('StopPodSandbox', pod);
    await runtime('RemovePodSandbox', pod);
    await rm(folder, { recursive: true, force: true });
  }
}

/** Connects to the CRI of the containerd behind `socket` (an absolute path); nothing is asked yet. */
export function connectCri(socket: string): Cri {
  const loaded = loadPackageDefinition(loadSync(PROTO, { keepCase: true, longs: Number, defaults: true }));
  const { ImageService, RuntimeService } = (loaded.runtime as unknown as Record<string, unknown>).v1 as Record<
    string,
    ServiceClientConstructor
  >;
  const connect = (Service: ServiceClientConstructor | undefined): Client => {
    if (!Service) throw new Error('cri.proto lacks a service');
    return new Service(`unix://${socket}`, credentials.createInsecure());
  };
  const clients = [connect(ImageService), connect(RuntimeService)] as const;
  const [image, runtime] = [caller(clients[0]), caller(clients[1])];
  return {
    async ready() {
      const { status } = (await runtime('Status', {}, 2000)) as {
        status: { conditions: { type: string; status: boolean }[] };
      };
      await image('ListImages', {}, 2000);
      return status.conditions.some(({ type, status: good }) => type === 'RuntimeReady' && good);
    },
    async pull(name, { timeoutMs = PULL_TIMEOUT_MS, signal } = {}) {
      const answer = (await image('PullImage', { image: { image: name } }, timeoutMs, signal)) as { image_ref: string };
      return answer.image_ref;
    },
    images: async () => ((await image('ListImages', {})) as { images: CriImage[] }).images,
    remove: async name => void (await image('RemoveImage', { image: { image: name } })),
    runLine: (name, command) => runLine(runtime, name, command),
    async removePods() {
      const { items } = (await runtime('ListPodSandbox', {})) as { items: { id: string }[] };
      for (const { id } of items) {
        await runtime('StopPodSandbox', { pod_sandbox_id: id });
        await runtime('RemovePodSandbox', { pod_sandbox_id: id });
      }
    },
    close: () => {
      for (const client of clients) client.close();
    },
  };
}

/**
 * A containerd for a test: its own root, state and socket in a folder of its own, on a machine of the test's network.
 * Promises: ended by pid, its pods and mounts gone with it, its folder removed. Refuses to know Pinnace.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Cri, connectCri } from './cri.ts';
import { type Endpoints, removeHosts, writeHosts } from './hosts.ts';
import type { Binaries } from './packages.ts';
import { run, type Started, start, until } from './processes.ts';

export interface ContainerdOptions {
  readonly binaries: Binaries;
  /** The network namespace it runs in. */
  readonly netns?: string;
  /** containerd 2.1's parallel layer fetch: bytes of one part. Only containerd 2.x knows it. */
  readonly concurrentLayerFetchBuffer?: number;
  readonly logLevel?: 'debug' | 'info';
}

export interface Containerd {
  /** The absolute path of its socket. */
  readonly socket: string;
  readonly version: string;
  /** The content store's folder. */
  readonly content: string;
  readonly cri: Cri;
  /** Says who is asked for a registry from the next pull on; undefined: as without a configuration. */
  hosts(registry: string, endpoints: Endpoints | undefined): Promise<void>;
  /** Runs containerd's own client in kubelet's namespace `k8s.io`, e.g. `ctr('images', 'ls', '-q')`. */
  ctr(...args: readonly string[]): Promise<string>;
  /** Imports an oci-archive or docker-archive; of an index all platforms, or the machine's own alone. */
  load(archive: string, platforms?: 'all' | 'own'): Promise<void>;
  /**
   * Fetches what `name` names, and all that it lists, from the registry at `upstream` (plain http), not unpacked: artifacts,
   * which are no images to pull, as well. containerd then knows it by that name.
   */
  fetch(name: string, upstream: string): Promise<void>;
  /** Ends the daemon and leaves its folder; `signal` SIGKILL for a crash. */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Starts it again on the same folder. */
  start(): Promise<void>;
  /** The end of its log, for messages. */
  log(): string;
  /** Ends it and removes everything of it. */
  remove(): Promise<void>;
}

/** The name of the image that pods are made around; load it before `cri.runLine`. */
export const PAUSE_IMAGE = 'pinnace.test/pause:1';
const READY_TIMEOUT_MS = 20_000;

/**
 * restrict_oom_score_adj: a machine may lack the right to make its processes less likely to be killed. NRI has one socket
 * for the whole machine, over which two daemons would fall out.
 */
function configuration(folder: string, options: ContainerdOptions): string {
  const at = (name: string): string => JSON.stringify(join(folder, name));
  const head = (version: number): string =>
    `version = ${version}\nroot = ${at('root')}\nstate = ${at('state')}\n` +
    `[grpc]\n  address = ${at('containerd.sock')}\n[ttrpc]\n  address = ${at('containerd.sock.ttrpc')}\n`;
  if (!options.binaries.version.startsWith('2.'))
    return `${head(2)}[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "${PAUSE_IMAGE}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    discard_unpacked_layers = false
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = ${at('certs.d')}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${at('cni')}
    conf_dir = ${at('cni')}
`;
  const parallel = options.concurrentLayerFetchBuffer;
  return `${head(3)}[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  discard_unpacked_layers = false
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = ${at('certs.d')}
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "${PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = [${at('cni')}]
    conf_dir = ${at('cni')}
[plugins.'io.containerd.nri.v1.nri']
  disable = true
${parallel ? `[plugins.'io.containerd.transfer.v1.local']\n  concurrent_layer_fetch_buffer = ${parallel}\n` : ''}`;
}

/** Takes away what a daemon and its pods left mounted below `folder`, the innermost first. */
async function unmount(folder: string): Promise<void> {
  const points = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map(line => line.split(' ')[4] ?? '')
    .filter(point => point.startsWith(`${folder}/`));
  for (const point of points.reverse()) await run(['umount', '-l', point]);
}

function controls(
  folder: string,
  options: ContainerdOptions,
): Pick<Containerd, 'start' | 'stop' | 'log'> & { readonly cri: Cri } {
  const { binaries, netns, logLevel = 'info' } = options;
  const socket = join(folder, 'containerd.sock');
  const cri = connectCri(socket);
  let daemon: Started | undefined;
  const log = (): string => daemon?.log() ?? '';
  return {
    cri,
    log,
    async start() {
      const argv = [binaries.containerd, '--config', join(folder, 'config.toml'), '--log-level', logLevel];
      const env = { ...process.env, PATH: `${binaries.path}:${process.env.PATH}:/usr/sbin:/sbin` };
      const started = await start(argv, { env, ...(netns === undefined ? {} : { netns }) });
      daemon = started;
      // Asked before there is a socket, the client would pause for a second.
      const alive = async (): Promise<boolean> => started.running && existsSync(socket) && (await cri.ready());
      await until(`containerd ${binaries.version} is ready`, READY_TIMEOUT_MS, alive, log);
    },
    async stop(signal = 'SIGTERM') {
      daemon?.signal(signal);
      await daemon?.stop();
    },
  };
}

/** Starts a containerd and waits until pulls and pods are possible. Needs root. */
export async function startContainerd(options: ContainerdOptions): Promise<Containerd> {
  const { binaries } = options;
  const folder = await mkdtemp(join(tmpdir(), 'pinnace-ctrd-'));
  const [certs, socket] = [join(folder, 'certs.d'), join(folder, 'containerd.sock')];
  for (const name of ['root', 'state', 'certs.d', 'cni']) await mkdir(join(folder, name));
  await writeFile(join(folder, 'config.toml'), configuration(folder, options));
  const parts = controls(folder, options);
  const ctr = (...args: readonly string[]): Promise<string> =>
    run([binaries.ctr, '--address', socket, '--namespace', 'k8s.io', ...args]);
  const remove = async (): Promise<void> => {
    await parts.cri.removePods().catch(() => undefined);
    parts.cri.close();
    await parts.stop();
    await unmount(folder);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await parts.start();
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    ...parts,
    socket,
    version: binaries.version,
    content: join(folder, 'root', 'io.containerd.content.v1.content'),
    hosts: (registry, endpoints) => (endpoints ? writeHosts(certs, registry, endpoints) : removeHosts(certs, registry)),
    ctr,
    load: async (archive, platforms = 'all') => {
      await ctr('images', 'import', '--no-unpack', ...(platforms === 'all' ? ['--all-platforms'] : []), archive);
    },
    fetch: async (name, upstream) => {
      const { netns } = options;
      const from = join(folder, 'upstreams');
      await writeHosts(from, name.slice(0, name.indexOf('/')), { upstream });
      const client = [binaries.ctr, '--address', socket, '--namespace', 'k8s.io'];
      await run([...client, 'content', 'fetch', '--hosts-dir', from, name], netns === undefined ? {} : { netns });
    },
    remove,
  };
}

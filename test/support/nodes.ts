/**
 * Nodes as processes on loopback, run as an operator runs them: by the command line and files alone. Used by the demo and
 * by tests. Promises: a 0700 folder of its own, ports of its own, everything ended by its process id and removed.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ask, CONTROL_SOCKET } from '../../src/cli/control-client.ts';
import type { Status } from '../../src/cli/node-status.ts';
import type { Lie } from './hostile.ts';
import { writePolicy } from './policies.ts';
import { get } from './pull-client.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const PINNACE = path('../../src/cli/pinnace');
/** A machine that is busy with other tests takes its time. */
const READY_MS = 60_000;
const STOP_MS = 10_000;

export interface NodeSettings {
  readonly zone?: string;
  /** Runs a hostile node instead of `pinnace run`. */
  readonly lie?: Lie;
  /** The text of its policy, short or whole; default policies/permissive.yaml. */
  readonly policy?: string;
  readonly bootstrap?: readonly string[];
}

export class ProcessNode {
  readonly name: string;
  readonly config: string;
  readonly stateDir: string;
  readonly mirror: string;
  readonly peers: string;
  readonly #start: () => ChildProcess;
  #child: ChildProcess | undefined;
  #said = '';

  constructor(
    name: string,
    config: string,
    stateDir: string,
    mirror: string,
    peers: string,
    start: () => ChildProcess,
  ) {
    this.name = name;
    this.config = config;
    this.stateDir = stateDir;
    this.mirror = mirror;
    this.peers = peers;
    this.#start = start;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    this.launch();
    await this.ready();
  }

  /** Starts it, and does not wait until it is ready. */
  launch(): void {
    const child = this.#start();
    this.#child = child;
    this.#said = '';
    child.stderr?.on('data', (part: Buffer) => {
      this.#said = (this.#said + part.toString()).slice(-20_000);
      void appendFile(`${this.stateDir}.log`, part);
    });
  }

  /** Waits until it is ready. @throws with what it said where it ends instead */
  async ready(): Promise<void> {
    const until = performance.now() + READY_MS;
    while (performance.now() < until) {
      const ended = this.#child?.exitCode ?? this.#child?.signalCode;
      if (ended !== null) throw new Error(`${this.name} ended with ${ended}:\n${this.#said}`);
      const ready = await get(`${this.mirror}/readyz`).catch(() => undefined);
      if (ready?.status === 200) return;
      await delay(20);
    }
    throw new Error(`${this.name} was not ready within ${READY_MS} ms:\n${this.#said}`);
  }

  /** Ends it; resolves when the process is gone. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise(resolve => child.once('exit', resolve));
    child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(late);
  }

  /** One question over its control socket: cheaper than a process each time. */
  ask<T>(path: string): Promise<T> {
    return ask<T>({ socket: join(this.stateDir, CONTROL_SOCKET), path });
  }

  status(): Promise<Status> {
    return this.ask('/status');
  }

  /** Every record of its audit log so far. */
  async records(): Promise<Record<string, unknown>[]> {
    const text = await readFile(join(this.stateDir, 'audit.jsonl'), 'utf8');
    return text
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as Record<string, unknown>);
  }
}

const run = promisify(execFile);

/** Runs the command line and answers with its standard output. @throws with its standard error */
export async function pinnace(...args: string[]): Promise<string> {
  const { stdout } = await run(PINNACE, args, { maxBuffer: 64 << 20 });
  return stdout;
}

/** A cluster's folder with its nodes. */
export class ProcessCluster {
  readonly dir: string;
  readonly nodes: ProcessNode[] = [];
  readonly #ports: number[];

  private constructor(dir: string, ports: number[]) {
    this.dir = dir;
    this.#ports = ports;
  }

  /** Makes the folder, the cluster's keys, and finds free ports for `nodes` nodes. */
  static async make(nodes: number): Promise<ProcessCluster> {
    const dir = await mkdtemp(join(tmpdir(), 'pinnace-'));
    await pinnace('cluster', 'init', '--no-passphrase', '--dir', join(dir, 'cluster'));
    return new ProcessCluster(dir, await freePorts(nodes * 3));
  }

  /** A node with a token of its own; it is not started yet. The first one is everybody's bootstrap. */
  async add(name: string, { zone, lie, policy, bootstrap }: NodeSettings = {}): Promise<ProcessNode> {
    const [mirror, peers, lanes] = this.#ports.splice(0, 3);
    const stateDir = join(this.dir, name);
    const token = join(this.dir, `${name}.token`);
    const zoned = zone ? ['--zone', zone] : [];
    await pinnace('token', 'create', '--node', name, '--out', token, '--dir', join(this.dir, 'cluster'), ...zoned);
    const policyFile = policy ? join(this.dir, `${name}.policy.yaml`) : path('../../policies/permissive.yaml');
    if (policy) await writePolicy(policyFile, policy);
    const first = this.nodes[0]?.peers ?? `127.0.0.1:${peers}`;
    const config = join(this.dir, `${name}.yaml`);
    await writeFile(
      config,
      JSON.stringify({
        node: name,
        stateDir,
        tokenFile: token,
        policyFile,
        mirror: { listen: `127.0.0.1:${mirror}` },
        peers: { listen: `127.0.0.1:${peers}`, lanes, bootstrap: bootstrap ?? [first] },
      }),
    );
    const args = lie ? [path('hostile-node.ts'), '--config', config, '--lie', lie] : ['run', '--config', config];
    const start = (): ChildProcess =>
      spawn(lie ? process.execPath : PINNACE, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const node = new ProcessNode(name, config, stateDir, `http://127.0.0.1:${mirror}`, `127.0.0.1:${peers}`, start);
    this.nodes.push(node);
    return node;
  }

  /** Ends all nodes and removes the folder. */
  async remove(): Promise<void> {
    await Promise.all(this.nodes.map(node => node.stop()));
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** Below what the system gives to those that dial: a port stays free while its node is down. */
const PORTS = { first: 15_000, count: 15_000 };
const PORT_TRIES = 1_000;

/** Free ports of loopback; all are held while they are looked for, so that no two are the same. */
async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  for (let tries = 0; servers.length < count && tries < PORT_TRIES; tries++) {
    const server = createServer();
    const port = PORTS.first + randomInt(PORTS.count);
    const held = await new Promise<boolean>(resolve => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (held) servers.push(server);
  }
  const ports = servers.map(server => (server.address() as { port: number }).port);
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  if (ports.length < count) throw new Error(`no ${count} free ports in ${PORT_TRIES} tries`);
  return ports;
}

/** Asks again and again until `ready` answers with something, at most `ms`. @throws with `what` */
export async function eventually<T>(what: string, ms: number, ready: () => Promise<T | undefined>): Promise<T> {
  const until = performance.now() + ms;
  for (;;) {
    const found = await ready();
    if (found !== undefined) return found;
    if (performance.now() > until) throw new Error(`not within ${ms} ms: ${what}`);
    await delay(50);
  }
}

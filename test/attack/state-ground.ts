/**
 * A node's folder on a real disk, for tests that damage it: token, configuration, policy, and all state files of a node
 * that ran before. Promises: a folder of its own, removed at the end; ports of loopback that nobody else has.
 */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { loadConfig } from '../../src/cli/config.ts';
import { layGround, startNode } from '../../src/cli/daemon.ts';
import { main } from '../../src/cli/main.ts';
import { realWorld } from '../../src/world.ts';
import { makeCluster } from '../support/cluster.ts';
import { writePolicy } from '../support/policies.ts';

export interface NodeFolder {
  readonly dir: string;
  readonly config: string;
  readonly token: string;
  readonly policy: string;
  readonly stateDir: string;
  readonly ports: { readonly mirror: number; readonly peers: number; readonly lanes: number };
  remove(): Promise<void>;
}

/** Makes the folder of a node that never ran; `more` are further lines of its configuration. */
export async function nodeFolder(more = ''): Promise<NodeFolder> {
  const dir = await mkdtemp(join(tmpdir(), 'pinnace-state-'));
  const [config, token, policy, stateDir] = ['n1.yaml', 'n1.token', 'policy.yaml', 'n1'].map(name =>
    join(dir, name),
  ) as [string, string, string, string];
  const cluster = await makeCluster({ nodes: ['n1'] });
  await writeFile(token, `${cluster.node('n1').token}\n`, { mode: 0o600 });
  await writePolicy(policy, 'registries: [r.test]\nshare: [r.test/**]\ntags: [{match: r.test/**, min: 1}]\n');
  const [mirror, peers, lanes] = (await freePorts(3)) as [number, number, number];
  await writeFile(
    config,
    `node: n1\nstateDir: ./n1\ntokenFile: ./n1.token\npolicyFile: ./policy.yaml\nmirror: {listen: "127.0.0.1:${mirror}"}\n` +
      `peers: {listen: "127.0.0.1:${peers}", lanes: ${lanes}}\nlog: {level: error}\n${more}`,
  );
  await mkdir(stateDir, { mode: 0o700 });
  return {
    dir,
    config,
    token,
    policy,
    stateDir,
    ports: { mirror, peers, lanes },
    // A node that ended may still be writing what it kept.
    remove: () => rm(dir, { recursive: true, maxRetries: 10, retryDelay: 50 }),
  };
}

/** Runs the node for `ms` by its rooms; answers with what `/readyz` said at the end, as text. */
export async function runFor(folder: NodeFolder, ms: number): Promise<string> {
  const life = new AbortController();
  const config = await loadConfig(folder.config, async file =>
    (await import('node:fs/promises')).readFile(file, 'utf8'),
  );
  const ground = await layGround(config, realWorld, pino({ level: 'silent' }), life.signal);
  const { stopped } = await startNode(ground);
  try {
    await realWorld.sleep(ms);
    return await (await fetch(`http://127.0.0.1:${folder.ports.mirror}/readyz`)).text();
  } finally {
    life.abort('the test ends');
    await stopped;
  }
}

export interface Outcome {
  /** Undefined where the node started, and was stopped. */
  readonly exit: number | undefined;
  /** What was printed to a person. */
  readonly said: string;
}

/** Runs `pinnace run` in process until it fails, or starts and is stopped after `ms`. */
export async function tryRun(config: string, ms = 400): Promise<Outcome> {
  const stop = new AbortController();
  let said = '';
  const run = main(['run', '--config', config], {
    world: realWorld,
    out: text => void (said += text),
    err: text => void (said += text),
    terminal: false,
    signal: stop.signal,
  });
  let running = true;
  const end = (): void => void (running = false);
  run.then(end, end);
  for (let passed = 0; running && passed < ms; passed += 20) await realWorld.sleep(20);
  const failed = !running;
  stop.abort('the test ends');
  const exit = await run;
  return { exit: failed ? exit : undefined, said };
}

/** All files of a folder, below it. */
export async function filesOf(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name).slice(dir.length + 1));
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => hold(0)));
  const ports = servers.map(server => (server.address() as { port: number }).port);
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  return ports;
}

/** Takes a port of loopback, so that nobody else can. */
export async function hold(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, failed) => server.once('error', failed).listen(port, '127.0.0.1', resolve));
  return server;
}

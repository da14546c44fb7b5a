/**
 * A node as an operator runs it: `pinnace run` as a process on a machine of the test's network, with a token of a cluster
 * that `pinnace cluster init` made. Promises: ended by pid; what it wrote, its log and its audit log, is there for a
 * failing test. Refuses to know the inside of the daemon: it is asked through its command line and its sockets.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask, CONTROL_SOCKET } from '../../../src/cli/control-client.ts';
import type { Status } from '../../../src/cli/node-status.ts';
import type { Lie } from '../hostile.ts';
import { policyTexts } from '../policies.ts';
import type { Containerd } from './containerd.ts';
import { type Answer, type Asking, request } from './http.ts';
import type { Host } from './netns.ts';
import { run, type Started, start, until } from './processes.ts';

/** The command as users call it. */
export const PINNACE = fileURLToPath(new URL('../../../src/cli/pinnace', import.meta.url));
const HOSTILE = fileURLToPath(new URL('../hostile-node.ts', import.meta.url));
/** Where a node's mirror listens, on its own machine's loopback. */
export const MIRROR = '127.0.0.1:5000';
/** Where its peers reach it. */
export const CONTROL_PORT = 5001;
export const LANE_PORT = 5002;
const READY_TIMEOUT_MS = 30_000;

/** A cluster's folder, kept by its operator. */
export interface ClusterFolder {
  readonly folder: string;
  /** Writes a token of node `name` to `file`; `more` are further options of `pinnace token create`. */
  token(name: string, file: string, ...more: readonly string[]): Promise<void>;
}

/** Makes a cluster in `folder` by `pinnace cluster init`. */
export async function initCluster(folder: string): Promise<ClusterFolder> {
  await run([PINNACE, 'cluster', 'init', '--no-passphrase', '--dir', folder]);
  return {
    folder,
    token: async (name, file, ...more) =>
      void (await run([PINNACE, 'token', 'create', '--node', name, '--dir', folder, '--out', file, ...more])),
  };
}

/** A policy, in the short form of tests, that mirrors and shares what `pattern` covers, tags by any one node's statement. */
export const sharing = (pattern: string, more = ''): string =>
  `registries: [${pattern.split('/')[0]}]\nshare: ["${pattern}"]\ntags:\n  - match: "${pattern}"\n    min: 1\n    keep: 7d\n${more}`;

export interface NodeOptions {
  readonly name: string;
  readonly host: Host;
  readonly cluster: ClusterFolder;
  /** The text of its policy file. */
  readonly policy: string;
  /** Files that the policy names, by their paths relative to it. */
  readonly policyFiles?: Readonly<Record<string, string>>;
  /** Its store; left out: the embedded layout. */
  readonly containerd?: Containerd;
  /** Machines whose nodes are asked first. */
  readonly bootstrap?: readonly Host[];
  /** For example `512MiB`. */
  readonly spool?: string;
  /** What clients of its mirror must show. */
  readonly clientToken?: string;
  /** Runs a node that does this instead of an honest one. */
  readonly lie?: Lie;
  /** Bytes of the smallest content that it lies about. */
  readonly lieFrom?: number;
  /** Runs an honest node that asks the node of this name before all others (unlucky.ts). */
  readonly asksFirst?: string;
}

/** One line of the audit log. */
export type AuditLine = Readonly<Record<string, unknown>> & { readonly event: string };

export interface PinnaceNode {
  readonly name: string;
  readonly host: Host;
  readonly stateDir: string;
  /** The path of its configuration. */
  readonly config: string;
  /** The daemon's process; undefined before the first start. */
  readonly process: Started | undefined;
  /** Starts the daemon and waits until it is ready. Throws with its log where it is not. */
  start(): Promise<void>;
  /** SIGTERM and, where that is not heeded, SIGKILL. */
  stop(): Promise<void>;
  /** SIGKILL: a crash. */
  kill(): Promise<void>;
  status(): Promise<Status>;
  /** Waits until it is connected to the nodes of these names. */
  sees(...names: readonly string[]): Promise<void>;
  /** Waits until it tells at least `contents` contents to others. */
  holds(contents: number, timeoutMs?: number): Promise<void>;
  /** Waits until `node` tells it of at least `contents` contents. */
  hears(node: string, contents: number, timeoutMs?: number): Promise<void>;
  /** The digest that each node states for `reference` (by tag), as this node knows it, by the nodes' names. */
  stated(reference: string): Promise<Readonly<Record<string, string>>>;
  /** Waits until it knows what `node` states of the tag `reference`, and answers with the digest. */
  hearsTag(node: string, reference: string): Promise<string>;
  /** Runs a command of this node, e.g. `cli('why', 'reg.test/a:1', '--json')`; answers its stdout. */
  cli(...args: readonly string[]): Promise<string>;
  /** Asks its mirror as containerd would, from its own machine; `path` begins with `/v2/`. */
  get(path: string, asking?: Asking): Promise<Answer>;
  /** Everything that it recorded so far. */
  audit(): Promise<readonly AuditLine[]>;
  /** Replaces its policy file, after `files` that it names; the daemon looks at it every two seconds. */
  policy(text: string, files?: Readonly<Record<string, string>>): Promise<void>;
  /** Names of the files in its spool. */
  spooled(): Promise<readonly string[]>;
  /** Waits until it records an event that `wanted` says yes to, after the first `past` records; answers with it. */
  records(what: string, wanted: (line: AuditLine) => boolean, past?: number): Promise<AuditLine>;
  log(): string;
}

function configuration({ name, host, containerd, bootstrap = [], spool = '2GiB', clientToken }: NodeOptions): string {
  const peers = bootstrap.map(({ address }) => `${address}:${CONTROL_PORT}`);
  const lines = [
    `node: ${name}`,
    'stateDir: ./state',
    'policyFile: ./policy.yaml',
    containerd ? `store: {kind: containerd, socket: ${JSON.stringify(containerd.socket)}}` : 'store: {kind: layout}',
    `mirror: {listen: "${MIRROR}"${clientToken ? ', clientTokenFile: ./client-token' : ''}}`,
    'peers:',
    `  listen: "${host.address}:${CONTROL_PORT}"`,
    `  lanes: ${LANE_PORT}`,
    `  bootstrap: ${JSON.stringify(peers)}`,
    `spool: {maxBytes: ${spool}}`,
    'log: {level: debug}',
  ];
  return `${lines.join('\n')}\n`;
}

/** The names of files below `folder`; none where it is not there. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter(entry => entry.isFile()).map(entry => entry.name);
}

async function auditLines(file: string): Promise<AuditLine[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  // The last line may be under way.
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole.split('\n').flatMap(line => (line.startsWith('{') ? [JSON.parse(line) as AuditLine] : []));
}

/** What can be asked of a node that runs. */
type Questions = Pick<
  PinnaceNode,
  'status' | 'sees' | 'holds' | 'hears' | 'stated' | 'hearsTag' | 'audit' | 'records' | 'spooled'
>;

function questions(name: string, stateDir: string, log: () => string): Questions {
  const socket = join(stateDir, CONTROL_SOCKET);
  const status = (): Promise<Status> => ask<Status>({ socket, path: '/status' });
  const audit = (): Promise<readonly AuditLine[]> => auditLines(join(stateDir, 'audit.jsonl'));
  const wait = <T>(what: string, look: () => Promise<T | undefined | false>, ms = READY_TIMEOUT_MS): Promise<T> =>
    until(`node ${name} ${what}`, ms, look, log);
  const stated = async (reference: string): Promise<Record<string, string>> => {
    const { tags } = await ask<{ tags: Record<'reference' | 'node' | 'digest', string>[] }>({ socket, path: '/tags' });
    return Object.fromEntries(tags.filter(tag => tag.reference === reference).map(tag => [tag.node, tag.digest]));
  };
  return {
    status,
    async sees(...names) {
      await wait(`sees ${names.join(', ')}`, async () => {
        const { peers } = await status();
        return names.every(wanted => peers.some(peer => peer.name === wanted && peer.connected));
      });
    },
    async holds(contents, ms) {
      await wait(`tells of ${contents} contents`, async () => (await status()).holdings.contents >= contents, ms);
    },
    async hears(node, contents, ms) {
      const told = async (): Promise<boolean> =>
        (await status()).peers.some(peer => peer.name === node && peer.connected && peer.holdings >= contents);
      await wait(`hears of ${contents} contents of ${node}`, told, ms);
    },
    stated,
    hearsTag: (node, reference) => wait(`hears what ${node} states`, async () => (await stated(reference))[node]),
    audit,
    records: (what, wanted, past = 0) => wait(`records ${what}`, async () => (await audit()).slice(past).find(wanted)),
    spooled: () => filesBelow(join(stateDir, 'spool')),
  };
}

/** What makes a node other than `pinnace run` would; none for one that is not. */
function replacement({ lie, lieFrom, asksFirst }: NodeOptions): string[] {
  if (asksFirst !== undefined) return ['--first', asksFirst];
  if (lie === undefined) return [];
  return ['--lie', lie, ...(lieFrom === undefined ? [] : ['--from', String(lieFrom)])];
}

/** Writes a policy and, before it, the files that it names. */
async function writePolicy(folder: string, text: string, files: Readonly<Record<string, string>>): Promise<void> {
  const { text: whole, files: more } = policyTexts(text);
  for (const [file, content] of [...more, ...Object.entries(files)]) {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await writeFile(join(folder, file), content);
  }
  await writeFile(join(folder, 'policy.yaml'), whole);
}

/** Writes what a node needs into `folder` (made); nothing runs before `start`. */
export async function prepareNode(folder: string, options: NodeOptions): Promise<PinnaceNode> {
  const { name, host, cluster } = options;
  const [stateDir, config] = [join(folder, 'state'), join(folder, 'config.yaml')];
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  await cluster.token(name, join(stateDir, 'token'));
  await writeFile(config, configuration(options));
  const policy: PinnaceNode['policy'] = (text, files = {}) => writePolicy(folder, text, files);
  await policy(options.policy, options.policyFiles);
  if (options.clientToken) await writeFile(join(folder, 'client-token'), options.clientToken, { mode: 0o600 });
  let daemon: Started | undefined;
  const log = (): string => daemon?.log() ?? '';
  const asked = questions(name, stateDir, log);
  const replaced = replacement(options);
  const argv = replaced.length
    ? [process.execPath, HOSTILE, '--config', config, ...replaced]
    : [PINNACE, 'run', '--config', config];
  const ended = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    daemon?.signal(signal);
    await daemon?.stop();
  };
  return {
    ...asked,
    name,
    host,
    stateDir,
    config,
    get process() {
      return daemon;
    },
    async start() {
      const started = await start(argv, { netns: host.netns });
      daemon = started;
      const ready = async (): Promise<boolean> => {
        if (!started.running) throw new Error(`node ${name} ended with ${await started.ended}`);
        return (await asked.status()).ready;
      };
      await until(`node ${name} is ready`, READY_TIMEOUT_MS, ready, log);
    },
    stop: () => ended('SIGTERM'),
    kill: () => ended('SIGKILL'),
    cli: (...args) => run([PINNACE, ...args, '--config', config], { netns: host.netns }),
    get: (path, asking) => request(host.netns, `http://${MIRROR}${path}`, asking),
    policy,
    log,
  };
}

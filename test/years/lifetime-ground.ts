/**
 * A cluster that lives for years in one process: the operator's commands and the nodes by `main`, on real sockets, on a
 * clock that leaps. Works in a folder of its own, which becomes the current one; everything ends with it.
 */
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ask, CONTROL_SOCKET } from '../../src/cli/control-client.ts';
import { main } from '../../src/cli/main.ts';
import type { Status } from '../../src/cli/node-status.ts';
import { buildImage, writeOciArchive } from '../support/images.ts';
import { eventually } from '../support/nodes.ts';
import { get } from '../support/pull-client.ts';
import { type LeapingWorld, leapingWorld } from './years-world.ts';

export const DAY_MS = 86_400_000;
/** A wait that something must end before. */
export const WAIT_MS = 40_000;
const MINUTE_MS = 70_000;
const SETTLE_MS = 400;
/** Looks at what is waited for until a minute is let pass. */
const LOOKS = 100;
const NAMES = ['n1', 'n2', 'n3'];

interface Running {
  readonly stop: AbortController;
  readonly ended: Promise<number>;
}

/** A line of an audit log. */
export interface Line {
  readonly event: string;
  readonly [fact: string]: unknown;
}

export class Lifetime {
  readonly world: LeapingWorld;
  readonly dir: string;
  readonly #before = process.cwd();
  readonly #running = new Map<string, Running>();
  #ports: readonly number[] = [];
  #images = 0;

  private constructor(dir: string, world: LeapingWorld) {
    this.dir = dir;
    this.world = world;
  }

  /** A fresh folder with a cluster and the configurations of three nodes, none of which runs yet. */
  static async make(): Promise<Lifetime> {
    const dir = await mkdtemp(join(tmpdir(), 'pinnace-years-'));
    const lifetime = new Lifetime(dir, leapingWorld(Date.UTC(2026, 0, 1)));
    process.chdir(dir);
    lifetime.#ports = await freePorts(3 * NAMES.length);
    await lifetime.command('cluster', 'init', '--no-passphrase', '--dir', 'nodes/cluster');
    await writeFile('nodes/passphrase', 'a passphrase of many words\n', { mode: 0o600 });
    for (const name of NAMES) {
      await lifetime.command(
        'token',
        'create',
        '--node',
        name,
        '--dir',
        'nodes/cluster',
        '--out',
        `nodes/${name}/token`,
      );
      await lifetime.#configure(name);
    }
    return lifetime;
  }

  /** Runs one command line; gives its output. @throws where its exit code is another than `expected` */
  async command(...argv: readonly string[]): Promise<string> {
    const { code, text } = await this.attempt(...argv);
    if (code !== 0) throw new Error(`pinnace ${argv.join(' ')} ended with ${code}:\n${text}`);
    return text;
  }

  /** As `command`, whatever its exit code. */
  async attempt(...argv: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
    let text = '';
    const say = (more: string): void => {
      text += more;
    };
    const io = { world: this.world, out: say, err: say, terminal: false, signal: new AbortController().signal };
    return { code: await main(argv, io), text };
  }

  /** Starts nodes and waits until each is ready. */
  async start(...names: readonly string[]): Promise<void> {
    for (const name of names) {
      const stop = new AbortController();
      let said = '';
      const io = {
        world: this.world,
        terminal: false,
        signal: stop.signal,
        out: () => undefined,
        err: (text: string) => void (said += text),
      };
      const ended = main(['run', '--config', `nodes/${name}.yaml`], io);
      this.#running.set(name, { stop, ended });
      const over = ended.then(code => Promise.reject(new Error(`${name} ended with ${code}: ${said}`)));
      over.catch(() => undefined);
      await Promise.race([eventually(`${name} is ready`, WAIT_MS, () => this.#ready(name)), over]);
    }
  }

  async stop(...names: readonly string[]): Promise<void> {
    for (const name of names) {
      const running = this.#running.get(name);
      this.#running.delete(name);
      running?.stop.abort('the test ends it');
      await running?.ended;
    }
  }

  async end(): Promise<void> {
    await this.stop(...this.#running.keys());
    process.chdir(this.#before);
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }

  /** The clock moves on, and a few minutes more, in which nodes find one another and say anew what they hold. */
  async later(days: number): Promise<void> {
    this.world.leap(days * DAY_MS);
    for (let minutes = 0; minutes < 3; minutes++) {
      await delay(SETTLE_MS);
      this.world.leap(MINUTE_MS);
    }
  }

  /** Performs a command of a runbook as a shell would, and waits until a dropped file is taken. */
  async perform(line: string): Promise<string> {
    const [word, ...rest] = line.split(' ');
    const [from = '', to = ''] = rest;
    if (word === 'npx' && from === 'pinnace') return this.command(...rest.slice(1));
    if (word === 'mv') await rename(from, to);
    else if (word === 'cp') await this.#drop(from, to);
    else throw new Error(`a runbook has a command that this test does not know: ${line}`);
    return '';
  }

  async #drop(from: string, folder: string): Promise<void> {
    const file = join(folder, basename(from));
    await copyFile(from, file);
    await eventually(`${file} is taken`, WAIT_MS, async () => {
      this.world.leap(1000);
      await delay(100);
      const text = await readFile(`${file}.refused`, 'utf8').catch(() => undefined);
      if (text !== undefined) throw new Error(`${file} was refused`);
      return readFile(file).then(
        () => undefined,
        () => true,
      );
    });
  }

  status(name: string): Promise<Status> {
    return ask<Status>({ socket: join(this.dir, 'nodes', name, CONTROL_SOCKET), path: '/status' });
  }

  /** Waits until what all running nodes say of themselves is as `good` says. */
  async all(what: string, good: (status: Status) => boolean, names = [...this.#running.keys()]): Promise<void> {
    let last: unknown;
    let looks = 0;
    await eventually(what, WAIT_MS, async () => {
      // What gossip missed comes with the next minute.
      if ((looks += 1) % LOOKS === 0) this.world.leap(MINUTE_MS);
      const each = await Promise.all(names.map(name => this.status(name)));
      last = each.map(({ node, roster, peers, warnings }) => ({ node, roster, peers, warnings }));
      return each.every(good) || undefined;
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(last, undefined, 1)}`);
    });
  }

  /** All running nodes are linked with one another, and an image that is new on one is pulled by all the others. */
  async works(): Promise<void> {
    const names = [...this.#running.keys()];
    const linked = ({ peers }: Status): boolean =>
      peers.filter(({ connected }) => connected).length === names.length - 1;
    await this.all('all are linked', linked);
    const [first = '', ...others] = names;
    const reference = `registry.example/team/app:${(this.#images += 1)}`;
    const layers = [{ randomBytes: 300_000, seed: reference }];
    await writeOciArchive(await buildImage(join(this.dir, 'images'), { reference, layers }), 'image.tar');
    await this.command('import', 'image.tar', '--name', reference, '--config', `nodes/${first}.yaml`);
    for (const name of others)
      await this.command('pull', reference, '--wait', String(WAIT_MS / 1000), '--config', `nodes/${name}.yaml`);
  }

  /** The body of a node's readiness. */
  async readiness(name: string): Promise<{ readonly status: number; readonly warnings: readonly string[] }> {
    const { status, body } = await get(`${this.#mirror(name)}/readyz`);
    const { warnings = [] } = JSON.parse(Buffer.from(body).toString()) as { warnings?: string[] };
    return { status, warnings };
  }

  async records(name: string): Promise<readonly Line[]> {
    const text = await readFile(`nodes/${name}/audit.jsonl`, 'utf8');
    return text
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as Line);
  }

  async #ready(name: string): Promise<true | undefined> {
    const answer = await get(`${this.#mirror(name)}/readyz`).catch(() => undefined);
    return answer?.status === 200 || undefined;
  }

  #mirror(name: string): string {
    return `http://127.0.0.1:${this.#ports[3 * NAMES.indexOf(name)]}`;
  }

  async #configure(name: string): Promise<void> {
    const [mirror, peers, lanes] = this.#ports.slice(3 * NAMES.indexOf(name));
    const policyFile = new URL('../../policies/permissive.yaml', import.meta.url).pathname;
    await mkdir(`nodes/${name}`, { recursive: true, mode: 0o700 });
    await writeFile(
      `nodes/${name}.yaml`,
      JSON.stringify({
        node: name,
        stateDir: name,
        policyFile,
        mirror: { listen: `127.0.0.1:${mirror}` },
        peers: { listen: `127.0.0.1:${peers}`, lanes, bootstrap: [`127.0.0.1:${this.#ports[1]}`] },
        log: { level: process.env.YEARS_LOG ?? 'error' },
      }),
    );
  }
}

/** Free ports of loopback; all are held while they are looked for, so that no two are the same. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map(server => (server.address() as { port: number }).port);
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  return ports;
}

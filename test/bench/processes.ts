/**
 * The processes that a bench starts. Promises: each is ended by its own pid, at the latest with `signal` or `stopAll`; what
 * it wrote is kept for the message when it fails. Refuses to know what they do.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { realWorld } from '../../src/world.ts';

/** Milliseconds between SIGTERM and SIGKILL. */
const STOP_GRACE_MS = 10_000;
/** Characters of output kept per process: the newest. */
const OUTPUT_KEPT = 64 * 1024;
/** Milliseconds after which a command that should just end is given up. */
const RUN_TIMEOUT_MS = 180_000;

/** A started process. */
export interface Running {
  readonly pid: number;
  /** The newest of what it wrote to stdout and stderr. */
  readonly output: () => string;
  /** True once it has ended. */
  readonly ended: () => boolean;
  /** SIGTERM, then SIGKILL; answers when it has ended. */
  readonly stop: () => Promise<void>;
}

export interface Processes {
  start(command: string, args: readonly string[], options?: { readonly cwd?: string }): Running;
  /** Runs a command to its end and answers its stdout. Throws with what it wrote where it fails. */
  run(command: string, args: readonly string[], options?: { readonly env?: Record<string, string> }): Promise<string>;
  stopAll(): Promise<void>;
}

const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

function watched(child: ChildProcess): { closed: Promise<void>; output: () => string; stdout: () => string } {
  const all: string[] = [];
  const out: string[] = [];
  let kept = 0;
  const take = (text: string): void => {
    all.push(text);
    kept += text.length;
    while (kept > OUTPUT_KEPT && all.length > 1) kept -= all.shift()!.length;
  };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    out.push(text);
    take(text);
  });
  child.stderr?.setEncoding('utf8').on('data', take);
  const closed = new Promise<void>(resolve => {
    child.once('error', error => {
      take(error.message);
      resolve();
    });
    child.once('close', () => resolve());
  });
  return { closed, output: () => all.join(''), stdout: () => out.join('') };
}

async function end(child: ChildProcess, closed: Promise<void>): Promise<void> {
  if (ended(child) || child.pid === undefined) return;
  child.kill('SIGTERM');
  const late = new AbortController();
  void realWorld.sleep(STOP_GRACE_MS, late.signal).then(() => late.signal.aborted || child.kill('SIGKILL'));
  await closed;
  late.abort();
}

/** All processes of one bench run; `signal` ends them. */
export function createProcesses(signal: AbortSignal): Processes {
  const stops = new Set<() => Promise<void>>();
  const begin = (command: string, args: readonly string[], options: { cwd?: string; env?: Record<string, string> }) => {
    signal.throwIfAborted();
    const child = spawn(command, args, {
      ...options,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const watch = watched(child);
    const stop = (): Promise<void> => end(child, watch.closed);
    stops.add(stop);
    void watch.closed.then(() => stops.delete(stop));
    return { child, watch, stop };
  };
  return {
    start(command, args, options = {}) {
      const { child, watch, stop } = begin(command, args, options);
      if (child.pid === undefined) throw new Error(`${command} did not start: is it installed?`);
      return { pid: child.pid, output: watch.output, ended: () => ended(child), stop };
    },
    async run(command, args, options = {}) {
      const { child, watch, stop } = begin(command, args, options);
      const late = new AbortController();
      void realWorld.sleep(RUN_TIMEOUT_MS, late.signal).then(() => (late.signal.aborted ? undefined : stop()));
      const abort = (): void => void stop();
      signal.addEventListener('abort', abort, { once: true });
      await watch.closed;
      late.abort();
      signal.removeEventListener('abort', abort);
      if (child.exitCode !== 0)
        throw new Error(`${command} ${args.join(' ')}: exit ${child.exitCode ?? child.signalCode}\n${watch.output()}`);
      return watch.stdout();
    },
    async stopAll() {
      await Promise.all([...stops].map(stop => stop()));
    },
  };
}

/** Asks `probe` every `everyMs` until it answers something; throws with `what` after `ms`. Answers what the probe did. */
export async function until<T>(
  what: string,
  ms: number,
  signal: AbortSignal,
  probe: () => Promise<T | undefined>,
  everyMs = 10,
): Promise<T> {
  const deadline = realWorld.monotonic() + ms;
  for (;;) {
    const answer = await probe();
    if (answer !== undefined) return answer;
    signal.throwIfAborted();
    if (realWorld.monotonic() > deadline) throw new Error(`${what}: not within ${ms} ms`);
    await realWorld.sleep(everyMs, signal);
  }
}

/** `count` TCP ports of loopback that nothing listened on just now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      server =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => {
            const address = server.address();
            if (address === null || typeof address === 'string') reject(new Error('no port'));
            else resolve(address.port);
          });
        }),
    ),
  );
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  return ports;
}

/**
 * Programs of the machine, run by tests. Promises: every program started here is ended by its own pid, its output is kept
 * (the last part of it) for the message of a failing test, and waiting is for a condition, with a deadline. Refuses to
 * know what the programs are.
 */
import { type ChildProcess, spawn } from 'node:child_process';

/** What a program may be given. */
export interface Surroundings {
  /** The name of the network namespace to run in; the machine's own where left out. */
  readonly netns?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** A program that runs until it is told to end. */
export interface Started {
  readonly pid: number;
  /** The end of what it wrote to stdout and stderr, together. */
  log(): string;
  /** True until it has ended. */
  readonly running: boolean;
  /** Settles when it has ended: its exit code, or the name of the signal. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Sends a signal to this very process; nothing where it has ended. */
  signal(name: NodeJS.Signals): void;
  /** SIGTERM, after `patienceMs` SIGKILL; answers when it has ended. */
  stop(patienceMs?: number): Promise<void>;
}

const KEPT_LOG_BYTES = 512 * 1024;
const STOP_PATIENCE_MS = 10_000;
const POLL_MS = 50;

/**
 * The command line that runs `argv` inside `netns`. nsenter changes the network alone, where `ip netns exec` would also
 * hide the control groups that runc needs; both keep the pid.
 */
export const inside = (netns: string | undefined, argv: readonly string[]): readonly [string, ...string[]] => {
  const [program = '', ...rest] = argv;
  return netns === undefined ? [program, ...rest] : ['nsenter', `--net=/run/netns/${netns}`, '--', program, ...rest];
};

function spawned(argv: readonly string[], around: Surroundings, stdin: 'ignore' | 'pipe'): ChildProcess {
  const [program, ...rest] = inside(around.netns, argv);
  const options = around.cwd === undefined ? {} : { cwd: around.cwd };
  return spawn(program, rest, { ...options, env: around.env ?? process.env, stdio: [stdin, 'pipe', 'pipe'] });
}

/** Runs a program to its end and answers its stdout. Throws where it ends otherwise than well, with what it wrote. */
export function run(argv: readonly string[], around: Surroundings & { readonly input?: string } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawned(argv, around, around.input === undefined ? 'ignore' : 'pipe');
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout?.on('data', (bytes: Buffer) => out.push(bytes));
    child.stderr?.on('data', (bytes: Buffer) => err.push(bytes));
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(around.input);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const text = Buffer.concat(out).toString();
      if (code === 0) return resolve(text);
      const said = `${Buffer.concat(err).toString()}${text}`.slice(-4000);
      reject(new Error(`${argv.join(' ')} ended with ${code ?? signal}: ${said}`));
    });
  });
}

/** Starts a program that goes on. Throws where it cannot be started at all. */
export async function start(argv: readonly string[], around: Surroundings = {}): Promise<Started> {
  // Where the test itself is killed, what it started gets SIGTERM from the kernel.
  const child = spawned(['setpriv', '--pdeathsig', 'TERM', ...argv], around, 'ignore');
  let log = '';
  const keep = (bytes: Buffer): void => {
    log = (log + bytes.toString()).slice(-KEPT_LOG_BYTES);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  let running = true;
  const ended = new Promise<number | NodeJS.Signals>(resolve => {
    child.on('exit', (code, signal) => {
      running = false;
      resolve(code ?? signal ?? 'SIGKILL');
    });
  });
  const pid = await new Promise<number>((resolve, reject) => {
    child.once('spawn', () => resolve(child.pid as number));
    child.once('error', reject);
  });
  const signal = (name: NodeJS.Signals): void => {
    if (running) child.kill(name);
  };
  return {
    pid,
    log: () => log,
    get running() {
      return running;
    },
    ended,
    signal,
    async stop(patienceMs = STOP_PATIENCE_MS) {
      signal('SIGTERM');
      const kill = setTimeout(() => signal('SIGKILL'), patienceMs);
      await ended;
      clearTimeout(kill);
    },
  };
}

/**
 * Waits until `look` answers something other than undefined or false, at most `ms`; what `look` throws counts as not yet.
 * Throws at the deadline, saying `what`, the last error and `more()`.
 */
export async function until<T>(
  what: string,
  ms: number,
  look: () => Promise<T | undefined | false>,
  more: () => string = () => '',
): Promise<T> {
  const end = performance.now() + ms;
  let last: Error | undefined;
  for (;;) {
    try {
      const answer = await look();
      if (answer !== undefined && answer !== false) return answer;
      last = undefined;
    } catch (error) {
      last = error instanceof Error ? error : new Error(String(error));
    }
    if (performance.now() > end)
      throw new Error(`not within ${ms} ms: ${what}${last ? `: ${last.message}` : ''}\n${more()}`, { cause: last });
    await new Promise(resolve => setTimeout(resolve, POLL_MS));
  }
}

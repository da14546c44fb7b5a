/**
 * Two checkouts of this repository and runs of their benches. Promises: an earlier commit is checked out into a folder of
 * its own with the packages of its lock file; what was started is ended with `signal`. Refuses to know what figures mean.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Processes } from './processes.ts';
import type { Outcome } from './report.ts';

const BENCH = 'test/bench/main.ts';
const LOCK = 'package-lock.json';
/** Characters of a run's progress that are kept for the message where it fails. */
const SAID_MAX = 4_000;

/** A checkout that can be measured. */
export interface Tree {
  /** For a person: the folder, or the commit. */
  readonly name: string;
  readonly dir: string;
}

/** The checkout that `what` names: a folder with one, else a commit of the one in `root`, put into `dir`. */
export async function treeOf(processes: Processes, root: string, what: string, dir: string): Promise<Tree> {
  if (existsSync(join(what, BENCH))) return { name: resolve(what), dir: resolve(what) };
  const git = (...args: string[]): Promise<string> => processes.run('git', args);
  const commit = (await git('-C', root, 'rev-parse', '--verify', '--quiet', `${what}^{commit}`)).trim();
  await git('clone', '--quiet', '--shared', '--no-checkout', root, dir);
  await git('-C', dir, 'checkout', '--quiet', '--detach', commit);
  if (!existsSync(join(dir, BENCH))) throw new Error(`${what} (${commit}) has no ${BENCH}`);
  const [own, its] = await Promise.all([root, dir].map(tree => readFile(join(tree, LOCK), 'utf8')));
  if (own === its) await symlink(join(root, 'node_modules'), join(dir, 'node_modules'));
  else
    await processes.run('npm', [
      'ci',
      '--prefix',
      dir,
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
    ]);
  return { name: commit.slice(0, 12), dir };
}

export interface RunOptions {
  readonly bench: string;
  readonly mib: number;
  readonly limitMs: number;
}

/** Runs one bench of a checkout, in a process of its own. Throws with the end of what it said where it breaks. */
export async function runBench(tree: Tree, options: RunOptions, signal: AbortSignal): Promise<Outcome> {
  const args = [BENCH, '--json', '--rounds', '1', '--mib', `${options.mib}`, 'only', options.bench];
  signal.throwIfAborted();
  // It cleans up after itself on SIGTERM, which is what both limits send.
  const child = spawn(process.execPath, args, {
    cwd: tree.dir,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.limitMs,
    signal,
  });
  let [out, said] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-SAID_MAX)));
  // An abort is an error of its own; what counts is that the process is gone.
  child.on('error', () => undefined);
  await new Promise(done => child.once('close', done));
  signal.throwIfAborted();
  const outcome = lastOutcome(out);
  if (!outcome)
    throw new Error(`${options.bench} of ${tree.name}: exit ${child.exitCode ?? child.signalCode}\n${said}`);
  return outcome;
}

function lastOutcome(out: string): Outcome | undefined {
  try {
    return (JSON.parse(out.trim().split('\n').at(-1) ?? '') as { outcomes: readonly Outcome[] }).outcomes[0];
  } catch {
    return undefined;
  }
}

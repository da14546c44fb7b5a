/**
 * A copy of the tree whose source may be harmed, and tests that run in it. Promises: the tree itself is never touched; what
 * was edited is as it was before the next run; a process that hangs is ended, by its own group alone. Refuses to know the
 * table.
 */
import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { type Defence, patternFor, without } from './defence.ts';
import type { Ended } from './reporter.ts';

/** The longest that one test file may run, in milliseconds. */
export const RUN_LIMIT_MS = 60_000;
const LEFT_OUT = new Set(['node_modules', '.git', 'nodes']);

/** What came of one run: the tests that ended, and whether the process had to be ended. */
export interface Run {
  readonly ended: readonly Ended[];
  readonly hung: boolean;
  /** What it wrote to its standard error, its last part. */
  readonly said: string;
}

export class Tree {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** Copies the tree at `root`, without what is fetched or made. */
  static async copy(root: string): Promise<Tree> {
    const dir = await mkdtemp(join(tmpdir(), 'pinnace-defences-'));
    const wanted = (path: string): boolean => !LEFT_OUT.has(path.slice(root.length + 1).split(sep)[0] ?? '');
    await cp(root, dir, { recursive: true, filter: path => path === root || wanted(path) });
    await symlink(join(root, 'node_modules'), join(dir, 'node_modules'));
    return new Tree(dir);
  }

  /** Another copy of this one. */
  copy(): Promise<Tree> {
    return Tree.copy(this.#dir);
  }

  async remove(): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** Runs `work` while the defence is out; undefined where the edit does not apply. */
  async harmed<T>(defence: Defence, work: () => Promise<T>): Promise<T | undefined> {
    const path = join(this.#dir, 'src', defence.file);
    const whole = await readFile(path, 'utf8');
    const edited = without(whole, defence);
    if (edited === undefined) return undefined;
    await writeFile(path, edited);
    try {
      return await work();
    } finally {
      await writeFile(path, whole);
    }
  }

  /** Runs the named tests of one file, below `test`. */
  async run(test: string, tests: readonly Pick<Defence, 'named'>[], stop: AbortSignal): Promise<Run> {
    const patterns = tests.map(one => `--test-name-pattern=${patternFor(one)}`);
    const reporter = join(this.#dir, 'test/defences/reporter.ts');
    const child = spawn(
      process.execPath,
      ['--test-force-exit', `--test-reporter=${reporter}`, ...patterns, join(this.#dir, 'test', test)],
      { cwd: this.#dir, detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NODE_OPTIONS: '' } },
    );
    let [out, said] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4000)));
    const limit = AbortSignal.any([stop, AbortSignal.timeout(RUN_LIMIT_MS)]);
    const kill = (): void => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    };
    limit.addEventListener('abort', kill, { once: true });
    await new Promise(resolve => child.once('close', resolve));
    limit.removeEventListener('abort', kill);
    return { ended: out.split('\n').flatMap(endedIn), hung: limit.aborted, said };
  }
}

/** A line of the reporter; what the tests print themselves is left out. */
function endedIn(line: string): Ended[] {
  if (!line.startsWith('{"name":')) return [];
  try {
    return [JSON.parse(line) as Ended];
  } catch {
    return [];
  }
}

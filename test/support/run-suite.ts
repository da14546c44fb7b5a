/**
 * One suite of tests through node:test's own runner, each file in a process of its own. Promises: every failure is shown
 * with what its file printed; what is counted is tests, not suites; a file that hangs fails at its limit. Refuses to know
 * which suites there are.
 */
import { globSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { inspect } from 'node:util';

export interface Suite {
  readonly name: string;
  /** Globs of test files, relative to the root. */
  readonly files: readonly string[];
  /** Globs of files that belong to another suite. */
  readonly except?: readonly string[];
  /** Files that run at a time. */
  readonly processes: number;
  /** Milliseconds that one file may take. */
  readonly limitMs: number;
  /** Print each test as it ends, not each file; and, once, each line `# …` that a file prints: versions, seeds, counts. */
  readonly verbose?: boolean;
}

/** What came of a suite; `skipped` are names with reasons. */
export interface Outcome {
  passed: number;
  failed: number;
  readonly skipped: string[];
  /** Files that ran. */
  files: number;
}

type Say = (line: string) => void;
interface Ended {
  readonly name: string;
  readonly nesting: number;
  readonly file?: string | undefined;
  readonly skip?: string | boolean | undefined;
  readonly todo?: string | boolean | undefined;
  readonly details: { readonly type?: string | undefined; readonly duration_ms: number; readonly error?: unknown };
}

const OUTPUT_MAX_CHARACTERS = 20_000;
const indent = (text: string): string => text.trimEnd().replaceAll(/^/gm, '    ');
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const unquoted = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();

/** The reason of a failed test as a person reads it: the assertion, or the error with its stack. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return typeof cause === 'string' ? cause : cause instanceof Error && cause.stack ? inspect(cause) : inspect(cause);
}

/** True for a parent that failed only by a test in it, which is shown; and for a file that was ended, which is told apart. */
const shownElsewhere = (error: unknown): boolean =>
  ['subtestsFailed', 'testAborted'].includes((error as { failureType?: string } | undefined)?.failureType ?? '');

/** Counts what ends, and tells it; one for each suite. */
class Listener {
  readonly outcome: Outcome = { passed: 0, failed: 0, skipped: [], files: 0 };
  readonly #suite: Suite;
  readonly #root: string;
  readonly #say: Say;
  readonly #printed = new Map<string, string>();
  readonly #failed = new Set<string>();
  readonly #begun = new Map<string, string>();
  /** What a file printed after its last newline. */
  readonly #unended = new Map<string, string>();
  readonly #told = new Set<string>();

  constructor(suite: Suite, root: string, say: Say) {
    this.#suite = suite;
    this.#root = root;
    this.#say = say;
  }

  printed(file: string | undefined, message: string): void {
    const before = this.#printed.get(file ?? '') ?? '';
    this.#printed.set(file ?? '', (before + message).slice(-OUTPUT_MAX_CHARACTERS));
  }

  /** What a file says of how it ran: several say the same of the machine. */
  told(file: string, message: string): void {
    if (!this.#suite.verbose) return;
    const lines = ((this.#unended.get(file) ?? '') + message).split('\n');
    this.#unended.set(file, (lines.pop() ?? '').slice(-OUTPUT_MAX_CHARACTERS));
    for (const line of lines) {
      if (!line.startsWith('# ') || this.#told.has(line)) continue;
      this.#told.add(line);
      this.#say(`  ${line}`);
    }
  }

  passed(test: Ended): void {
    if (test.skip !== undefined && test.skip !== false) {
      const reason = typeof test.skip === 'string' && test.skip ? test.skip : 'no reason given';
      this.outcome.skipped.push(`${this.#path(test.file)}: ${unquoted(test.name)}: ${unquoted(reason)}`);
    } else if (test.todo !== undefined && test.todo !== false) {
      this.failed({ ...test, details: { ...test.details, error: 'left to do' } });
    } else if (test.details.type !== 'suite') {
      this.outcome.passed++;
      if (this.#suite.verbose) this.#say(`  ok ${test.name} (${seconds(test.details.duration_ms)})`);
    }
  }

  failed(test: Ended): void {
    if (shownElsewhere(test.details.error)) return;
    this.outcome.failed++;
    this.#failed.add(test.file ?? '');
    const file = this.#path(test.file);
    this.#say(`  FAILED ${file}: ${test.name} (${seconds(test.details.duration_ms)})`);
    this.#say(indent(reasonOf(test.details.error)));
    const printed = this.#printed.get(test.file ?? '');
    if (printed) this.#say(`    What the file printed:\n${indent(printed)}`);
    this.#printed.delete(test.file ?? '');
  }

  begun(file: string, name: string): void {
    this.#begun.set(file, name);
  }

  /** A file that did not come to its end. */
  broken(file: string, what: string): void {
    const name = `${what}; the last test begun was: ${this.#begun.get(file) ?? 'none'}`;
    this.failed({ name, nesting: 0, file, details: { duration_ms: 0, error: what } });
  }

  hasFailed(file: string): boolean {
    return this.#failed.has(file);
  }

  ended(file: string, counts: { passed: number; tests: number }, ms: number): void {
    this.outcome.files++;
    if (!this.#suite.verbose) this.#say(`  ${this.#path(file)}: ${counts.passed}/${counts.tests} (${seconds(ms)})`);
  }

  #path(file: string | undefined): string {
    return file ? relative(this.#root, file) : '?';
  }
}

/** The suite's files below `root`, sorted. */
export const filesOf = (suite: Suite, root: string): string[] =>
  globSync([...suite.files], { cwd: root, exclude: [...(suite.except ?? [])] }).sort();

/**
 * Runs one file. A file whose tests hang, or that does not end after them, is ended at the limit and has failed: the
 * limit of the runner itself would fail the test and then wait for the process for ever.
 */
async function runFile(
  file: string,
  root: string,
  listener: Listener,
  limitMs: number,
  stop: AbortSignal,
): Promise<void> {
  const late = AbortSignal.timeout(limitMs);
  const events = run({ cwd: root, files: [file], concurrency: 1, signal: AbortSignal.any([late, stop]) });
  events.on('test:stdout', data => {
    listener.printed(file, data.message);
    listener.told(file, data.message);
  });
  events.on('test:stderr', data => listener.printed(file, data.message));
  events.on('test:dequeue', data => listener.begun(file, data.name));
  events.on('test:pass', data => listener.passed(data));
  events.on('test:fail', data => listener.failed(data));
  let summed = false;
  events.on('test:summary', ({ file: of, counts, duration_ms }) => {
    if (of === undefined) return;
    summed = true;
    listener.ended(file, counts, duration_ms);
  });
  // The stream ends when it is read to its end.
  for await (const _ of events);
  if (late.aborted) listener.broken(file, `did not end within ${limitMs / 1000} s`);
  else if (!summed && !stop.aborted && !listener.hasFailed(file)) listener.broken(file, 'ended before its tests did');
}

/** Runs the suite's files below `root` and tells what happens to `say`; ends early when `signal` aborts. */
export async function runSuite(suite: Suite, root: string, say: Say, signal: AbortSignal): Promise<Outcome> {
  const listener = new Listener(suite, root, say);
  const files = filesOf(suite, root).values();
  const worker = async (): Promise<void> => {
    for (const file of files) {
      if (signal.aborted) return;
      await runFile(join(root, file), root, listener, suite.limitMs, signal);
    }
  };
  await Promise.all(Array.from({ length: suite.processes }, worker));
  return listener.outcome;
}

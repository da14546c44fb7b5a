/**
 * What `npm test` runs: the format, lint and type checks, then every suite. Promises: the last line is
 * `N passed, N failed`; the exit code is 1 where anything failed or nothing ran; what was skipped is listed with its
 * reason, and with CI=true it is a failure. Arguments name checks or suites to run only those. Works on the current folder.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type Outcome, runSuite, type Suite } from './run-suite.ts';

const MINUTE_MS = 60_000;
/** Suites with folders of their own, in the order in which they run; all other tests are `unit`. */
const OWN = ['mirror', 'conformance', 'fuzz', 'attack', 'limits', 'years', 'storm', 'system'] as const;
const apart = OWN.map(folder => `test/${folder}/**`);

const CHECKS: Readonly<Record<string, readonly string[]>> = {
  format: ['biome', 'format', 'src', 'test'],
  lint: ['oxlint', '--type-aware', 'src', 'test'],
  types: ['tsc', '--noEmit'],
};

/** One process at a time, with what it says: they use all processors by themselves, or the machine's own services. */
const ALONE: readonly string[] = ['storm', 'system'];

const SUITES: readonly Suite[] = [
  { name: 'unit', files: ['test/**/*.test.ts'], except: apart, processes: 2, limitMs: 2 * MINUTE_MS },
  ...OWN.map(folder => ({
    name: folder === 'mirror' ? 'stories' : folder,
    files: [`test/${folder}/**/*.test.ts`],
    processes: ALONE.includes(folder) ? 1 : 2,
    limitMs: (ALONE.includes(folder) ? 20 : 5) * MINUTE_MS,
    verbose: ALONE.includes(folder),
  })),
];

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** Runs one check; it counts as one test. */
function check(name: string, [command = '', ...args]: readonly string[], root: string): Outcome {
  const { status, stdout, stderr, error } = spawnSync(join(root, 'node_modules/.bin', command), args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  const passed = status === 0;
  say(`${name}: ${passed ? 'passed' : 'FAILED'}`);
  if (!passed) say(`${stdout ?? ''}${stderr ?? ''}${error ? error.message : ''}`.trimEnd());
  return { passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: [], files: 1 };
}

async function suite(wanted: Suite, root: string, signal: AbortSignal): Promise<Outcome> {
  say(`${wanted.name}:`);
  const outcome = await runSuite(wanted, root, say, signal);
  if (outcome.files === 0 && outcome.failed === 0) outcome.skipped.push(`${wanted.name}: no test file is there`);
  say(`${wanted.name}: ${outcome.passed} passed, ${outcome.failed} failed, ${outcome.skipped.length} skipped`);
  return outcome;
}

async function main(names: readonly string[], root: string): Promise<number> {
  const all = [...Object.keys(CHECKS), ...SUITES.map(({ name }) => name)];
  const unknown = names.find(name => !all.includes(name));
  if (unknown !== undefined) {
    say(`${unknown} is not one of: ${all.join(', ')}`);
    return 64;
  }
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const wanted = (name: string): boolean => names.length === 0 || names.includes(name);
  const outcomes: Outcome[] = [];
  for (const [name, command] of Object.entries(CHECKS)) if (wanted(name)) outcomes.push(check(name, command, root));
  for (const each of SUITES)
    if (wanted(each.name) && !stop.signal.aborted) outcomes.push(await suite(each, root, stop.signal));

  const skipped = outcomes.flatMap(outcome => outcome.skipped);
  const sum = (of: 'passed' | 'failed'): number => outcomes.reduce((total, outcome) => total + outcome[of], 0);
  const mustAll = process.env.CI === 'true';
  for (const line of skipped) say(`${mustAll ? 'FAILED, as nothing may be skipped with CI=true' : 'skipped'}: ${line}`);
  if (stop.signal.aborted) say('stopped before the end');
  const failed = sum('failed') + (mustAll ? skipped.length : 0) + (stop.signal.aborted ? 1 : 0);
  say(`${sum('passed')} passed, ${failed} failed`);
  return failed > 0 || sum('passed') === 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2), process.cwd());

/**
 * `npm run storm`: storms by seed. Promises: it says what it ran; a seed that breaks a promise is run again, to see that
 * it breaks the same way, and made small; its last line is `N seeds, N broken`, and the exit code is 1 where any was.
 */
import { parseArgs } from 'node:util';
import { type Action, scenarioOf, without } from './scenario.ts';
import { runSeeds } from './seeds.ts';
import { shrink } from './shrink.ts';
import { Storm, type StormReport } from './storm.ts';

const USAGE = `npm run storm -- [--seed N] [--seeds COUNT] [--seconds SIMULATED] [--without N,N,…] [--json]
  --seed N        the first seed (default 1)
  --seeds COUNT   how many (default 1)
  --seconds S     simulated seconds of each (default 60)
  --without N,N   leaves these actions of the seed out
  --json          one line of JSON for each seed, and for the sum
`;

const out = (text: string): void => void process.stdout.write(`${text}\n`);

const number = (text: string | undefined, fallback: number, least: number): number => {
  const value = text === undefined ? fallback : Number(text);
  if (!Number.isSafeInteger(value) || value < least) throw new Error(`not a number from ${least} on: ${text}`);
  return value;
};

const sum = (reports: readonly StormReport[], of: (report: StormReport) => number): number =>
  reports.reduce((all, report) => all + of(report), 0);

/** What was run, in one object. */
function summary(reports: readonly StormReport[], seconds: number, ms: number): Readonly<Record<string, unknown>> {
  const lies: Record<string, number> = {};
  for (const lie of reports.flatMap(report => report.lies)) lies[lie] = (lies[lie] ?? 0) + 1;
  return {
    seeds: reports.length,
    simulatedSeconds: seconds,
    node: process.version,
    nodes: sum(reports, ({ nodes }) => nodes),
    lies,
    events: sum(reports, ({ events }) => events),
    pulls: {
      whole: sum(reports, ({ pulls }) => pulls.whole),
      failed: sum(reports, ({ pulls }) => pulls.failed),
      relied: sum(reports, ({ pulls }) => pulls.relied),
    },
    secondsPerSeed: Number((ms / 1000 / Math.max(1, reports.length)).toFixed(3)),
    broken: reports.filter(({ broken }) => broken).map(({ seed }) => seed),
  };
}

const told = (action: Action, at: number): string => `  ${at}: ${JSON.stringify(action)}`;

/** Says of a broken seed: whether it replays, what is left of it, and how to run that. */
async function explain(report: StormReport, seconds: number): Promise<void> {
  const { seed, broken } = report;
  if (!broken) return;
  const scenario = scenarioOf(seed, { seconds });
  const again = await new Storm(scenario).run();
  const same = again.fingerprint === report.fingerprint && again.broken?.what === broken.what;
  out(`seed ${seed} breaks "${broken.promise}" at ${(broken.at / 1000).toFixed(3)} s: ${broken.what}`);
  out(same ? '  and does so again, step by step' : `  AND NOT AGAIN: ${again.fingerprint}, was ${report.fingerprint}`);
  const left = await shrink(scenario, broken.promise);
  const numbers = [...left].sort((a, b) => a - b).join();
  out(`  smallest: npm run storm -- --seed ${seed} --seconds ${seconds}${numbers ? ` --without ${numbers}` : ''}`);
  out(`  ${JSON.stringify(scenario.cast)}`);
  for (const [at, action] of scenario.actions.entries()) if (!left.has(at)) out(told(action, at));
}

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string' },
      seconds: { type: 'string' },
      without: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return (out(USAGE.trimEnd()), 0);
  const first = number(values.seed, 1, 0);
  const count = number(values.seeds, 1, 1);
  const seconds = number(values.seconds, 60, 1);
  const began = performance.now();
  let done = 0;
  const progress = (report: StormReport): void => {
    done += 1;
    if (values.json) out(JSON.stringify(report));
    else if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${count}`);
  };
  let reports: readonly StormReport[];
  if (values.without === undefined) reports = await runSeeds(first, count, seconds, progress);
  else {
    const left = new Set(values.without.split(',').map(text => number(text, 0, 0)));
    reports = [await new Storm(without(scenarioOf(first, { seconds }), left)).run()];
    progress(reports[0]!);
  }
  if (process.stderr.isTTY && !values.json) process.stderr.write('\r');
  const broken = reports.filter(report => report.broken);
  const all = summary(reports, seconds, performance.now() - began);
  out(values.json ? JSON.stringify(all) : JSON.stringify(all, undefined, 1));
  if (!values.json)
    for (const report of broken)
      if (values.without === undefined) await explain(report, seconds);
      else out(`seed ${report.seed} breaks "${report.broken?.promise}": ${report.broken?.what}`);
  out(`${reports.length} seeds, ${broken.length} broken`);
  return broken.length > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`storm: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  return 64;
});

/**
 * `npm run bench:compare -- --before COMMIT`: the benches of an earlier commit and of this checkout in turn, A B B A, on one
 * machine. Promises: exit code 1 where a figure is worse or could not be compared; what was started has ended and its
 * folder is gone.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { realWorld } from '../../src/world.ts';
import { compare, type Compared, comparedTable, TOLERANCE, type Values, valuesOf } from './compare-figures.ts';
import { type RunOptions, runBench, type Tree, treeOf } from './compare-trees.ts';
import { createProcesses } from './processes.ts';

/** What is compared unless named otherwise: the yardsticks alone are not Pinnace, and the link takes minutes. */
const BENCHES = ['transfer', 'local', 'idle', 'lookup', 'spread', 'share', 'unhelped'] as const;
const ROUNDS = 10;
const MOST_ROUNDS = 100;
/** Large enough that a transfer takes longer than its start, small enough for twenty of each. */
const MIB = 256;
const RUN_LIMIT_MS = 10 * 60_000;
const USAGE = `npm run bench:compare -- --before COMMIT|DIR [OPTIONS] [NAME…]
  --before X   the earlier commit, or a folder with its checkout
  --after X    the same for the later one (this folder as it is)
  --rounds N   pairs of runs of each bench (${ROUNDS}; fewer than 6 show nothing)
  --mib N      size of the large layer in MiB (${MIB})
  --json       one JSON document on stdout
  NAME         benches of npm run bench (${BENCHES.join(', ')})
A ratio below 1 is worse. WORSE: the interval of its median, by the order of the rounds' ratios, lies below ${TOLERANCE}.
`;

interface Wanted {
  readonly before: string;
  readonly after: string;
  readonly rounds: number;
  readonly mib: number;
  readonly json: boolean;
  readonly names: readonly string[];
}

/** Reads the command line; undefined where help was asked for. Throws for what it does not know. */
function wantedOf(args: readonly string[]): Wanted | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      before: { type: 'string' },
      after: { type: 'string', default: process.cwd() },
      rounds: { type: 'string', default: String(ROUNDS) },
      mib: { type: 'string', default: String(MIB) },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  if (values.before === undefined) throw new Error(`--before is missing\n${USAGE}`);
  const [rounds, mib] = [Number(values.rounds), Number(values.mib)];
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > MOST_ROUNDS || !(mib >= 1)) throw new Error(USAGE);
  const { before, after, json } = values;
  return { before, after, rounds, mib, json, names: positionals.length ? positionals : BENCHES };
}

interface Found {
  readonly compared: readonly Compared[];
  /** Why a bench could not be compared, by its name. */
  readonly left: Readonly<Record<string, string>>;
}

/** All rounds of one bench; answers with why where one of its runs found nothing. */
async function roundsOf(
  trees: readonly [Tree, Tree],
  rounds: number,
  options: RunOptions,
  signal: AbortSignal,
): Promise<[Values, Values][] | string> {
  const pairs: [Values, Values][] = [];
  for (let round = 0; round < rounds; round++) {
    const pair: Values[] = [];
    // A B, then B A: what drifts hits both alike.
    for (const side of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const outcome = await runBench(trees[side as 0 | 1], options, signal);
      if (outcome.state !== 'ran') return `${outcome.state} in ${trees[side as 0 | 1].name}: ${outcome.why}`;
      pair[side] = valuesOf(outcome);
    }
    pairs.push([pair[0]!, pair[1]!]);
    process.stderr.write(`${options.bench}: ${round + 1}/${rounds}, load ${loadavg()[0]!.toFixed(1)}\n`);
  }
  return pairs;
}

async function compareAll(trees: readonly [Tree, Tree], wanted: Wanted, signal: AbortSignal): Promise<Found> {
  const compared: Compared[] = [];
  const left: Record<string, string> = {};
  for (const bench of wanted.names) {
    const options = { bench, mib: wanted.mib, limitMs: RUN_LIMIT_MS };
    const found = await roundsOf(trees, wanted.rounds, options, signal).catch((error: Error) => {
      signal.throwIfAborted();
      return error.message;
    });
    if (typeof found === 'string') left[bench] = found;
    else compared.push(...compare(bench, found));
  }
  return { compared, left };
}

async function main(): Promise<number> {
  const wanted = wantedOf(process.argv.slice(2));
  if (!wanted) {
    process.stdout.write(USAGE);
    return 0;
  }
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.on(name, () => stop.abort(new Error(`stopped by ${name}`)));
  const dir = await mkdtemp(join(tmpdir(), 'pinnace-compare-'));
  const processes = createProcesses(stop.signal);
  try {
    const root = process.cwd();
    const before = await treeOf(processes, root, wanted.before, join(dir, 'before'));
    const after = await treeOf(processes, root, wanted.after, join(dir, 'after'));
    const began = realWorld.monotonic();
    const found = await compareAll([before, after], wanted, stop.signal);
    const seconds = Math.round((realWorld.monotonic() - began) / 1e3);
    const what = {
      before: before.name,
      after: after.name,
      rounds: wanted.rounds,
      mib: wanted.mib,
      node: process.version,
      seconds,
    };
    const left = Object.entries(found.left).map(([bench, why]) => `${bench} could not be compared: ${why}\n`);
    process.stdout.write(
      wanted.json
        ? `${JSON.stringify({ ...what, ...found })}\n`
        : `${Object.entries(what)
            .map(([name, value]) => `${name}: ${value}\n`)
            .join('')}\n${comparedTable(found.compared)}\n${left.join('')}`,
    );
    return left.length || found.compared.some(({ verdict }) => verdict === 'worse') ? 1 : 0;
  } finally {
    await processes.stopAll();
    await rm(dir, { recursive: true, force: true });
  }
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  return 1;
});

/**
 * What `npm run test:defences` runs: takes each defence of the table out of a copy of the tree and asks the test that is
 * named for it. Promises: the tree itself is not touched; the last line is `N caught, N not`, and the exit code is 1 where
 * one was not; each test is run once with all defences in first. `--only TEXT` chooses rows, `--workers N`, `--json` ends
 * with one line of JSON.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Defence } from './defence.ts';
import { TABLE } from './table.ts';
import { Tree } from './tree.ts';
import { baselineFault, type Judged, verdictOf } from './verdict.ts';

const WORKERS = 2;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Calls `work` for each item, in as many at a time as there are trees. */
async function inTrees<T>(trees: readonly Tree[], items: readonly T[], work: (tree: Tree, item: T) => Promise<void>) {
  const left = items.values();
  await Promise.all(
    trees.map(async tree => {
      for (const item of left) await work(tree, item);
    }),
  );
}

/** Rows whose test does not hold even with the defence in, each with why. */
async function faults(trees: readonly Tree[], rows: readonly Defence[], stop: AbortSignal) {
  const found = new Map<Defence, string>();
  const files = [...Map.groupBy(rows, row => row.test)];
  await inTrees(trees, files, async (tree, [test, of]) => {
    if (stop.aborted) return;
    const run = await tree.run(test, of, stop);
    for (const row of of) {
      const fault = baselineFault(run, row);
      if (fault !== undefined) found.set(row, fault);
    }
  });
  return found;
}

async function judge(tree: Tree, row: Defence, fault: string | undefined, stop: AbortSignal): Promise<Judged> {
  const { defence } = row;
  if (fault !== undefined) return { defence, verdict: 'never held', why: fault };
  const run = await tree.harmed(row, () => tree.run(row.test, [row], stop));
  if (run) return verdictOf(run, row);
  return { defence, verdict: 'not applicable', why: `the text to be edited is not in ${row.file} exactly once` };
}

async function main(argv: readonly string[], stop: AbortSignal): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { only: { type: 'string' }, workers: { type: 'string' }, json: { type: 'boolean' } },
  });
  const { only = '' } = values;
  const rows = TABLE.filter(row => [row.defence, row.file, row.test, row.code].some(text => text.includes(only)));
  const first = await Tree.copy(join(import.meta.dirname, '../..'));
  const trees = [first];
  const all: Judged[] = [];
  try {
    while (trees.length < Math.max(1, Number(values.workers ?? WORKERS))) trees.push(await first.copy());
    const broken = await faults(trees, rows, stop);
    await inTrees(trees, rows, async (tree, row) => {
      if (stop.aborted) return;
      const begun = performance.now();
      const judged = await judge(tree, row, broken.get(row), stop);
      all.push(judged);
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      say(`${judged.verdict}: ${row.defence} (${row.code}, ${row.test}, ${seconds} s)`);
      if (judged.verdict !== 'caught' && judged.why) say(`    ${judged.why}`);
    });
  } finally {
    await Promise.all(trees.map(tree => tree.remove()));
  }
  const caught = all.filter(({ verdict }) => verdict === 'caught').length;
  if (values.json) say(JSON.stringify(all));
  say(`${caught} caught, ${rows.length - caught} not`);
  return caught > 0 && caught === rows.length ? 0 : 1;
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
process.exitCode = await main(process.argv.slice(2), stop.signal);

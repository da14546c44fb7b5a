/**
 * SIGKILLs at random moments of pulls, gifts, imports, roster and state writes and starts, of real processes. `--count N`
 * asks for more of them, `--seed S` for the same again: node test/system/kills.test.ts --count 100.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseArgs } from 'node:util';
import { Draws } from '../support/draws.ts';
import { KINDS, KillRounds, type Round } from '../support/kills/rounds.ts';
import { ProcessCluster } from '../support/nodes.ts';

const { values } = parseArgs({
  options: { count: { type: 'string' }, seed: { type: 'string' } },
  strict: false,
});
const COUNT = Number(values.count ?? 10);
const SEED = String(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const NODES = ['n1', 'n2', 'n3'] as const;
/** After so many kills it says how far it is. */
const PROGRESS = 10;
/** One kill with all that is looked at afterwards, in milliseconds, on a slow machine. */
const ROUND_MAX_MS = 60_000;

function table(rounds: readonly Round[]): string {
  const line = (kind: string, of: readonly Round[]): string => {
    const half = of.filter(round => round.half.length > 0).length;
    const ready = of.map(({ readyMs }) => readyMs).toSorted((a, b) => a - b)[of.length >> 1] ?? 0;
    return `#   ${kind}: ${of.length} kills, ${half} of them in mid-write, ready again in ${ready} ms (median)`;
  };
  return [
    ...KINDS.map(kind =>
      line(
        kind,
        rounds.filter(round => round.kind === kind),
      ),
    ),
    line('all', rounds),
  ].join('\n');
}

void test('a node that is killed at any moment serves nothing wrong, opens all its files and goes on where it was', {
  timeout: 60_000 + COUNT * ROUND_MAX_MS,
}, async () => {
  console.log(`# ${COUNT} SIGKILLs, seed ${SEED}: --count N --seed S`);
  assert.ok(Number.isSafeInteger(COUNT) && COUNT > 0, '--count takes a number');
  const cluster = await ProcessCluster.make(NODES.length);
  const rounds: Round[] = [];
  try {
    for (const name of NODES) await cluster.add(name);
    for (const node of cluster.nodes) await node.start();
    const draws = new Draws(SEED);
    const kills = new KillRounds(cluster, draws);
    await kills.pullEverywhere();
    while (rounds.length < COUNT) {
      const kind = KINDS[rounds.length % KINDS.length]!;
      rounds.push(
        await kills.one(kind).catch((error: unknown) => {
          throw new Error(`kill ${rounds.length + 1} (${kind}), seed ${SEED}`, { cause: error });
        }),
      );
      if (rounds.length % PROGRESS === 0) console.log(`# ${rounds.length} kills, nothing wrong so far`);
    }
    await kills.pullEverywhere();
    console.log(table(rounds));
  } finally {
    await cluster.remove();
  }
});

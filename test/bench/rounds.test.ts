/** Contenders take turns, and only the run itself is timed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { realWorld } from '../../src/world.ts';
import { type Contender, race } from './rounds.ts';

const plan = (rounds: number, warm: number) => ({
  rounds,
  warm,
  signal: new AbortController().signal,
  say: () => undefined,
});

function traced(name: string, log: string[], more: Partial<Contender> = {}): Contender {
  const note = (what: string) => async () => void log.push(`${name} ${what}`);
  return { name, bytes: 0, prepare: note('prepare'), run: note('run'), clean: note('clean'), ...more };
}

void test('rounds are interleaved, and warm ones are thrown away', async () => {
  const log: string[] = [];
  const samples = await race([traced('A', log), traced('B', log)], plan(2, 1));
  assert.equal(log.filter(line => line.endsWith('run')).join(), 'A run,B run,A run,B run,A run,B run');
  assert.deepEqual(log.slice(0, 3), ['A prepare', 'A run', 'A clean']);
  assert.deepEqual(
    [...samples].map(([name, of]) => [name, of.length]),
    [
      ['A', 2],
      ['B', 2],
    ],
  );
});

void test('preparing and cleaning are not timed', async () => {
  const slow = () => realWorld.sleep(60);
  const samples = await race(
    [{ name: 'A', bytes: 0, prepare: slow, run: async () => undefined, clean: slow }],
    plan(1, 0),
  );
  assert.ok(samples.get('A')![0]!.seconds < 0.05);
});

void test('a contender that fails is cleaned up after, and the race ends', async () => {
  const log: string[] = [];
  const bad = traced('bad', log, { run: () => Promise.reject(new Error('broken')) });
  await assert.rejects(race([bad, traced('next', log)], plan(1, 0)), /broken/);
  assert.deepEqual(log, ['bad prepare', 'bad clean']);
});

void test('CPU and peak memory are told by process, our own work is not foreign', async () => {
  const spin = async (): Promise<void> => {
    const end = performance.now() + 120;
    while (performance.now() < end) Math.sqrt(end);
  };
  const samples = await race(
    [{ name: 'A', bytes: 0, run: spin, processes: () => ({ self: process.pid }) }],
    plan(1, 0),
  );
  const { cpu, peak, foreign } = samples.get('A')![0]!;
  assert.ok(cpu['self']! >= 0.05 && cpu['client'] === 0);
  assert.ok(peak['self']! > 10 && foreign >= 0);
});

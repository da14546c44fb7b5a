/** A report shows what was measured and hides no goal that was missed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columns, figure, figureOf, met, table } from './report.ts';

const sample = (seconds: number, node: number, foreign: number) => ({
  seconds,
  cpu: { node },
  peak: { node: 100 * seconds },
  foreign,
});

void test('a figure of moved bytes is MB/s with CPU seconds per GB', () => {
  const one = figureOf('pull', 2e9, [sample(4, 3, 0), sample(2, 2, 1), sample(1, 1, 2)]);
  assert.equal(one.unit, 'MB/s');
  assert.deepEqual([one.median, one.min, one.max], [1000, 500, 2000]);
  assert.deepEqual([one.cpu, one.peak, one.foreign], [{ node: 1 }, { node: 200 }, 1]);
});

void test('a figure that moves nothing is seconds', () => {
  const one = figureOf('start', 0, [sample(4, 3, 0)]);
  assert.deepEqual([one.unit, one.median, one.cpu], ['s', 4, { node: 3 }]);
});

void test('a goal is met at its limit and missed beyond it, either way', () => {
  const goal = { name: '', unit: '×', limit: 0.45 } as const;
  assert.deepEqual(
    [0.45, 0.44].map(value => met({ ...goal, value, sense: 'at least' })),
    [true, false],
  );
  assert.deepEqual(
    [0.45, 0.46].map(value => met({ ...goal, value, sense: 'at most' })),
    [true, false],
  );
  assert.equal(met({ ...goal, value: Number.NaN, sense: 'at most' }), false);
});

void test('columns are as wide as their widest entry', () => {
  assert.equal(columns(['a', 'b'], [['long', 'x']]), 'a     b\n----  -\nlong  x');
});

void test('the table shows missed goals, what was left out and why, and each file once', () => {
  const goal = { name: 'speed', value: 0.1, sense: 'at least', limit: 0.45, unit: '×' } as const;
  const ran = {
    state: 'ran',
    seconds: 1,
    figures: [figure('x', 'ms', [1, 2, 3])],
    goals: [goal],
    notes: ['a note'],
    files: { 'a.conf': 'text' },
  } as const;
  const text = table([
    { bench: 'one', ...ran },
    { bench: 'two', ...ran },
    { bench: 'three', seconds: 0, state: 'left out', why: 'no root' },
  ]);
  assert.match(text, /MISSED: speed: 0\.10 × \(at least 0\.45 ×\)/);
  assert.match(text, /left out: no root/);
  assert.equal(text.split('a.conf').length, 2);
});

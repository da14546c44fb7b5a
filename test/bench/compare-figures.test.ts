/** A comparison says "worse" only where the rounds show it, whichever way a figure is better. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compare, comparedTable, intervalOfMedian, type Values, valuesOf } from './compare-figures.ts';
import { figure, type Unit } from './report.ts';

const values = (unit: Unit, value: number, name = 'x'): Values => new Map([[name, { unit, value }]]);
const rounds = (unit: Unit, before: readonly number[], after: readonly number[], name = 'x'): [Values, Values][] =>
  before.map((old, at) => [values(unit, old, name), values(unit, after[at]!, name)]);
const TEN = [100, 101, 102, 103, 104, 105, 106, 107, 108, 109];

void test('the interval of ten values is from the 2nd to the 9th, of nine too, and of five there is none', () => {
  const ten = intervalOfMedian(TEN.toReversed())!;
  assert.deepEqual([ten.low, ten.high, ten.confidence.toFixed(4)], [101, 108, '0.9785']);
  const nine = intervalOfMedian(TEN.slice(0, 9))!;
  assert.deepEqual([nine.low, nine.high, nine.confidence.toFixed(4)], [101, 107, '0.9609']);
  const six = intervalOfMedian(TEN.slice(0, 6))!;
  assert.deepEqual([six.low, six.high, six.confidence.toFixed(4)], [100, 105, '0.9688']);
  for (const count of [0, 1, 2, 5]) assert.equal(intervalOfMedian(TEN.slice(0, count)), undefined);
});

void test('what is a tenth slower in every round is worse, in MB/s and in seconds', () => {
  for (const [unit, factor] of [
    ['MB/s', 0.9],
    ['s', 1 / 0.9],
    ['ms', 1 / 0.9],
    ['MiB', 1 / 0.9],
  ] as const) {
    const [one] = compare(
      'b',
      rounds(
        unit,
        TEN,
        TEN.map(value => value * factor),
      ),
    );
    assert.equal(one!.verdict, 'worse', unit);
    assert.ok(Math.abs(one!.ratio - 0.9) < 1e-9);
    const [other] = compare(
      'b',
      rounds(
        unit,
        TEN.map(value => value * factor),
        TEN,
      ),
    );
    assert.equal(other!.verdict, 'better', unit);
  }
});

void test('what is as it was is the same, what scatters is not shown to be either, and two rounds show nothing', () => {
  assert.equal(compare('b', rounds('s', TEN, TEN))[0]!.verdict, 'same');
  assert.equal(compare('b', rounds('s', [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]))[0]!.verdict, 'same');
  const wild = TEN.map((value, at) => value * (at % 2 ? 2 : 0.5));
  assert.equal(compare('b', rounds('s', TEN, wild))[0]!.verdict, 'not shown');
  assert.equal(compare('b', rounds('s', [1, 1], [9, 9]))[0]!.verdict, 'not shown');
});

void test('one round of luck or trouble changes nothing: it is the median that counts', () => {
  const one = TEN.map((value, at) => (at === 3 ? value * 10 : value));
  assert.equal(compare('b', rounds('s', TEN, one))[0]!.verdict, 'same');
});

void test('a yardstick is shown and never worse', () => {
  const [one] = compare(
    'b',
    rounds(
      'MB/s',
      TEN,
      TEN.map(value => value / 2),
      'nginx plain → curl',
    ),
  );
  assert.deepEqual([one!.verdict, one!.ratio], ['yardstick', 0.5]);
});

void test('only what both have in every round is compared', () => {
  const both: Values = new Map([...values('s', 1), ...values('s', 1, 'y')]);
  assert.deepEqual(
    compare('b', [
      [both, both],
      [both, values('s', 1)],
    ]).map(({ name }) => name),
    ['x'],
  );
  assert.deepEqual(compare('b', []), []);
});

void test('the CPU of our processes together is a figure of its own', () => {
  const one = figure('pull', 'MB/s', [1], { cpu: { n1: 1, taker: 2, client: 4, proxy: 8 } });
  const found = valuesOf({
    bench: 'b',
    seconds: 1,
    state: 'ran',
    figures: [one, figure('nginx', 's', [1], { cpu: { origin: 1 } })],
    goals: [],
    notes: [],
  });
  assert.deepEqual([...found.keys()], ['pull', 'pull: CPU', 'nginx']);
  assert.deepEqual(found.get('pull: CPU'), { unit: 's', value: 3 });
  assert.equal(valuesOf({ bench: 'b', seconds: 1, state: 'failed', why: 'no' }).size, 0);
});

void test('the table shouts what is worse', () => {
  const text = comparedTable(
    compare(
      'b',
      rounds(
        's',
        TEN,
        TEN.map(value => value * 2),
      ),
    ),
  );
  assert.match(text, /WORSE/);
  assert.match(text, /97\.9 %/);
});

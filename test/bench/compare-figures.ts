/**
 * Are the figures of one commit worse than those of another? Promises: pairs of one round are compared, never the two
 * piles; "worse" only where the whole interval of the ratio's median says so. Refuses to know how anything was measured.
 */
import { median } from './measure.ts';
import { columns, type Figure, type Outcome, type Unit } from './report.ts';

/** What one run of a bench says, by the figure's name. */
export type Values = ReadonlyMap<string, { readonly unit: Unit; readonly value: number }>;

/** Better or worse is said with at least this probability of being right. */
const CONFIDENCE = 0.95;
/** A figure is worse where the interval lies below this; better where it lies above its inverse. */
export const TOLERANCE = 0.95;
/** Processes of a race that are not Pinnace's. */
const NOT_OURS = new Set(['client', 'origin', 'proxy']);
/** Figures of what Pinnace is compared with: they show how steady the machine was, and are never worse. */
const YARDSTICK = /nginx|same libraries|direct|without the mirror|registry alone/;

export type Verdict = 'worse' | 'better' | 'same' | 'not shown' | 'yardstick';

/** One figure of both commits. A ratio is oriented so that less than 1 is worse. */
export interface Compared {
  readonly bench: string;
  readonly name: string;
  readonly unit: Unit;
  /** Medians of all rounds. */
  readonly before: number;
  readonly after: number;
  /** One of each round. */
  readonly ratios: readonly number[];
  readonly ratio: number;
  /** Of the median of the ratios; undefined where there are too few rounds for one. */
  readonly interval?: { readonly low: number; readonly high: number; readonly confidence: number };
  readonly verdict: Verdict;
}

/** Values of an outcome's figures; the CPU of all of Pinnace's processes together is one more. None where it did not run. */
export function valuesOf(outcome: Outcome): Values {
  const values = new Map<string, { unit: Unit; value: number }>();
  if (outcome.state !== 'ran') return values;
  for (const { name, unit, median: value, cpu } of outcome.figures) {
    values.set(name, { unit, value });
    const ours = cpuOfOurs(cpu);
    if (ours > 0) values.set(`${name}: CPU`, { unit: 's', value: ours });
  }
  return values;
}

const cpuOfOurs = (cpu: Figure['cpu']): number =>
  Object.entries(cpu ?? {}).reduce((sum, [name, seconds]) => (NOT_OURS.has(name) ? sum : sum + seconds), 0);

/**
 * An interval of the median of `values` by their order alone: from the k-th smallest to the k-th largest, with the largest k
 * that still covers it with the confidence asked for (of ten values the 2nd and the 9th: 97.9 %). Undefined below six.
 */
export function intervalOfMedian(values: readonly number[]): Compared['interval'] {
  const sorted = values.toSorted((a, b) => a - b);
  const count = sorted.length;
  let found: Compared['interval'];
  // Of `count` fair coins: the probability of exactly `below` heads, and of at most as many.
  let exactly = 2 ** -count;
  let atMost = exactly;
  for (let below = 0; below < count >> 1; below++) {
    const confidence = 1 - 2 * atMost;
    if (confidence < CONFIDENCE) break;
    found = { low: sorted[below]!, high: sorted[count - 1 - below]!, confidence };
    exactly *= (count - below) / (below + 1);
    atMost += exactly;
  }
  return found;
}

function verdictOf(name: string, interval: Compared['interval']): Verdict {
  if (YARDSTICK.test(name)) return 'yardstick';
  if (!interval) return 'not shown';
  if (interval.high < TOLERANCE) return 'worse';
  if (interval.low > 1 / TOLERANCE) return 'better';
  return interval.low >= TOLERANCE ? 'same' : 'not shown';
}

/** Compares the figures that both have in every round. */
export function compare(bench: string, rounds: readonly (readonly [before: Values, after: Values])[]): Compared[] {
  const [first] = rounds;
  const names = [...(first?.[0].keys() ?? [])].filter(name => rounds.every(pair => pair.every(side => side.has(name))));
  return names.map(name => {
    const { unit } = first![0].get(name)!;
    const [before, after] = [0, 1].map(side => rounds.map(pair => pair[side as 0 | 1].get(name)!.value)) as [
      number[],
      number[],
    ];
    // A figure of 0 on both sides is as it was.
    const ratios = before.map((old, at) =>
      old === after[at] ? 1 : unit === 'MB/s' ? after[at]! / old : old / after[at]!,
    );
    const interval = intervalOfMedian(ratios);
    return {
      bench,
      name,
      unit,
      before: median(before),
      after: median(after),
      ratios,
      ratio: median(ratios),
      ...(interval ? { interval } : {}),
      verdict: verdictOf(name, interval),
    };
  });
}

/** For a person. */
export function comparedTable(all: readonly Compared[]): string {
  const plain = (value: number): string => value.toPrecision(3);
  const rows = all.map(({ bench, name, unit, before, after, ratio, interval, verdict, ratios }) => [
    bench,
    name,
    `${plain(before)} ${unit}`,
    `${plain(after)} ${unit}`,
    ratio.toFixed(3),
    interval ? `${interval.low.toFixed(3)}–${interval.high.toFixed(3)}` : `of ${ratios.length} rounds`,
    verdict === 'worse' ? 'WORSE' : verdict,
  ]);
  const confidence = all.find(({ interval }) => interval)?.interval?.confidence;
  const head = [
    'bench',
    'figure',
    'before',
    'after',
    'ratio',
    confidence ? `${(confidence * 100).toFixed(1)} %` : 'interval',
    '',
  ];
  return columns(head, rows);
}

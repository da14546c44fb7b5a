/**
 * What a bench found, as data, as a table and as JSON. Promises: every figure carries its samples and the load that others
 * put on the machine meanwhile; a goal that was missed is shown as missed. Refuses to know how anything was measured.
 */
import { median } from './measure.ts';
import type { Sample } from './rounds.ts';

/** GB are 1e9 and MB 1e6 bytes; MiB are 2^20. */
export type Unit = 'MB/s' | 's' | 'ms' | 'MiB';

/** One measured thing: the median counts. */
export interface Figure {
  readonly name: string;
  readonly unit: Unit;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly samples: readonly number[];
  /** CPU seconds per GB moved (per run where nothing is moved), by process. */
  readonly cpu?: Readonly<Record<string, number>>;
  /** MiB: median of the peaks of resident memory in a run, by process. */
  readonly peak?: Readonly<Record<string, number>>;
  /** Cores that others kept busy meanwhile, median. */
  readonly foreign?: number;
}

/** What was promised of a value: at least or at most `limit`; better still `aim`. */
export interface Goal {
  readonly name: string;
  readonly value: number;
  readonly sense: 'at least' | 'at most';
  readonly limit: number;
  readonly aim?: number;
  readonly unit: Unit | '×';
}

export interface Findings {
  readonly figures: readonly Figure[];
  readonly goals: readonly Goal[];
  /** What a reader must know to judge the figures. */
  readonly notes: readonly string[];
  /** Configuration files of what it was compared with, as they ran, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

/** How one bench ended. */
export type Outcome = { readonly bench: string; readonly seconds: number } & (
  | ({ readonly state: 'ran' } & Findings)
  | { readonly state: 'left out' | 'failed'; readonly why: string }
);

/** True where the value keeps what was promised. */
export const met = (goal: Goal): boolean =>
  goal.sense === 'at least' ? goal.value >= goal.limit : goal.value <= goal.limit;

/** A figure from plain values. */
export const figure = (name: string, unit: Unit, samples: readonly number[], more: Partial<Figure> = {}): Figure => ({
  name,
  unit,
  median: median(samples),
  min: Math.min(...samples),
  max: Math.max(...samples),
  samples,
  ...more,
});

function medians(rows: readonly Readonly<Record<string, number>>[], by: number): Record<string, number> {
  const names = new Set(rows.flatMap(row => Object.keys(row)));
  return Object.fromEntries([...names].map(name => [name, median(rows.map(row => row[name] ?? 0)) / by]));
}

/** A figure from the samples of a race: MB/s where bytes were moved, else seconds. */
export function figureOf(name: string, bytes: number, samples: readonly Sample[]): Figure {
  const values = samples.map(({ seconds }) => (bytes > 0 ? bytes / 1e6 / seconds : seconds));
  return figure(name, bytes > 0 ? 'MB/s' : 's', values, {
    cpu: medians(
      samples.map(({ cpu }) => cpu),
      bytes > 0 ? bytes / 1e9 : 1,
    ),
    peak: medians(
      samples.map(({ peak }) => peak),
      1,
    ),
    foreign: median(samples.map(({ foreign }) => foreign)),
  });
}

const digits = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

const list = (values: Readonly<Record<string, number>> | undefined): string =>
  Object.entries(values ?? {})
    .map(([name, value]) => `${name} ${digits(value)}`)
    .join(', ');

/** Rows of text under a heading, in columns as wide as they need to be. */
export function columns(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heading.map((text, at) => Math.max(text.length, ...rows.map(row => (row[at] ?? '').length)));
  const line = (row: readonly string[]): string =>
    row
      .map((text, at) => text.padEnd(widths[at]!))
      .join('  ')
      .trimEnd();
  return [heading, widths.map(width => '-'.repeat(width)), ...rows].map(line).join('\n');
}

function findingsTable(findings: Findings): string {
  const rows = findings.figures.map(one => [
    one.name,
    `${digits(one.median)} ${one.unit}`,
    `${digits(one.min)}–${digits(one.max)}`,
    list(one.cpu),
    list(one.peak),
    one.foreign === undefined ? '' : digits(one.foreign),
  ]);
  const goals = findings.goals.map(goal => {
    const aim = goal.aim === undefined ? '' : `, aim ${goal.aim} ${goal.unit}`;
    const verdict = met(goal) ? 'met' : 'MISSED';
    return `${verdict}: ${goal.name}: ${digits(goal.value)} ${goal.unit} (${goal.sense} ${goal.limit} ${goal.unit}${aim})`;
  });
  const head = ['', 'median', 'min–max', 'CPU s/GB', 'peak MiB', 'foreign cores'];
  return [columns(head, rows), ...goals, ...findings.notes].join('\n');
}

/** For a person: one table a bench with its goals and notes, then each configuration file once. */
export function table(outcomes: readonly Outcome[]): string {
  const parts = outcomes.map(outcome => {
    const body = outcome.state === 'ran' ? findingsTable(outcome) : `${outcome.state}: ${outcome.why}`;
    return `${outcome.bench} (${outcome.seconds.toFixed(0)} s)\n${body}\n`;
  });
  const files = new Map(
    outcomes.flatMap(outcome => (outcome.state === 'ran' ? Object.entries(outcome.files ?? {}) : [])),
  );
  return [...parts, ...[...files].map(([name, text]) => `${name}:\n${text}`)].join('\n');
}

/**
 * Whether a node stays the same while it works: memory of the last third of the time against the middle one, handles and
 * sockets in the quiet at the end against the quiet at the start. Promises: a function of samples alone.
 */
import type { Sample } from './samples.ts';

/** The last third may have so much more memory than the middle one: the collector of a runtime has moods. */
export const MEMORY_MAX_RATIO = 1.1;
/** Handles and sockets that may be open at the end beyond those at the start: one peer more or less is connected twice. */
export const HANDLES_MAX_MORE = 4;

/** The times of a run, in milliseconds since the churn began. */
export interface Phases {
  /** The quiet before ends at 0, when the churn begins; this is when the churn ends. */
  readonly churnMs: number;
  /** From when it is quiet again: what idles is closed by then. */
  readonly quietMs: number;
}

type Kind = 'memory' | 'handles' | 'sockets';

/** Medians of one node, and the most of each. */
export interface Verdict {
  readonly node: string;
  /** True where it ran through: only then memory can be compared. */
  readonly steady: boolean;
  readonly memory: { readonly middle: number; readonly last: number; readonly most: number };
  readonly handles: { readonly before: number; readonly after: number; readonly most: number };
  readonly sockets: { readonly before: number; readonly after: number; readonly most: number };
  /** What is not flat, in words. */
  readonly wrong: readonly string[];
}

/** The middle one of `values`; NaN of none. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** Judges the samples of one node. */
export function judge(node: string, samples: readonly Sample[], { churnMs, quietMs }: Phases): Verdict {
  const own = samples.filter(sample => sample.node === node);
  const steady = new Set(own.map(({ pid }) => pid)).size === 1;
  const within = (kind: Kind, from: number, to: number): number =>
    median(own.filter(({ at }) => at >= from && at < to).map(sample => sample[kind]));
  const most = (kind: Kind): number => Math.max(...own.map(sample => sample[kind]));
  const level = (kind: Kind) => ({
    before: within(kind, Number.NEGATIVE_INFINITY, 0),
    after: within(kind, quietMs, Number.POSITIVE_INFINITY),
    most: most(kind),
  });
  const memory = {
    middle: within('memory', churnMs / 3, (2 * churnMs) / 3),
    last: within('memory', (2 * churnMs) / 3, churnMs),
    most: most('memory'),
  };
  const [handles, sockets] = [level('handles'), level('sockets')];
  const wrong: string[] = [];
  // Written so that a figure that is missing is wrong, too.
  if (steady && !(memory.last <= memory.middle * MEMORY_MAX_RATIO))
    wrong.push(`memory grows: ${(memory.last / memory.middle).toFixed(2)} times`);
  if (!(handles.after <= handles.before + HANDLES_MAX_MORE))
    wrong.push(`${handles.after} handles after ${handles.before}`);
  if (!(sockets.after <= sockets.before + HANDLES_MAX_MORE))
    wrong.push(`${sockets.after} sockets after ${sockets.before}`);
  return { node, steady, memory, handles, sockets, wrong };
}

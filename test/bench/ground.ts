/** What every bench stands on: a private folder, the processes it starts, how often and how large. */
import type { BenchImage } from './image.ts';
import type { Processes } from './processes.ts';
import type { Findings } from './report.ts';

export interface Ground {
  /** 0700, gone at the end. */
  readonly dir: string;
  readonly processes: Processes;
  readonly rounds: number;
  /** Bytes of the large layer. */
  readonly layerBytes: number;
  readonly signal: AbortSignal;
  /** An image with one layer of `layerBytes`; the same one when asked again. */
  image(layerBytes: number): Promise<BenchImage>;
  /** Runs when the bench has ended, well or not; the last one that was added first. */
  readonly atEnd: (work: () => Promise<void>) => void;
  /** Progress for a person. */
  readonly say: (text: string) => void;
}

/** One bench: `npm run bench -- only NAME`. */
export interface Bench {
  readonly name: string;
  readonly summary: string;
  /** Throws LeftOut where this machine cannot run it. */
  run(ground: Ground): Promise<Findings>;
}

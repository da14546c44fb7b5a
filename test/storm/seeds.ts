/**
 * Many seeds, on as many threads as there are processors. Promises: each report comes once, in whatever order; a seed that
 * ends by an exception is a broken promise too, with its number.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { scenarioOf } from './scenario.ts';
import { Storm, type StormReport } from './storm.ts';

/** A thread is ended and begun anew after so many storms: what dead nodes left behind goes with it. */
const STORMS_PER_THREAD = 50;

interface Job {
  readonly seed: number;
  readonly seconds: number;
}

type Answer = { readonly report: StormReport } | { readonly seed: number; readonly failure: string };

/** Runs the seeds from `first` on; `told` hears of each. @throws with the seed, where one ends by an exception */
export async function runSeeds(
  first: number,
  count: number,
  seconds: number,
  told: (report: StormReport) => void,
): Promise<readonly StormReport[]> {
  const reports: StormReport[] = [];
  let next = first;
  const take = (): Job | undefined => (next < first + count ? { seed: next++, seconds } : undefined);
  const thread = async (): Promise<void> => {
    while (next < first + count)
      await onOneThread(take, report => {
        reports.push(report);
        told(report);
      });
  };
  await Promise.all(Array.from({ length: Math.min(count, availableParallelism()) }, thread));
  return reports.sort((a, b) => a.seed - b.seed);
}

async function onOneThread(take: () => Job | undefined, told: (report: StormReport) => void): Promise<void> {
  const worker = new Worker(new URL(import.meta.url));
  try {
    for (let storms = 0; storms < STORMS_PER_THREAD; storms++) {
      const job = take();
      if (!job) return;
      const answered = once(worker, 'message') as Promise<[Answer]>;
      worker.postMessage(job);
      const [answer] = await answered.catch((error: unknown) => {
        throw new Error(`seed ${job.seed}: ${String(error)}`, { cause: error });
      });
      if ('failure' in answer) throw new Error(`seed ${answer.seed}: ${answer.failure}`);
      told(answer.report);
    }
  } finally {
    await worker.terminate();
  }
}

if (!isMainThread)
  parentPort?.on('message', ({ seed, seconds }: Job) => {
    new Storm(scenarioOf(seed, { seconds })).run().then(
      report => parentPort?.postMessage({ report }),
      (error: unknown) =>
        parentPort?.postMessage({
          seed,
          failure: error instanceof Error ? (error.stack ?? error.message) : String(error),
        }),
    );
  });

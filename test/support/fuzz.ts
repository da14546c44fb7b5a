/**
 * fast-check for the fuzz suite: bounded runs whose seed is printed, so that a failure can be run again
 * (`FUZZ_SEED=… node --test …`); `FUZZ_RUNS` asks for more of them.
 */
import fc from 'fast-check';

/** Runs of a property unless FUZZ_RUNS says otherwise. */
const RUNS = 2000;
/** Milliseconds after which a property is left, whatever its runs. */
const LIMIT_MS = 20_000;

/** Runs a property; prints its seed. @throws where it does not hold */
export function fuzz<Ts>(property: fc.IPropertyWithHooks<Ts> | fc.IProperty<Ts>, runs = RUNS): void {
  const seed = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`seed ${seed}`);
  const factor = Number(process.env.FUZZ_RUNS ?? RUNS) / RUNS;
  fc.assert(property, {
    seed,
    numRuns: Math.ceil(runs * factor),
    interruptAfterTimeLimit: Math.ceil(LIMIT_MS * Math.max(1, factor)),
  });
}

/** Milliseconds of processor time that `work` takes: the same on a busy machine. */
export function cost(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

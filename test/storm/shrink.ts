/**
 * Makes a failing storm small: leaves out actions as long as the same promise breaks. Promises: a bounded number of storms;
 * what is left fails by itself, with its actions named by their numbers in the seed's scenario.
 */
import type { Promised } from './promises.ts';
import { type Scenario, without } from './scenario.ts';
import { Storm } from './storm.ts';

/** Storms that a shrinking may take. */
const STORMS_MAX = 60;

/** The actions, by number, without which `promise` still breaks: as many as were found. */
export async function shrink(
  scenario: Scenario,
  promise: Promised,
  run: (smaller: Scenario) => Promise<Promised | undefined> = breaks,
): Promise<ReadonlySet<number>> {
  let left: ReadonlySet<number> = new Set();
  let storms = 0;
  for (let size = Math.ceil(scenario.actions.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2))
    for (let from = 0; from < scenario.actions.length && storms < STORMS_MAX; from += size) {
      const more = Array.from({ length: size }, (_, at) => from + at).filter(
        at => at < scenario.actions.length && !left.has(at),
      );
      if (more.length === 0) continue;
      const tried = new Set([...left, ...more]);
      storms += 1;
      if ((await run(without(scenario, tried))) === promise) left = tried;
    }
  return left;
}

const breaks = async (scenario: Scenario): Promise<Promised | undefined> =>
  (await new Storm(scenario).run()).broken?.promise;

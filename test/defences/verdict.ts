/**
 * What a run says of a defence. Promises: caught is only what failed by the named test's own assertion, or with the named
 * code; a test that breaks by accident, hangs, or does not run has caught nothing. Refuses to know how it was run.
 */
import type { Defence } from './defence.ts';
import type { Ended, Failure } from './reporter.ts';
import type { Run } from './tree.ts';

export type Verdict = 'caught' | 'survived' | 'wrong reason' | 'not applicable' | 'never held';

/** One row with what came of it. */
export interface Judged {
  readonly defence: string;
  readonly verdict: Verdict;
  /** What the test failed by, or why it caught nothing. */
  readonly why: string;
}

/** The chosen tests of a run that have the row's name. */
const chosen = (run: Run, { named }: Defence): readonly Ended[] => run.ended.filter(({ name }) => name === named);

/** Why the test does not hold while the defence is there; undefined where it does. */
export function baselineFault(run: Run, defence: Defence): string | undefined {
  const tests = chosen(run, defence);
  if (run.hung) return 'the test did not end';
  if (tests.length !== 1) return `${tests.length} tests of that name ran ${run.said}`;
  return tests[0]!.passed ? undefined : `it fails with the defence in: ${tests[0]!.errors[0]?.message ?? ''}`;
}

/** True where a test failed by what it asserts, or with the code itself; by nothing that merely broke. */
const isMeant = (errors: readonly Failure[], code: string): boolean =>
  errors.some(error => error.code === 'ERR_ASSERTION' || (error.name === 'MirrorError' && error.code === code)) &&
  !errors.some(error => ['SyntaxError', 'ReferenceError', 'TypeError', 'RangeError'].includes(error.name));

/** What a run without the defence says. */
export function verdictOf(run: Run, row: Defence): Judged {
  const { defence, code } = row;
  const judged = (verdict: Verdict, why = ''): Judged => ({ defence, verdict, why });
  const failed = chosen(run, row).filter(({ passed }) => !passed);
  const [first] = failed;
  if (run.hung) return judged('wrong reason', 'the test did not end');
  if (!first) return chosen(run, row).length ? judged('survived') : judged('wrong reason', `nothing ran: ${run.said}`);
  const said = first.errors.map(error => `${error.name} ${error.code ?? ''} ${error.message}`).join(' < ');
  if (first.failure !== 'testCodeFailure') return judged('wrong reason', `${first.failure}: ${said}`);
  return judged(isMeant(first.errors, code) ? 'caught' : 'wrong reason', said);
}

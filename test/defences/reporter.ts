/**
 * Tells how each test ended, one line of JSON each, with what it failed by: the error and all its causes. Promises: a
 * failure by assertion can be told from one by accident. Refuses to know what was expected.
 */
import type { TestEvent } from 'node:test/reporters';

/** One error of a chain of causes. */
export interface Failure {
  readonly name: string;
  readonly code?: string;
  readonly message: string;
}

/** One test that ended. */
export interface Ended {
  readonly name: string;
  readonly passed: boolean;
  /** How the runner calls the failure: testCodeFailure, hookFailed, testTimeoutFailure, … */
  readonly failure?: string;
  readonly errors: readonly Failure[];
}

/** Causes that are followed. */
const CAUSES_MAX = 8;

function chainOf(error: unknown): readonly Failure[] {
  const chain: Failure[] = [];
  for (let at = error; at instanceof Error && chain.length < CAUSES_MAX; at = at.cause) {
    const { name, message, code } = at as Error & { code?: unknown };
    chain.push({ name, message: message.slice(0, 2000), ...(typeof code === 'string' ? { code } : {}) });
  }
  return chain;
}

/** A reporter of node:test; suites and what was skipped or not chosen are left out. */
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string, void> {
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite' || (data.skip !== undefined && data.skip !== false)) continue;
    const error = (data.details as { error?: Error & { failureType?: string } }).error;
    const ended: Ended = {
      name: data.name,
      passed: type === 'test:pass',
      ...(error?.failureType === undefined ? {} : { failure: error.failureType }),
      errors: chainOf(error?.cause ?? error),
    };
    yield `${JSON.stringify(ended)}\n`;
  }
}

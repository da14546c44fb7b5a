/**
 * How a system test is written: one sentence and a body that gets a lab. Promises: where the machine cannot run it, it is
 * skipped with the reason, and with CI=true it fails instead.
 */
import { test } from 'node:test';
import { type Lab, withLab } from './lab.ts';
import { systemReady } from './packages.ts';

/** No system test takes longer, in milliseconds, unless it says so. */
const TIMEOUT_MS = 180_000;

/** Declares one system test; `timeoutMs` bounds it. */
export function systemTest(name: string, body: (lab: Lab) => Promise<void>, timeoutMs: number = TIMEOUT_MS): void {
  // A time-out of the test itself would leave the lab standing; this one ends its processes first.
  void test(name, { timeout: timeoutMs + 30_000 }, async context => {
    const ready = await systemReady();
    if (!ready.ok) return context.skip(ready.why);
    await withLab(ready, lab => limited(body(lab), timeoutMs));
  });
}

async function limited(work: Promise<void>, ms: number): Promise<void> {
  const timer = Promise.withResolvers<never>();
  const clock = setTimeout(() => timer.reject(new Error(`the test took longer than ${ms} ms`)), ms);
  try {
    await Promise.race([work, timer.promise]);
  } finally {
    clearTimeout(clock);
  }
}

/** The bench of the policy runs, and is not beyond its goals by an order of magnitude, however busy the machine is. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { DECISION_LIMIT_MS, LOAD_LIMIT_MS, MEMORY_LIMIT_MIB, policyFindings } from './bench-policy.ts';

const TIMES = 10;

void test('1,000 rules and 100,000 pins load, stay and decide within ten times their goals', async () => {
  const found = await policyFindings(async args => (await promisify(execFile)(process.execPath, [...args])).stdout);
  assert.ok(found.loadMs < TIMES * LOAD_LIMIT_MS, `loaded in ${found.loadMs} ms`);
  const resident = found.residentAfter - found.residentBefore;
  // Memory does not depend on how busy the machine is.
  assert.ok(resident < 2 * MEMORY_LIMIT_MIB, `${resident} MiB`);
  assert.ok(found.decideMs50 < TIMES * DECISION_LIMIT_MS, `decided in ${found.decideMs50} ms`);
});

/** The measures read what the kernel says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  cpuOf,
  familyOf,
  machineCpuFrom,
  median,
  peakOf,
  percentile,
  residentOf,
  resetPeak,
  statFields,
  statusLine,
} from './measure.ts';

void test('the median is the middle value, or the mean of the middle two', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.ok(Number.isNaN(median([])));
});

void test('a percentile is a value that was seen', () => {
  const hundred = Array.from({ length: 100 }, (_, at) => 100 - at);
  assert.equal(percentile(hundred, 0.95), 95);
  assert.equal(percentile([7], 0.99), 7);
  assert.equal(percentile([3, 1], 0), 1);
});

void test('a command with blanks and brackets in its name does not shift the fields', () => {
  assert.deepEqual(statFields('12 (a ) b) R 1 12').slice(0, 3), ['R', '1', '12']);
});

void test('the machine has worked in all but its idle and waiting time', () => {
  // user nice system idle iowait irq softirq steal guest guest_nice
  assert.equal(machineCpuFrom('cpu  100 10 50 9999 8888 1 2 37 5 5\ncpu0 1 1\n'), 2);
});

void test('a line of status is read in MiB, and a missing one is not zero', () => {
  assert.equal(statusLine('Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n', 'VmHWM'), 2);
  assert.equal(statusLine('Name:\tx\n', 'VmRSS'), undefined);
});

void test('a family is a process and its children', () => {
  assert.deepEqual(familyOf(process.pid).slice(0, 1), [process.pid]);
  assert.deepEqual(familyOf(2 ** 30), []);
});

void test('work shows as CPU seconds, and memory as a peak that can be reset', () => {
  const before = cpuOf([process.pid]);
  const end = performance.now() + 80;
  while (performance.now() < end) Math.sqrt(end);
  assert.ok(cpuOf([process.pid]) - before >= 0.03);
  const resident = residentOf([process.pid]);
  assert.ok(resident > 10 && peakOf([process.pid]) >= resident * 0.9);
  resetPeak([process.pid]);
  assert.ok(Math.abs(peakOf([process.pid]) - residentOf([process.pid])) < 16);
});

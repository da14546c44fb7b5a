/** What a bench starts it also ends. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { createProcesses, freePorts, until } from './processes.ts';

const gone = (pid: number): boolean => !existsSync(`/proc/${pid}`);

void test('a process that runs is ended by stopAll, and its output is kept', async () => {
  const processes = createProcesses(new AbortController().signal);
  const running = processes.start('sh', ['-c', 'echo out; echo err >&2; exec sleep 60']);
  await until(
    'its output',
    5_000,
    AbortSignal.timeout(5_000),
    async () => /out[^]*err|err[^]*out/.test(running.output()) || undefined,
  );
  assert.equal(running.ended(), false);
  await processes.stopAll();
  assert.equal(running.ended(), true);
  assert.ok(gone(running.pid));
});

void test('a command that fails throws with what it wrote', async () => {
  const processes = createProcesses(new AbortController().signal);
  assert.equal(await processes.run('sh', ['-c', 'echo yes; echo no >&2']), 'yes\n');
  await assert.rejects(processes.run('sh', ['-c', 'echo why >&2; exit 3']), /exit 3\nwhy/);
});

void test('a program that is not there is an error that names it', async () => {
  const processes = createProcesses(new AbortController().signal);
  assert.throws(() => processes.start('/nonexistent/program', []), /program did not start/);
  await assert.rejects(processes.run('/nonexistent/program', []), /program/);
});

void test('an abort ends a command that runs, and none begins after it', async () => {
  const stop = new AbortController();
  const processes = createProcesses(stop.signal);
  const run = processes.run('sleep', ['60']);
  stop.abort(new Error('enough'));
  await assert.rejects(run, /SIGTERM/);
  assert.throws(() => processes.start('sleep', ['60']), /enough/);
});

void test('waiting ends with the answer, or with what was waited for', async () => {
  let asked = 0;
  const signal = new AbortController().signal;
  assert.equal(await until('third', 5_000, signal, async () => (++asked === 3 ? 'yes' : undefined), 1), 'yes');
  await assert.rejects(
    until('never', 5, signal, async () => undefined, 1),
    /never: not within 5 ms/,
  );
});

void test('free ports are distinct', async () => {
  const ports = await freePorts(4);
  assert.equal(new Set(ports).size, 4);
});

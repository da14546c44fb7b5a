/** Ctrl-C on a process as a person starts it: once to end well, once more to end at once. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { furtherPress } from '../../src/cli/interrupt.ts';

const PINNACE = fileURLToPath(new URL('../../src/cli/pinnace', import.meta.url));
const SOON_MS = 10_000;
/** Longer than one key press that comes twice. */
const NEXT_KEY_MS = 400;

void test('a key that npm hands on is heard twice and counts once; the next key is another', () => {
  let now = 1e6;
  const further = furtherPress({ monotonic: () => now });
  const heard = [0, 0, 5, 290, 10, 400].map(later => {
    now += later;
    return further();
  });
  assert.deepEqual(heard, [false, false, false, false, true, true]);
});

void test('a second Ctrl-C ends what the first one did not end', { timeout: 60_000 }, async t => {
  const dir = await mkdtemp(join(tmpdir(), 'pinnace-interrupt-'));
  t.after(() => rm(dir, { recursive: true }));
  // A node that takes a question and never answers: what asks it cannot end by itself.
  const asked = Promise.withResolvers<void>();
  const server = createServer(() => asked.resolve());
  const socket = join(dir, 'control.sock');
  await new Promise<void>(resolve => server.listen(socket, resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const child = spawn(PINNACE, ['status', '--socket', socket], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  const ended = new Promise<unknown>(resolve => child.once('exit', (code, signal) => resolve(code ?? signal)));
  await Promise.race([asked.promise, delay(SOON_MS, undefined, { ref: false })]);
  // A slow machine may hear some of them late, or as one.
  for (let keys = 0; keys < 20 && child.exitCode === null; keys++) {
    child.kill('SIGINT');
    await Promise.race([ended, delay(NEXT_KEY_MS)]);
  }
  assert.equal(child.exitCode, 130);
});

/** A runbook as it stands in README, by a shell, on nodes that are processes. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { eventually, ProcessCluster } from '../support/nodes.ts';
import { readRunbooks } from './runbooks.ts';

const MS = 40_000;
const PINNACE = fileURLToPath(new URL('../../src/cli/pinnace', import.meta.url));
const shell = promisify(execFile);

void test('the issuer is replaced by the commands of README, on running nodes', async () => {
  const cluster = await ProcessCluster.make(2);
  try {
    const [n1, n2] = [await cluster.add('n1'), await cluster.add('n2')];
    for (const node of [n1, n2]) await node.start();
    // The README's layout, and an npx that knows one package.
    const here = join(cluster.dir, 'here');
    await mkdir(join(here, 'bin'), { recursive: true });
    await symlink(cluster.dir, join(here, 'nodes'));
    await writeFile(join(here, 'bin', 'npx'), `#!/bin/sh\nshift\nexec ${PINNACE} "$@"\n`);
    await chmod(join(here, 'bin', 'npx'), 0o755);
    const env = { ...process.env, PATH: `${join(here, 'bin')}:${process.env.PATH}` };
    const run = (lines: readonly string[]) => shell('sh', ['-ec', lines.join('\n')], { cwd: here, env });
    const all = (good: (roster: Awaited<ReturnType<typeof n1.status>>['roster']) => boolean) =>
      eventually('both nodes have it', MS, async () => {
        const [first, second] = await Promise.all([n1.status(), n2.status()]);
        const linked = [first, second].every(({ peers }) => peers.some(({ connected }) => connected));
        return ([first, second].every(({ roster }) => good(roster)) && linked) || undefined;
      });
    const lines = (await readRunbooks()).get('rotate') ?? [];
    const finish = lines.findIndex(line => line.includes('--finish'));
    const { issuer } = (await n1.status()).roster;
    await run(lines.slice(0, finish));
    await all(({ next }) => next?.nodes === 2);
    await run(lines.slice(finish));
    await all(({ next, issuer: now, seq }) => !next && now !== issuer && seq === 3);
    for (const node of [n1, n2]) {
      const revoked = (await node.records()).filter(({ event }) => event === 'peer.revoked');
      assert.deepEqual(revoked, [], 'nobody was cut off');
    }
  } finally {
    await cluster.remove();
  }
});

/** The README's "Three nodes by hand": exactly its commands, in a fresh copy of this checkout, on a machine of its own. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Status } from '../../src/cli/node-status.ts';
import { writeDockerArchive } from '../support/images.ts';
import { run, start, type Started, until } from '../support/system/processes.ts';
import { systemTest } from '../support/system/suite.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COMMANDS_MAX = 10;
const MARK = '=== status of n3 ===';
/** What may differ between the nodes' configurations: name, state folder, ports. */
const OWN_LINES = /^\s*(node|stateDir|listen|lanes):/;
const GONE_MS = 15_000;

/** Copies what git knows of this checkout, as it stands on the disk. */
async function freshCopy(into: string): Promise<void> {
  const listed = await run(['git', '-c', 'safe.directory=*', '-C', ROOT, 'ls-files', '-z']);
  for (const file of listed.split('\0').filter(name => name && existsSync(join(ROOT, name)))) {
    await mkdir(dirname(join(into, file)), { recursive: true });
    await copyFile(join(ROOT, file), join(into, file));
  }
}

async function commands(): Promise<readonly string[]> {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const block = /<!-- commands: three nodes by hand -->\s*```sh\n([\s\S]*?)```\s*<!-- end -->/.exec(readme)?.[1];
  assert.ok(block, 'README has no commands for three nodes by hand');
  return block.trimEnd().split('\n');
}

/**
 * An npm for which `npm ci` alone is something else: it gives the packages of this checkout, which come from the same lock
 * file. A real `npm ci` needs the package registry, and would empty a node_modules that is a link.
 */
async function standInForNpm(folder: string): Promise<string> {
  const npm = (await run(['sh', '-c', 'command -v npm'])).trim();
  await mkdir(folder);
  const link = `exec ln -sT ${ROOT}node_modules node_modules`;
  await writeFile(join(folder, 'npm'), `#!/bin/sh\n[ "$1" = ci ] && ${link}\nexec ${npm} "$@"\n`, { mode: 0o755 });
  return folder;
}

/** The environment of somebody who just opened a shell: npm, which may run this test, leaves much in its own. */
const freshEnvironment = (first: string): NodeJS.ProcessEnv => {
  const own = Object.entries(process.env).filter(([name]) => !/^npm_|^NODE_|^INIT_CWD$/i.test(name));
  const path = (process.env.PATH ?? '').split(':').filter(folder => !folder.includes('node_modules'));
  return { ...Object.fromEntries(own), PATH: [first, ...path].join(':') };
};

/** Ends everything that the shell left in its own process group, and waits until it is gone. */
async function endGroup(shell: Started): Promise<void> {
  const signal = (name: NodeJS.Signals | 0): boolean => {
    try {
      return process.kill(-shell.pid, name);
    } catch {
      return false;
    }
  };
  signal('SIGTERM');
  await shell.stop();
  await until('the nodes ended', GONE_MS, async () => !signal(0)).finally(() => signal('SIGKILL'));
}

systemTest("the README's commands make three nodes that share an image", async lab => {
  const copy = join(lab.folder, 'pinnace');
  await freshCopy(copy);
  const image = await lab.image({
    reference: 'registry.example/team/app:1',
    layers: [{ randomBytes: 12 << 20, seed: 'by hand' }, { files: { 'etc/name': 'app' } }],
  });
  await writeDockerArchive(image, join(copy, 'image.tar'));

  const lines = await commands();
  assert.ok(lines.length <= COMMANDS_MAX, `${lines.length} commands`);
  const after = `echo '${MARK}'\nsrc/cli/pinnace status --json --config nodes/n3.yaml\n`;
  await writeFile(join(lab.folder, 'by-hand.sh'), `set -e\n${lines.join('\n')}\n${after}`);
  const { netns } = await lab.host('n');
  const env = freshEnvironment(await standInForNpm(join(lab.folder, 'bin')));
  // A session of its own: what the shell leaves in the background has its process group.
  const shell = await start(['setsid', 'bash', join(lab.folder, 'by-hand.sh')], { netns, env, cwd: copy });
  lab.atEnd(() => endGroup(shell));
  assert.equal(await shell.ended, 0, shell.log());

  const [before = '', last = ''] = shell.log().split(`${MARK}\n`);
  const status = JSON.parse(last.slice(0, last.indexOf('\n'))) as Status;
  assert.equal(status.node, 'n3');
  assert.deepEqual(
    status.peers
      .filter(({ connected }) => connected)
      .map(({ name }) => name)
      .toSorted(),
    ['n1', 'n2'],
  );
  // Manifest, config and two layers, now offered by the third as well.
  assert.equal(status.holdings.contents, 4, shell.log());
  const digests = [...before.matchAll(/^registry\.example\/team\/app:1\s+(sha256:[a-f0-9]{64})/gm)].map(
    ([, one]) => one,
  );
  assert.equal(digests.length, 3, before);
  assert.equal(new Set(digests).size, 1);

  const example = (await readFile(join(ROOT, 'deploy', 'config.example.yaml'), 'utf8')).split('\n');
  for (const name of ['n1', 'n2', 'n3']) {
    const config = (await readFile(join(copy, 'nodes', `${name}.yaml`), 'utf8')).split('\n');
    const other = config.filter((line, at) => line !== example[at] && !OWN_LINES.test(line));
    assert.deepEqual([config.length, other], [example.length, []]);
  }
});

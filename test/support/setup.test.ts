/** `setup.sh` in a made-up checkout, with an npm of our own on PATH: nothing is installed, nothing is fetched. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';

/** What the made-up npm does in the checkout, given the version of Node that it installs. */
const installs = (version: string): string =>
  `mkdir -p node_modules/.bin; touch node_modules/.package-lock.json npm-ran
   printf '#!/bin/sh\\necho ${version}\\n' >node_modules/.bin/node; chmod +x node_modules/.bin/node`;

function checkout(
  t: TestContext,
  npm: string,
): { dir: string; setup: () => { status: number | null; stderr: string } } {
  const dir = mkdtempSync(join(tmpdir(), 'pinnace setup-'));
  t.after(() => rmSync(dir, { recursive: true }));
  mkdirSync(join(dir, 'test/support'), { recursive: true });
  copyFileSync(join(import.meta.dirname, 'setup.sh'), join(dir, 'test/support/setup.sh'));
  writeFileSync(join(dir, 'package-lock.json'), '{}');
  mkdirSync(join(dir, 'bin'));
  writeFileSync(join(dir, 'bin/npm'), `#!/bin/sh\n${npm}\n`);
  chmodSync(join(dir, 'bin/npm'), 0o755);
  const env = { PATH: `${join(dir, 'bin')}:/usr/bin:/bin` };
  const setup = (): { status: number | null; stderr: string } => {
    const { status, stderr } = spawnSync('sh', [join(dir, 'test/support/setup.sh')], {
      env,
      encoding: 'utf8',
      cwd: '/',
    });
    return { status, stderr };
  };
  return { dir, setup };
}

void describe('setup.sh', () => {
  void it('installs once, with one line, and says nothing the next time', t => {
    const { dir, setup } = checkout(t, installs('v24.15.0'));
    const first = setup();
    assert.equal(first.status, 0);
    assert.equal(first.stderr.trim().split('\n').length, 1);
    rmSync(join(dir, 'npm-ran'));
    assert.deepEqual(setup(), { status: 0, stderr: '' });
    assert.equal(existsSync(join(dir, 'npm-ran')), false);
  });

  void it('installs again when the lock file is newer than what is installed', t => {
    const { dir, setup } = checkout(t, installs('v26.0.0'));
    setup();
    rmSync(join(dir, 'npm-ran'));
    const later = Date.now() / 1000 + 60;
    utimesSync(join(dir, 'package-lock.json'), later, later);
    assert.equal(setup().status, 0);
    assert.equal(existsSync(join(dir, 'npm-ran')), true);
  });

  void it('shows what npm said, and fails, when npm fails', t => {
    const { setup } = checkout(t, 'echo no route to the registry; exit 1');
    const { status, stderr } = setup();
    assert.equal(status, 69);
    assert.ok(stderr.includes('no route to the registry'));
  });

  for (const version of ['v20.19.2', 'v24.14.9'])
    void it(`refuses Node ${version}`, t => {
      const { setup } = checkout(t, installs(version));
      assert.equal(setup().status, 69);
    });

  void it('accepts a later major whose minor is small', t => {
    assert.equal(checkout(t, installs('v25.0.1')).setup().status, 0);
  });

  void it('fails when Node is there but does not run', t => {
    const { setup } = checkout(t, `${installs('v26.0.0')}; printf 'exit 127' >node_modules/.bin/node`);
    assert.equal(setup().status, 69);
  });
});

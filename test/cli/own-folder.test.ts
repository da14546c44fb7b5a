/** The state folder is the node's alone before anything is read from it. */
import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it, test } from 'node:test';
import { ownFolder } from '../../src/cli/own-folder.ts';
import { hasCode } from '../../src/errors.ts';
import { nodeFolder, tryRun } from '../attack/state-ground.ts';

void test('pinnace run makes its state folder the owner’s alone, and says so', async () => {
  const folder = await nodeFolder();
  await chmod(folder.stateDir, 0o755);
  assert.equal((await tryRun(folder.config)).exit, undefined);
  assert.equal((await stat(folder.stateDir)).mode & 0o7777, 0o700);
  await folder.remove();
});

void describe('a state folder', () => {
  let dir: string;
  let stateDir: string;
  let warned: object[];
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pinnace-own-'));
    stateDir = join(dir, 'state');
    warned = [];
  });
  afterEach(() => rm(dir, { recursive: true }));
  const own = (clientTokenFile = join(stateDir, 'client-token')): Promise<void> =>
    ownFolder(
      { stateDir, tokenFile: join(stateDir, 'token'), mirror: { listen: '127.0.0.1:5000', clientTokenFile } },
      { warn: fields => void warned.push(fields) },
    );
  const make = async (mode: number, ...files: string[]): Promise<void> => {
    await mkdir(stateDir);
    for (const file of files) await writeFile(join(stateDir, file), '');
    await chmod(stateDir, mode);
  };
  const mode = async (): Promise<number> => (await stat(stateDir)).mode & 0o7777;

  for (const [what, files] of [
    ['that is empty', []],
    ['in which only its tokens lie', ['token', 'client-token']],
    ['of a node that ran before', ['token', 'start.json', 'audit.jsonl', 'spool']],
  ] as const)
    for (const before of [0o755, 0o770, 0o711, 0o1777])
      void it(`${what} and has the mode ${before.toString(8)} becomes the owner's alone, and that is said`, async () => {
        await make(before, ...files);
        await own();
        assert.deepEqual([await mode(), warned.length], [0o700, 1]);
      });

  void it('that may be somebody else’s is refused, and stays as it is', async () => {
    await make(0o755, 'token', 'letters.txt');
    await assert.rejects(own(), error => hasCode(error, 'SECRET_EXPOSED') && error.message.includes(stateDir));
    assert.deepEqual([await mode(), warned], [0o755, []]);
  });

  void it('that is the owner’s alone, whatever lies in it, or that is not there yet, is left as it is', async () => {
    await own();
    await make(0o700, 'letters.txt');
    await own();
    assert.deepEqual([await mode(), warned], [0o700, []]);
  });
});

/** What lies on a node's disk unreadable, cut short, exposed, or of a newer version: a clear error by name, nothing lost. */
import assert from 'node:assert/strict';
import { chmod, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Code } from '../../src/errors.ts';
import { filesOf, type NodeFolder, nodeFolder, runFor, tryRun } from './state-ground.ts';

type Harm = 'cut in half' | 'emptied' | 'of a newer version' | 'a folder' | 'nonsense';

/** Does that to a file; false where it cannot be done to it. */
async function harm(path: string, how: Harm): Promise<boolean> {
  const bytes = await readFile(path);
  switch (how) {
    case 'cut in half':
      await writeFile(path, bytes.subarray(0, bytes.length / 2));
      return true;
    case 'emptied':
      await writeFile(path, '');
      return true;
    case 'nonsense':
      await writeFile(path, Buffer.from('\x00\xff\nnonsense\n', 'latin1'));
      return true;
    case 'a folder':
      await rm(path);
      await mkdir(path);
      return true;
    case 'of a newer version': {
      const old = bytes.toString().replace('pinnace/statements/1\n', 'pinnace/statements/9\n');
      const text = old.replace('"version":1', '"version":99').replace('"1.0.0"', '"9.0.0"');
      await writeFile(path, text);
      return text !== bytes.toString();
    }
  }
}

const HARMS: readonly Harm[] = ['cut in half', 'emptied', 'of a newer version', 'a folder', 'nonsense'];
/** Files that only remember what others say again: where they are damaged, the node starts without. */
const HINTS = ['nodes.json', 'tags.json'];
/** A log that a crash cut short goes on; what is no log is refused. */
const TORN: readonly Harm[] = ['cut in half', 'emptied'];

function expected(file: string, how: Harm): { code: Code; exit: number } | undefined {
  if (how === 'a folder') return { code: 'FILE_UNREADABLE', exit: 69 };
  if (HINTS.includes(file) && how !== 'of a newer version') return undefined;
  if (file === 'audit.jsonl' && TORN.includes(how)) return undefined;
  return { code: how === 'of a newer version' ? 'STATE_NEWER' : 'STATE_INVALID', exit: 64 };
}

void describe('a state file', () => {
  let folder: NodeFolder;
  let good: string;
  let files: string[] = [];
  before(async () => {
    folder = await nodeFolder();
    assert.match(await runFor(folder, 300), /ok/);
    good = join(folder.dir, 'good');
    // Written only once there is something to keep.
    await writeFile(join(folder.stateDir, 'evidence.json'), '{"version":1,"evidence":[]}\n');
    files = (await filesOf(folder.stateDir)).filter(file => !file.includes('.pinnace'));
    await cp(folder.stateDir, good, { recursive: true });
  });
  after(() => folder.remove());
  let copies = 0;
  /** Another node folder with the same files; a node that ended a moment ago may still write into the last one. */
  const copy = async (): Promise<{ state: string; config: string }> => {
    copies += 1;
    const [state, config] = [join(folder.dir, `copy${copies}`), join(folder.dir, `copy${copies}.yaml`)];
    await cp(good, state, { recursive: true });
    await writeFile(config, (await readFile(folder.config, 'utf8')).replace('./n1\n', `${state}\n`));
    return { state, config };
  };

  void it('is there for each thing that a node keeps', () => {
    const kept = [
      'attachments/index.json',
      'attachments/oci-layout',
      'audit.jsonl',
      'credentials.json',
      'evidence.json',
      'layout/index.json',
      'layout/oci-layout',
      'nodes.json',
      'origins.json',
      'policy.json',
      'roster.jwt',
      'start.json',
      'stated-tags.json',
      'tags.json',
    ];
    assert.deepEqual([...files].sort(), kept);
  });

  for (const how of HARMS)
    void it(`${how} is refused by its path and code, and left as it is`, async () => {
      for (const file of files) {
        const { state, config } = await copy();
        const path = join(state, file);
        if (!(await harm(path, how))) continue;
        const refusal = expected(file, how);
        const before = how === 'a folder' ? undefined : await readFile(path);
        const { exit, said } = await tryRun(config, refusal ? 5_000 : 150);
        assert.equal(exit, refusal?.exit, `${file}: ${said}`);
        if (!refusal) continue;
        assert.ok(said.includes(path) && said.includes(`(${refusal.code})`), `${file}: ${said}`);
        if (before) assert.deepEqual(await readFile(path), before, file);
      }
    });

  void it('that nothing happened to starts again', async () => {
    assert.equal((await tryRun((await copy()).config, 100)).exit, undefined);
  });
});

void describe('what a node is given', () => {
  let folder: NodeFolder;
  before(async () => {
    folder = await nodeFolder();
  });
  after(() => folder.remove());

  /** Runs with one file changed, and puts it back. */
  async function refused(
    file: string,
    change: () => Promise<unknown>,
  ): Promise<{ exit: number | undefined; said: string }> {
    const was = await readFile(file);
    await change();
    const outcome = await tryRun(folder.config, 5_000);
    await rm(file, { recursive: true, force: true });
    await writeFile(file, was, { mode: 0o600 });
    return outcome;
  }
  const text = async (file: string): Promise<string> => readFile(file, 'utf8');
  const check = (
    { exit, said }: { exit: number | undefined; said: string },
    status: number,
    code: Code,
    file: string,
  ): void => {
    assert.equal(exit, status, said);
    assert.ok(said.includes(file) && said.includes(`(${code})`), said);
    assert.doesNotMatch(said, /pjt\d\.[\w-]{8}/);
  };

  void it('by a configuration that is absent, cut short, or says something unknown is refused', async () => {
    const { config } = folder;
    check(await refused(config, () => rm(config)), 69, 'FILE_UNREADABLE', config);
    const half = (await text(config)).slice(0, 60);
    check(await refused(config, () => writeFile(config, half)), 64, 'CONFIG_INVALID', config);
    const broken = `${await text(config)}mirror: [\n`;
    check(await refused(config, () => writeFile(config, broken)), 64, 'YAML_INVALID', config);
    const unknown = `${await text(config)}extra: 1\n`;
    check(await refused(config, () => writeFile(config, unknown)), 64, 'CONFIG_INVALID', config);
  });

  void it('by a token that is absent, exposed, cut short, nonsense or another node’s is refused, and never printed', async () => {
    const { token } = folder;
    check(await refused(token, () => rm(token)), 69, 'FILE_UNREADABLE', token);
    check(await refused(token, () => chmod(token, 0o644)), 64, 'SECRET_EXPOSED', token);
    const whole = await text(token);
    check(await refused(token, () => writeFile(token, whole.slice(0, whole.length / 2))), 64, 'TOKEN_INVALID', token);
    check(await refused(token, () => writeFile(token, '')), 64, 'TOKEN_INVALID', token);
    check(await refused(token, () => writeFile(token, whole.replace('pjt1.', 'pjt2.'))), 64, 'TOKEN_INVALID', token);
    const { config } = folder;
    const renamed = (await text(config)).replace('node: n1', 'node: n2');
    check(await refused(config, () => writeFile(config, renamed)), 64, 'CONFIG_INVALID', token);
  });

  void it('by a policy that is absent, cut short or wrong leaves it up, and not ready, which it says with the reason', async () => {
    const { policy } = folder;
    const was = await text(policy);
    for (const [harmed, code] of [
      [undefined, 'FILE_UNREADABLE'],
      ['registries: [r.te', 'YAML_INVALID'],
      [was.replace('kind: ', 'kinds: '), 'POLICY_INVALID'],
    ] as const) {
      await (harmed === undefined ? rm(policy) : writeFile(policy, harmed));
      const said = await runFor(folder, 200);
      assert.ok(said.includes('not ready') && said.includes(policy), said);
      const records = await readFile(join(folder.stateDir, 'audit.jsonl'), 'utf8');
      assert.ok(
        records
          .trim()
          .split('\n')
          .some(line => line.includes(`"code":"${code}"`) && line.includes('policy.refused')),
      );
      await rm(folder.stateDir, { recursive: true, maxRetries: 10, retryDelay: 50 });
      await mkdir(folder.stateDir, { mode: 0o700 });
      await writeFile(policy, was);
    }
  });

  void it('is enough to start, when nothing is wrong', async () => {
    assert.equal((await tryRun(folder.config, 300)).exit, undefined);
  });
});

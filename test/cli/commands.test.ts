/** The command line in process: help, usage, exit codes by kind, and the operator's questions to a running node. */
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readFile } from 'node:fs/promises';
import pino from 'pino';
import { commands } from '../../src/cli/commands.ts';
import { loadConfig } from '../../src/cli/config.ts';
import { layGround, type RunningNode, startNode } from '../../src/cli/daemon.ts';
import { main } from '../../src/cli/main.ts';
import { parsePeerId } from '../../src/oci/oci.ts';
import { parseRoot } from '../../src/proof/proof.ts';
import { realWorld } from '../../src/world.ts';
import { type NodeFolder, nodeFolder } from '../attack/state-ground.ts';
import { buildImage } from '../support/images.ts';

interface Printed {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
  /** The JSON document that `--json` prints. */
  readonly json: Record<string, unknown>;
}

async function pinnace(...argv: string[]): Promise<Printed> {
  let [out, err] = ['', ''];
  const exit = await main(argv, {
    world: realWorld,
    out: text => void (out += text),
    err: text => void (err += text),
    terminal: false,
    signal: new AbortController().signal,
  });
  const json = argv.includes('--json') ? (JSON.parse(out) as Record<string, unknown>) : {};
  return { exit, out, err, json };
}

void describe('the command line', () => {
  void it('lists every command, and has help for each', async () => {
    for (const argv of [[], ['--help'], ['help']]) {
      const { exit, out } = await pinnace(...argv);
      assert.equal(exit, 0);
      for (const { name } of commands) assert.ok(out.includes(name), name);
    }
    for (const { name, options } of commands) {
      const { exit, out } = await pinnace(...name.split(' '), '--help');
      assert.equal(exit, 0, name);
      for (const option of Object.keys(options)) assert.ok(out.includes(`--${option}`), `${name} --${option}`);
    }
  });

  void it('has help for each group of commands, and says where it is', async () => {
    for (const help of ['--help', '-h', 'help']) {
      const { exit, out } = await pinnace('tags', help);
      assert.equal(exit, 0);
      assert.ok(out.includes('tags adopt') && !out.includes('cluster init'));
    }
    assert.match((await pinnace('tags', 'nonsense')).err, /pinnace tags --help/);
  });

  void it('tells a defect from trouble by its exit code', async () => {
    const broken = commands.find(({ name }) => name === 'version')!;
    const run = broken.run.bind(broken);
    try {
      broken.run = () => Promise.reject(new TypeError('x is not a function'));
      const { exit, err } = await pinnace('version');
      assert.equal(exit, 70);
      assert.match(err, /x is not a function/);
    } finally {
      broken.run = run;
    }
  });

  void it('refuses what is no command, and options that are none, as wrong use', async () => {
    for (const argv of [['nonsense'], ['tags'], ['status', '--nonsense'], ['why'], ['pull'], ['evidence', 'show']]) {
      const { exit, err } = await pinnace(...argv);
      assert.equal(exit, 64, argv.join(' '));
      assert.match(err, /\(USAGE\)/);
    }
  });

  void it('says on --json what is wrong in one document', async () => {
    const { exit, json, err } = await pinnace('status', '--socket', '/nonexistent/control.sock', '--json');
    assert.equal(exit, 69);
    assert.equal((json.error as { code: string }).code, 'STORE_UNAVAILABLE');
    assert.equal(err, '');
  });
});

void describe('a running node', () => {
  let folder: NodeFolder;
  let running: RunningNode;
  const life = new AbortController();
  const NAME = 'r.test/team/app:1';
  before(async () => {
    folder = await nodeFolder();
    const config = await loadConfig(folder.config, file => readFile(file, 'utf8'));
    running = await startNode(await layGround(config, realWorld, pino({ level: 'silent' }), life.signal));
  });
  after(async () => {
    life.abort('the test ends');
    await running.stopped;
    await folder.remove();
  });
  const ask = (...argv: string[]): Promise<Printed> => pinnace(...argv, '--config', folder.config, '--json');

  /** Asks until `what` holds of the answer. */
  async function until(argv: readonly string[], what: (json: Record<string, unknown>) => boolean): Promise<void> {
    for (let tries = 0; ; tries++) {
      const { json } = await ask(...argv);
      if (what(json)) return;
      assert.ok(tries < 100, JSON.stringify(json));
      await realWorld.sleep(50);
    }
  }

  void it('has a control socket for its owner alone', async () => {
    assert.equal((await stat(join(folder.stateDir, 'control.sock'))).mode & 0o777, 0o600);
  });

  void it('refuses a reference that has neither tag nor digest, rather than to look for it', async () => {
    for (const command of ['pull', 'why']) {
      const { exit, json } = await ask(command, 'r.test/team/app');
      assert.equal(exit, 64);
      assert.equal((json.error as { code: string }).code, 'REFERENCE_INVALID');
    }
  });

  void it('shares and states an image that is imported while it runs', async () => {
    const built = await buildImage(join(folder.dir, 'image'), { reference: NAME, layers: [{ randomBytes: 100_000 }] });
    const imported = await ask('import', `oci:${join(folder.dir, 'image')}`);
    assert.equal(imported.exit, 0, imported.out);
    await until(['status'], json => (json.holdings as { contents: number }).contents === built.contents.length);
    await until(['tags', 'list'], json =>
      (json.tags as { reference: string; digest: string }[]).some(
        tag => tag.reference === NAME && tag.digest === built.digest,
      ),
    );
  });

  void it('forgets and adopts a tag when told to', async () => {
    const { json } = await ask('tags', 'forget', NAME);
    assert.equal(json.forgotten, true);
    assert.deepEqual((await ask('tags', 'list')).json.tags, []);
    assert.equal((await ask('tags', 'adopt', NAME)).exit, 0);
    await until(['tags', 'list'], answer => (answer.tags as unknown[]).length === 1);
    const missing = await ask('tags', 'adopt', 'r.test/team/none:1');
    assert.deepEqual([missing.exit, (missing.json.error as { code: string }).code], [4, 'CONTENT_ABSENT']);
  });

  void it('tells why a pull would end as it would', async () => {
    const { json } = await ask('why', 'other.test/a:1');
    const steps = json.steps as { step: string; ok: boolean }[];
    assert.deepEqual([steps[0]!.step, steps[0]!.ok, steps.at(-1)!.ok], ['registry', false, false]);
    const here = (await ask('why', NAME)).json.steps as { ok: boolean }[];
    assert.equal(here.at(-1)!.ok, true);
    assert.equal((await ask('why', 'Not A Name')).exit, 64);
  });

  void it('pulls nothing that nobody has, and says so by kind', async () => {
    const absent = await ask('pull', `r.test/team/none@sha256:${'0'.repeat(64)}`);
    assert.deepEqual([absent.exit, (absent.json.error as { code: string }).code], [4, 'CONTENT_ABSENT']);
    const elsewhere = await ask('pull', 'other.test/a:1');
    assert.equal((elsewhere.json.error as { code: string }).code, 'NOT_MIRRORED');
  });

  void it('lists, shows and clears evidence', async () => {
    assert.deepEqual((await ask('evidence', 'list')).json.evidence, []);
    const peer = parsePeerId(running.rooms.peers.status()[0]?.node.peer ?? `12D3KooW${'A'.repeat(44)}`);
    const { id } = await running.rooms.evidence.add({
      peer,
      credentialIssuedAt: 1,
      digest: `sha256:${'1'.repeat(64)}` as Parameters<typeof running.rooms.evidence.add>[0]['digest'],
      claimed: parseRoot('2'.repeat(64)),
      foundAt: realWorld.now(),
      statement: 'AA==',
    });
    assert.equal(((await ask('evidence', 'list')).json.evidence as unknown[]).length, 1);
    assert.equal((await ask('evidence', 'show', id)).json.id, id);
    assert.equal((await ask('evidence', 'show', 'none')).exit, 4);
    assert.equal((await ask('evidence', 'clear', id)).exit, 0);
    assert.equal((await ask('evidence', 'clear', id)).exit, 4);
  });

  void it('writes a debug bundle without secrets, for its owner alone, and over nothing', async () => {
    const out = join(folder.dir, 'bundle.json');
    assert.equal((await ask('debug', 'bundle', '--out', out)).exit, 0);
    const text = await readFile(out, 'utf8');
    assert.equal((await stat(out)).mode & 0o777, 0o600);
    const token = (await readFile(folder.token, 'utf8')).trim();
    assert.ok(!text.includes(token) && !text.includes(token.slice(5, 60)));
    assert.doesNotMatch(text, /PRIVATE|"seed"|"secret"/);
    assert.equal((await ask('debug', 'bundle', '--out', out)).exit, 69);
  });

  void it('prints tables for a person', async () => {
    const { exit, out } = await pinnace('status', '--config', folder.config);
    assert.equal(exit, 0);
    assert.match(out, /n1/);
    assert.doesNotMatch(out, /NOT READY/);
  });
});

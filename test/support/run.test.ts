/** The runner, on made-up suites: one that can't fail would make every other test worthless. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';

interface Ran {
  readonly status: number | null;
  readonly lines: readonly string[];
  readonly last: string | undefined;
}

/** Runs the runner over `files`, by path below `test/`, each given as the lines after the imports. */
function runner(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  args: readonly string[],
  more: { CI?: string; script?: string } = {},
): Ran {
  const dir = mkdtempSync(join(tmpdir(), 'pinnace-run-'));
  t.after(() => rmSync(dir, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, 'test', path)), { recursive: true });
    const imports = "import { describe, it, before } from 'node:test'; import assert from 'node:assert/strict';";
    writeFileSync(join(dir, 'test', path), `${imports}\n${text}`);
  }
  if (more.script) writeFileSync(join(dir, 'script.ts'), more.script);
  // Inside a test the runner would take itself for a test file.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stdout } = spawnSync(
    process.execPath,
    [more.script ? join(dir, 'script.ts') : join(import.meta.dirname, 'run.ts'), ...args],
    {
      cwd: dir,
      env: { ...env, CI: more.CI ?? '' },
      encoding: 'utf8',
    },
  );
  const lines = stdout.trimEnd().split('\n');
  return { status, lines, last: lines.at(-1) };
}

const GOOD = "it('holds', () => {}); describe('a group', () => { it('holds too', () => {}); });";

void describe('the runner', () => {
  void it('counts tests, not groups, and ends with the sum', t => {
    const { status, last } = runner(t, { 'oci/a.test.ts': GOOD, 'top.test.ts': GOOD }, ['unit']);
    assert.deepEqual({ status, last }, { status: 0, last: '4 passed, 0 failed' });
  });

  void it('shows a failed test once, with its file, its reason and what the file printed', t => {
    const bad =
      "console.log('said before'); describe('g', () => { it('breaks', () => assert.equal(1, 2)); it('holds', () => {}); });";
    const { status, lines, last } = runner(t, { 'oci/a.test.ts': bad }, ['unit']);
    assert.deepEqual({ status, last }, { status: 1, last: '1 passed, 1 failed' });
    assert.equal(lines.filter(line => line.includes('FAILED test/oci/a.test.ts: breaks')).length, 1);
    assert.ok(lines.some(line => line.includes('said before')));
    assert.ok(lines.some(line => line.includes('1 !== 2')));
  });

  for (const [what, text] of [
    ['a file that cannot be loaded', "import './not-there.ts';"],
    ['a file that ends with an error code', 'process.exit(3);'],
    ['a hook that fails', "describe('g', () => { before(() => { throw new Error('no'); }); it('x', () => {}); });"],
    ['a file that ends before its tests', "it('x', () => process.exit(0));"],
    ['a file without a test', ''],
    ['a test left to do', "it.todo('later');"],
    ['an unhandled rejection', "it('x', () => { void Promise.reject(new Error('lost')); });"],
  ] as const)
    void it(`fails on ${what}`, t => {
      const { status, last } = runner(t, { 'oci/a.test.ts': text, 'oci/b.test.ts': GOOD }, ['unit']);
      assert.equal(status, 1);
      assert.match(last ?? '', /^\d+ passed, [1-9]\d* failed$/);
    });

  void it('ends a file that does not end, and names the test', t => {
    const suite = { name: 's', files: ['test/oci/*.test.ts'], processes: 2, limitMs: 4000 };
    const script = `import { runSuite } from ${JSON.stringify(join(import.meta.dirname, 'run-suite.ts'))};
      const outcome = await runSuite(${JSON.stringify(suite)}, process.cwd(), console.log, new AbortController().signal);
      console.log(outcome.passed, outcome.failed);`;
    const hangs = "it('waits for ever', () => new Promise(() => setInterval(() => {}, 1000)));";
    const { lines, last } = runner(t, { 'oci/a.test.ts': hangs, 'oci/b.test.ts': GOOD }, [], { script });
    assert.equal(last, '2 1');
    assert.ok(lines.some(line => line.includes('FAILED test/oci/a.test.ts') && line.includes('waits for ever')));
  });

  void it('lists a skipped test with its reason, and fails on it with CI=true', t => {
    const files = { 'attack/a.test.ts': `${GOOD} it('skips', { skip: 'no such kernel' }, () => {});` };
    const free = runner(t, files, ['attack']);
    assert.deepEqual([free.status, free.last], [0, '2 passed, 0 failed']);
    assert.ok(free.lines.some(line => line.endsWith('test/attack/a.test.ts: skips: no such kernel')));
    const strict = runner(t, files, ['attack'], { CI: 'true' });
    assert.deepEqual([strict.status, strict.last], [1, '2 passed, 1 failed']);
  });

  void it('puts each folder into its suite, and runs none twice', t => {
    const files = Object.fromEntries(
      [
        'mirror/a',
        'conformance/a',
        'fuzz/a',
        'attack/a',
        'limits/a',
        'years/a',
        'storm/a',
        'system/a',
        'bench/a',
        'peers/a',
        'support/a',
      ].map(path => [`${path}.test.ts`, "it('is one', () => {});"]),
    );
    const suites = ['unit', 'stories', 'conformance', 'fuzz', 'attack', 'limits', 'years', 'storm', 'system'];
    assert.equal(runner(t, files, suites).last, '11 passed, 0 failed');
    assert.equal(runner(t, files, ['unit']).last, '3 passed, 0 failed');
    assert.equal(runner(t, files, ['stories']).last, '1 passed, 0 failed');
  });

  void it('tells once what system tests say of the machine, of seeds and of counts', t => {
    const text = "console.log('# kernel: 1\\nlog\\n# 7 kills'); it('is one', () => {});";
    const files = { 'system/a.test.ts': text, 'system/b.test.ts': text.replace('7', '8'), 'oci/a.test.ts': text };
    const { lines } = runner(t, files, ['system', 'unit']);
    const told = lines.filter(line => line.trim().startsWith('#') || line.includes('log'));
    assert.deepEqual(told, ['  # kernel: 1', '  # 7 kills', '  # 8 kills']);
  });

  void it('fails when nothing ran', t => {
    assert.deepEqual(
      [runner(t, {}, ['fuzz']).status, runner(t, {}, ['fuzz'], { CI: 'true' }).last],
      [1, '0 passed, 1 failed'],
    );
  });

  void it('fails on a check that cannot run, and refuses a name that it does not know', t => {
    assert.equal(runner(t, {}, ['types']).last, '0 passed, 1 failed');
    assert.equal(runner(t, {}, ['everything']).status, 64);
  });
});

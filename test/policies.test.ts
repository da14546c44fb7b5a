/** The example policies: each is valid, each decides as its cases say, and no rule is without a case. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseCases } from '../src/cli/policy-cases.ts';
import { readPolicy } from '../src/policy/parse.ts';
import { exits, freshFolder, pinnaceAt } from './support/command-line.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** The examples were issued in the days before. */
const NOW = Date.parse('2026-12-01T00:00:00Z');

const folder = await freshFolder();
for (const part of ['policies', 'keys']) cpSync(join(ROOT, part), folder.at(part), { recursive: true });
for (const name of ['platform', 'release', 'transfer']) {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  await folder.put(`keys/${name}.pub`, publicKey.export({ type: 'spki', format: 'pem' }).toString());
}

const names = readdirSync(folder.at('policies'))
  .filter(name => name.endsWith('.yaml') && !name.endsWith('.cases.yaml'))
  .map(name => name.replace('.yaml', ''));
const file = (name: string): string => folder.at(`policies/${name}.yaml`);
const cases = (name: string): string => folder.at(`policies/${name}.cases.yaml`);
const lint = async (name: string): Promise<readonly string[]> => {
  const { json } = exits(await pinnaceAt(NOW, 'policy', 'lint', file(name), '--json'), 0);
  return (json.warnings as { id: string }[]).map(({ id }) => id);
};

void describe('the example policies', () => {
  void it('are four', () => assert.deepEqual(names.toSorted(), ['airgap', 'permissive', 'pinned', 'strict']));

  for (const name of names) {
    void it(`${name}.yaml decides as its cases say`, async () => {
      const { json } = exits(await pinnaceAt(NOW, 'policy', 'test', file(name), cases(name), '--json'), 0);
      assert.equal(json.failed, 0);
      assert.ok((json.passed as number) > 2);
    });

    void it(`${name}.yaml has a case for each of its rules, allowed or denied`, () => {
      const text = readFileSync(file(name), 'utf8');
      const tried = new Set(parseCases(readFileSync(cases(name), 'utf8'), name).map(({ expect }) => expect.rule));
      for (const { name: rule } of readPolicy(text, name).book.list) assert.ok(tried.has(rule), rule);
    });
  }

  void it('strict.yaml has nothing that a linter would look at twice', async () => {
    assert.deepEqual(await lint('strict'), []);
  });

  void it('airgap.yaml shares everything that it admits, and nothing else is noted', async () => {
    assert.deepEqual(await lint('airgap'), ['shares-everything']);
  });

  void it('permissive.yaml is noted for what it is', async () => {
    assert.deepEqual((await lint('permissive')).toSorted(), ['shares-everything', 'tags-by-one']);
  });

  void it('a case that expects something else fails', async () => {
    const text = readFileSync(cases('strict'), 'utf8').replace(
      'signedBy: [platform]\n    expect: {decision: allow',
      'signedBy: []\n    expect: {decision: allow',
    );
    const spoilt = await folder.put('policies/spoilt.cases.yaml', text);
    const { json } = exits(await pinnaceAt(NOW, 'policy', 'test', file('strict'), spoilt, '--json'), 1);
    assert.equal(json.failed, 1);
  });

  void it('shows with --against what a change would do: here, all that pinned.yaml lets through and strict.yaml does not', async () => {
    const printed = await pinnaceAt(
      NOW,
      'policy',
      'test',
      file('pinned'),
      cases('pinned'),
      '--against',
      file('strict'),
      '--json',
    );
    const changes = exits(printed, 0).json.changes as { before: { decision: string }; after: { decision: string } }[];
    assert.ok(changes.some(({ before, after }) => before.decision === 'allow' && after.decision === 'deny'));
  });
});

/** What an idle daemon is compared with loads what the daemon loads. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { importsOf, librariesOf, nodeFlags } from './imports.ts';

const dir = await mkdtemp(join(tmpdir(), 'bench-imports-'));
after(() => rm(dir, { recursive: true, force: true }));

void test('imports by value are found over several lines, type imports and late ones are not', () => {
  const text = [
    "import type { A } from 'type-only';",
    "import { type B, b } from 'mixed';",
    'import {',
    '  c,',
    "} from 'several';",
    "import 'bare';",
    "export * from './own.ts';",
    "export type { D } from 'type-again';",
    "export const late = () => import('late');",
    "const quoted = 'import x';",
  ].join('\n');
  assert.deepEqual(importsOf(text), ['mixed', 'several', 'bare', './own.ts']);
});

void test('libraries are gathered from all files that are reached, in a circle too', async () => {
  await writeFile(join(dir, 'a.ts'), "import { b } from './b.ts';\nimport fs from 'node:fs';\n");
  await writeFile(join(dir, 'b.ts'), "import { a } from './a.ts';\nimport { x } from 'x/y';\n");
  assert.deepEqual(await librariesOf([join(dir, 'a.ts')]), ['node:fs', 'x/y']);
});

void test('the flags of a process are those before its script', () => {
  assert.deepEqual(nodeFlags('/bin/node\0--a\0--b=1\0main.ts\0run\0--config\0x\0'), ['--a', '--b=1']);
});

/** The reader of source text: a plan that is tested with a blind eye is no plan. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf, importsOf, sources } from './source-text.ts';

const squeezed = (text: string): string => codeOf(text).replaceAll(/ +/g, ' ').trim();

void test('comments, strings and regular expressions are blanked, code is not', () => {
  assert.equal(squeezed("a // b\nc /* d\ne */ f('g', \"h'\")"), 'a \nc \n f(\' \', " ")');
  assert.equal(squeezed("x = /['\"`/]\\/'/g; y = 4 / 2 / z;"), 'x = / /g; y = 4 / 2 / z;');
  assert.equal(squeezed("'it\\'s' + a"), "' ' + a");
});

void test('expressions in templates are code, also nested and with braces', () => {
  assert.equal(squeezed('`a ${b({ c: `d ${e}` })} f` + g'), '` ${b({ c: ` ${e}` })} ` + g');
  assert.equal(squeezed('`\\` \\${a}` + b'), '` ` + b');
});

void test('positions stay, for every file of the tree', () => {
  for (const { path, text } of sources('src/**/*.ts', 'test/**/*.ts')) {
    const code = codeOf(text);
    assert.equal(code.length, text.length, path);
    assert.equal(code.split('\n').length, text.split('\n').length, path);
  }
});

void test('imports are found in every form', () => {
  const text = [
    "import a from 'a';",
    "import type { b } from 'b';",
    "import {\n  c,\n  type d,\n} from 'c';",
    "import 'd';",
    "export * from 'e';",
    "export type { f } from 'f';",
    "const g = await import('g');",
    'const h = await import(h);',
    'export const from = 1;',
    "const no = Array.from('no'); const dir = import.meta.dirname;",
  ].join('\n');
  assert.deepEqual(
    importsOf(text).map(({ from }) => from),
    ['a', 'b', 'c', 'd', 'e', 'f', 'g', undefined],
  );
});

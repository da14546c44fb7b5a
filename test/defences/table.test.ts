/** The table of defences is about this tree: each edit applies, each test is there, and says the code. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../support/source-text.ts';
import { namesItsCode, without } from './defence.ts';
import { TABLE } from './table.ts';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

void test('each edit applies to exactly one place of the source', () => {
  const idle = TABLE.filter(row => {
    const text = read(`src/${row.file}`);
    return (without(text, row) ?? text) === text;
  });
  assert.deepEqual(
    idle.map(row => `${row.file}: ${row.find}`),
    [],
  );
});

void test('each test is there once by its whole name, and says the code', () => {
  const mute = TABLE.filter(row => !namesItsCode(read(`test/${row.suite ?? row.test}`), row));
  assert.deepEqual(
    mute.map(row => `${row.test}: ${row.named}: ${row.code}`),
    [],
  );
});

void test('no two rows are the same, and every promise has some', () => {
  assert.equal(new Set(TABLE.map(row => row.defence)).size, TABLE.length);
  assert.equal(new Set(TABLE.map(row => `${row.file} ${row.find} ${row.replace}`)).size, TABLE.length);
  assert.ok(TABLE.length >= 40);
});

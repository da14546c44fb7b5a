import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../src/errors.ts';
import { Fields, parseYaml, YAML_MAX_BYTES } from '../src/yaml.ts';

const fields = (text: string): Fields => new Fields(parseYaml(text, 'f.yaml'), 'f.yaml: ', 'CONFIG_INVALID');
const refuses = (work: () => unknown): void => assert.throws(work, error => hasCode(error, 'CONFIG_INVALID'));

for (const [what, text] of [
  ['a key that stands twice', 'a: 1\na: 2'],
  ['a key that stands twice in a flow mapping', 'x: {a: 1, "a": 2}'],
  ['an alias', 'a: &x 1\nb: *x'],
  ['an alias to itself', '- &a [*a]'],
  ['aliases that multiply', 'a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]'],
  ['a tag of an application', 'a: !foo 1'],
  ['a tag of another language', 'a: !!js/function f'],
  ['a tag of a mapping', 'a: !!map {b: 1}'],
  ['a set', 'a: !!set {b: null}'],
  ['a tag of a list', 'a: !!seq [b]'],
  ['two documents', 'a: 1\n---\nb: 2'],
  ['a tab as indentation', 'a:\n\tb: 1'],
  ['an open bracket', 'a: [1, 2'],
  ['brackets nested without end', '['.repeat(20_000)],
  ['a file that is too large', `a: ${'x'.repeat(YAML_MAX_BYTES)}`],
] as const)
  void test(`the reader refuses ${what}`, () => {
    assert.throws(
      () => parseYaml(text, 'f.yaml'),
      error => hasCode(error, 'YAML_INVALID'),
    );
  });

void test('what is refused is named with its line', () => {
  for (const [text, line] of [
    ['a: 1\na: 2', 2],
    ['a: 1\nb:\n  c: &x 1\n  d: *x', 4],
    ['a: 1\nb: !!map {c: 1}', 2],
    ['a: 1\n\n---\nb: 2', 3],
    ['a: 1\n2: b', 2],
    ['a: [', 1],
  ] as const)
    assert.throws(() => parseYaml(text, 'f.yaml'), new RegExp(`f\\.yaml: .* at line ${line}\\b`), text);
});

void test('a mapping of fifty thousand keys is read in time, and one of them twice is found', () => {
  const keys = Array.from({ length: 50_000 }, (_, at) => `k${at}: 1`);
  const before = process.cpuUsage();
  assert.equal(Object.keys(parseYaml(keys.join('\n'), 'f.yaml') as object).length, keys.length);
  assert.throws(
    () => parseYaml([...keys, 'k7: 2'].join('\n'), 'f.yaml'),
    error => hasCode(error, 'YAML_INVALID'),
  );
  assert.ok(process.cpuUsage(before).user < 10e6);
});

void test('words that older YAML took for booleans and dates stay strings', () => {
  assert.deepEqual(parseYaml('a: yes\nb: no\nc: on\nd: 2020-01-01\ne: 010\nf: 12:30:45', 'f.yaml'), {
    a: 'yes',
    b: 'no',
    c: 'on',
    d: '2020-01-01',
    e: 10,
    f: '12:30:45',
  });
});

void test('merge keys and __proto__ are keys like others', () => {
  const value = parseYaml('<<: {a: 1}\n__proto__: {b: 2}', 'f.yaml');
  assert.deepEqual(Object.keys(value as object), ['<<', '__proto__']);
  assert.equal(({} as { b?: unknown }).b, undefined);
  refuses(() => fields('__proto__: {b: 2}').end());
});

void test('fields are handed out by type, once, and the rest is refused', () => {
  const f = fields('s: x\nn: 3\nb: true\nl: [a, b]\nm: {inner: y}\nleft: 1');
  assert.equal(f.string('s'), 'x');
  assert.equal(f.integer('n', { min: 1, max: 3 }), 3);
  assert.equal(f.boolean('b', false), true);
  assert.deepEqual(f.strings('l'), ['a', 'b']);
  assert.equal(f.fields('m')?.string('inner'), 'y');
  assert.deepEqual(f.keys(), ['left']);
  refuses(() => f.end());
  f.take('left');
  f.end();
});

void test('missing fields have the default that was given, and are refused where none was', () => {
  const f = fields('{}');
  assert.equal(f.string('s', undefined), undefined);
  assert.equal(f.integer('n', { min: 0, max: 9 }, 4), 4);
  assert.equal(f.boolean('b', true), true);
  assert.deepEqual(f.strings('l', []), []);
  assert.equal(f.fields('m'), undefined);
  refuses(() => f.string('s'));
  refuses(() => f.integer('n', { min: 0, max: 9 }));
  refuses(() => f.strings('l'));
});

for (const [what, text, read] of [
  ['an empty string', 's: ""', f => f.string('s')],
  ['a number as a string', 's: 1', f => f.string('s')],
  ['a string where a default is allowed', 's: 1', f => f.string('s', 'x')],
  ['null as a string', 's: null', f => f.string('s', 'x')],
  ['a number below its range', 'n: 0', f => f.integer('n', { min: 1, max: 9 })],
  ['a number above its range', 'n: 10', f => f.integer('n', { min: 1, max: 9 })],
  ['a broken number', 'n: 1.5', f => f.integer('n', { min: 1, max: 9 })],
  ['no number', 'n: .nan', f => f.integer('n', { min: 1, max: 9 })],
  ['a number without end', 'n: .inf', f => f.integer('n', { min: 1, max: Number.POSITIVE_INFINITY })],
  ['a string of digits as a number', 'n: "3"', f => f.integer('n', { min: 1, max: 9 })],
  ['a word as a boolean', 'b: yes', f => f.boolean('b', false)],
  ['a string as a list', 'l: a', f => f.strings('l')],
  ['a list with a number', 'l: [a, 1]', f => f.strings('l')],
  ['a list with an empty string', 'l: [a, ""]', f => f.strings('l')],
  ['a list as a mapping', 'm: [a]', f => f.fields('m')],
  ['null as a mapping', 'm:', f => f.fields('m')],
] as const satisfies readonly (readonly [string, string, (f: Fields) => unknown])[])
  void test(`a field refuses ${what}`, () => refuses(() => read(fields(text))));

for (const text of ['', 'a', '[a]', '3'])
  void test(`a file that is no mapping is refused: ${JSON.stringify(text)}`, () => refuses(() => fields(text)));

void test('a message names the file and the whole path to the field', () => {
  const nested = fields('a: {b: {c: 1}}').fields('a')?.fields('b');
  assert.throws(
    () => nested?.string('c'),
    error => error instanceof Error && error.message.startsWith('f.yaml: a.b.c: '),
  );
});

/** Patterns: the longest literal prefix decides, whatever the order, and nothing matches by accident. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRegistry, parseRepository } from '../../src/oci/oci.ts';
import { parsePattern, Patterns } from '../../src/policy/patterns.ts';
import { cost } from '../support/fuzz.ts';

const find = (texts: readonly string[], name: string): string | undefined => {
  const slash = name.indexOf('/');
  const patterns = new Patterns(texts.map(text => ({ pattern: parsePattern(text), value: true })));
  return patterns.find(parseRegistry(name.slice(0, slash)), parseRepository(name.slice(slash + 1)))?.pattern.text;
};

void test('each form of a pattern matches what it says', () => {
  for (const [pattern, yes, no] of [
    ['r.test/a/b', ['r.test/a/b'], ['r.test/a', 'r.test/a/b/c', 'r.test/a/bc', 'q.test/a/b', 'r.test:5000/a/b']],
    ['r.test/a/*', ['r.test/a/b', 'r.test/a/c'], ['r.test/a', 'r.test/a/b/c', 'r.test/ab/c']],
    ['r.test/a/**', ['r.test/a/b', 'r.test/a/b/c'], ['r.test/a', 'r.test/ab/c', 'r.test/b/a/c']],
    ['r.test/*', ['r.test/a'], ['r.test/a/b', 'q.test/a']],
    ['r.test/**', ['r.test/a', 'r.test/a/b'], ['q.test/a', 'r.test:443/a']],
    ['**', ['r.test/a', 'q.test:1/a/b/c'], []],
  ] as const) {
    for (const name of yes) assert.equal(find([pattern], name), pattern, `${pattern} ${name}`);
    for (const name of no) assert.equal(find([pattern], name), undefined, `${pattern} ${name}`);
  }
});

void test('the longest literal prefix wins, then one component before several, in any order', () => {
  const all = ['**', 'r.test/**', 'r.test/*', 'r.test/a/**', 'r.test/a/*', 'r.test/a/b', 'r.test/a/b/**'];
  for (const list of [all, all.toReversed()]) {
    assert.equal(find(list, 'r.test/a/b'), 'r.test/a/b');
    assert.equal(find(list, 'r.test/a/c'), 'r.test/a/*');
    assert.equal(find(list, 'r.test/a/c/d'), 'r.test/a/**');
    assert.equal(find(list, 'r.test/a/b/c'), 'r.test/a/b/**');
    assert.equal(find(list, 'r.test/x'), 'r.test/*');
    assert.equal(find(list, 'r.test/x/y'), 'r.test/**');
    assert.equal(find(list, 'q.test/x'), '**');
  }
});

void test('what is no pattern is refused', () => {
  for (const text of [
    '',
    '*',
    'r.test',
    'r.test/',
    '/a',
    'r.test//a',
    'r.test/a*',
    'r.test/*/a',
    'r.test/**/a',
    'R.test/a',
  ])
    assert.throws(() => parsePattern(text), { code: 'POLICY_INVALID' }, text);
  for (const text of [
    '*/a',
    '**/a',
    'r.test/a:1',
    'r.test/a@sha256',
    'r.test/A',
    'r.test/a b',
    'r.test/***',
    'r.test/a/**\n',
  ])
    assert.throws(() => parsePattern(text), { code: 'POLICY_INVALID' }, text);
});

void test('two equal patterns are refused', () => {
  assert.throws(() => find(['r.test/a/*', 'r.test/b', 'r.test/a/*'], 'r.test/a/b'), { code: 'POLICY_INVALID' });
});

void test('which pattern decides never depends on their order', () => {
  const part = fc.constantFrom('a', 'b', 'c');
  const repository = fc.array(part, { minLength: 1, maxLength: 4 });
  const pattern = fc
    .tuple(fc.array(part, { maxLength: 3 }), fc.constantFrom('', '*', '**'))
    .map(([parts, tail]) => ['r.test', ...parts, ...(tail ? [tail] : [])].join('/'))
    .filter(text => text !== 'r.test');
  fc.assert(
    fc.property(fc.uniqueArray(pattern, { maxLength: 8 }), repository, (list, parts) => {
      const name = ['r.test', ...parts].join('/');
      assert.equal(find(list, name), find(list.toReversed(), name));
    }),
  );
});

void test('the narrowest pattern that covers all of another is found', () => {
  const texts = ['**', 'r.test/**', 'r.test/a/*', 'r.test/a/**', 'r.test/a/b'];
  const patterns = new Patterns(texts.map(text => ({ pattern: parsePattern(text), value: true })));
  const covering = (text: string): string | undefined => patterns.covering(parsePattern(text))?.pattern.text;
  for (const [text, by] of [
    ['r.test/a/b', 'r.test/a/b'],
    ['r.test/a/c', 'r.test/a/*'],
    ['r.test/a/*', 'r.test/a/*'],
    ['r.test/a/**', 'r.test/a/**'],
    ['r.test/a/b/*', 'r.test/a/**'],
    ['r.test/a/b/**', 'r.test/a/**'],
    ['r.test/*', 'r.test/**'],
    ['q.test/a', '**'],
    ['**', '**'],
  ] as const)
    assert.equal(covering(text), by, text);
  assert.equal(new Patterns([]).covering(parsePattern('r.test/a')), undefined);
});

void test('ten thousand patterns are no slower than one', () => {
  const texts = Array.from({ length: 10_000 }, (_, at) => `r.test/team-${at}/${['app', '*', '**'][at % 3]}`);
  const patterns = new Patterns(texts.map(text => ({ pattern: parsePattern(text), value: true })));
  const [registry, repository] = [parseRegistry('r.test'), parseRepository(`${'a/'.repeat(120)}b`)];
  const ms = cost(() => {
    for (let times = 0; times < 1_000; times += 1) patterns.find(registry, repository);
  });
  assert.ok(ms < 500, `${ms} ms for a thousand of the longest names`);
});

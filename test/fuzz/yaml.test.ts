/** YAML of any shape: refused with a code, or plain data; and never more work than its size is worth. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import { Fields, parseYaml } from '../../src/yaml.ts';
import { cost, fuzz } from '../support/fuzz.ts';

const piece = fc.oneof(
  fc.constantFrom(
    'a',
    'b',
    ': ',
    ':\n',
    '\n',
    '\n  ',
    '- ',
    '[',
    ']',
    '{',
    '}',
    ', ',
    '"',
    "'",
    '|',
    '>',
    '#',
    '---',
    '...',
    '\t',
  ),
  fc.constantFrom(
    '&x ',
    '*x',
    '!',
    '!!',
    '<<',
    '? ',
    '%YAML 1.1',
    '~',
    'null',
    '0x1',
    '.inf',
    '\u0000',
    '\ufeff',
    '__proto__',
  ),
  fc.string({ unit: 'binary', maxLength: 3 }),
);
const text = fc.array(piece, { maxLength: 25 }).map(pieces => pieces.join(''));

void test('a text is refused with YAML_INVALID or read, in time', () => {
  fuzz(
    fc.property(text, source => {
      const ms = cost(() => {
        try {
          parseYaml(source, 'f');
        } catch (error) {
          if (!hasCode(error, 'YAML_INVALID')) throw error;
        }
      });
      assert.ok(ms < 1000, `${ms} ms`);
    }),
    1000,
  );
});

void test('data written as JSON is read as that data', () => {
  const key = fc.stringMatching(/^[a-z_]{1,8}$/).filter(name => name !== '__proto__');
  const value = fc.letrec(tie => ({
    node: fc.oneof(
      { maxDepth: 3 },
      fc.string(),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('node'), { maxLength: 3 }),
      fc.dictionary(key, tie('node'), { maxKeys: 3, noNullPrototype: true }),
    ),
  })).node;
  fuzz(
    fc.property(value, data => {
      assert.deepEqual(parseYaml(JSON.stringify(data), 'f'), data);
    }),
    500,
  );
});

void test('whatever a mapping holds, its fields are handed out by type or refused', () => {
  const read = [
    (f: Fields) => assert.equal(typeof f.string('a'), 'string'),
    (f: Fields) => assert.ok(Number.isSafeInteger(f.integer('a', { min: -5, max: 5 }))),
    (f: Fields) => assert.equal(typeof f.boolean('a', false), 'boolean'),
    (f: Fields) => assert.ok(f.strings('a', []).every(item => typeof item === 'string' && item !== '')),
    (f: Fields) => assert.ok(f.fields('a') === undefined || f.keys().length >= 0),
    (f: Fields) => f.end(),
  ];
  fuzz(
    fc.property(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(...read), (value, step) => {
      try {
        step(new Fields({ a: value }, 'f: ', 'POLICY_INVALID'));
      } catch (error) {
        if (!hasCode(error, 'POLICY_INVALID')) throw error;
      }
    }),
  );
});

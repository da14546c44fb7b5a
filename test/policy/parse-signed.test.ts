/** What must be signed: each form of a requirement, and what it may not say. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAY_MS, KEYS, load, refuses, ruleFor } from './ground.ts';

const one = (rest: string): string => `${KEYS}rules: [{name: r, match: r.test/a, ${rest}}]`;
const read = (rest: string) => ruleFor(load(one(rest)), 'r.test/a');

void test('any of, all of, and n of m', () => {
  assert.deepEqual(read('signatures: {anyOf: [a, b]}').signatures, {
    n: 1,
    of: ['a', 'b'],
    formats: new Set(['bundle', 'legacy']),
  });
  assert.equal(read('signatures: {allOf: [a, b, c]}').signatures?.n, 3);
  assert.deepEqual(read('signatures: {nOf: {n: 2, of: [a, b, c]}, formats: [bundle], maxAge: 90d}').signatures, {
    n: 2,
    of: ['a', 'b', 'c'],
    maxAgeMs: 90 * DAY_MS,
    formats: new Set(['bundle']),
  });
});

void test('attestations, and what their predicates must say', () => {
  const where =
    '{/builder/id: x, /n: 3, /ok: true, /in: {in: [a, 1, false]}, /e: {exists: false}, /r: {min: 1, max: 2.5}, "": {exists: true}, /a~1b~0c: y}';
  const [first] = read(
    `attestations: [{predicateType: "https://t.example/v1", anyOf: [a], where: ${where}}]`,
  ).attestations;
  assert.deepEqual(first, {
    predicateType: 'https://t.example/v1',
    n: 1,
    of: ['a'],
    where: [
      { pointer: '/builder/id', in: ['x'] },
      { pointer: '/n', in: [3] },
      { pointer: '/ok', in: [true] },
      { pointer: '/in', in: ['a', 1, false] },
      { pointer: '/e', exists: false },
      { pointer: '/r', min: 1 },
      { pointer: '/r', max: 2.5 },
      { pointer: '', exists: true },
      { pointer: '/a~1b~0c', in: ['y'] },
    ],
  });
});

void test('what could be met by anybody, by nobody, or be meant in two ways is refused with its place', () => {
  const at = (rest: string, place: string): readonly [string, string] => [one(rest), `rules[0].${place}`];
  const attested = (rest: string, place: string): readonly [string, string] =>
    at(`attestations: [{predicateType: t, anyOf: [a], ${rest}}]`, `attestations[0]${place}`);
  refuses('POLICY_INVALID', [
    at('signatures: {}', 'signatures: must have one of'),
    at('signatures: any', 'signatures: must be a mapping'),
    at('signatures: {anyOf: []}', 'signatures.anyOf: '),
    at('signatures: {allOf: []}', 'signatures.allOf: '),
    at('signatures: {anyOf: [a], allOf: [b]}', 'signatures: must have one of'),
    at('signatures: {anyOf: [a, a]}', 'signatures.anyOf: a stands twice'),
    at('signatures: {anyOf: [d]}', 'signatures.anyOf: there is no authority'),
    at('signatures: {anyOf: ["*"]}', 'signatures.anyOf: there is no authority'),
    at('signatures: {anyOf: a}', 'signatures.anyOf: '),
    at('signatures: {nOf: {n: 0, of: [a]}}', 'signatures.nOf.n: '),
    at('signatures: {nOf: {n: 2, of: [a]}}', 'signatures.nOf.n: '),
    at('signatures: {nOf: {n: 1, of: []}}', 'signatures.nOf.of: '),
    at('signatures: {nOf: {n: 1, of: [a], min: 1}}', 'signatures.nOf.min: is not a known key'),
    at('signatures: {anyOf: [a], formats: []}', 'signatures.formats: '),
    at('signatures: {anyOf: [a], formats: [notary]}', 'signatures.formats: '),
    at('signatures: {anyOf: [a], maxAge: 90}', 'signatures.maxAge: '),
    at('signatures: {anyOf: [a], maxAge: 1s}', 'signatures.maxAge: '),
    at('signatures: {anyOf: [a], before: share}', 'signatures.before: is not a known key'),
    at('attestations: []', 'attestations: must not be empty'),
    at('attestations: {predicateType: t, anyOf: [a]}', 'attestations: must be a list'),
    at('attestations: [{anyOf: [a]}]', 'attestations[0].predicateType: '),
    at('attestations: [{predicateType: t}]', 'attestations[0]: must have one of'),
    attested('formats: [bundle]', '.formats: is not a known key'),
    attested('where: [a]', '.where: '),
    attested('where: {builder: x}', '.where."builder": '),
    attested('where: {/a~2: x}', '.where."/a~2": '),
    attested('where: {/a: {}}', '.where./a: '),
    attested('where: {/a: null}', '.where./a: '),
    attested('where: {/a: [x]}', '.where./a: '),
    attested('where: {/a: .nan}', '.where./a: '),
    attested('where: {/a: {in: []}}', '.where./a.in: '),
    attested('where: {/a: {in: [null]}}', '.where./a.in: '),
    attested('where: {/a: {exists: 1}}', '.where./a.exists: '),
    attested('where: {/a: {min: "1"}}', '.where./a.min: '),
    attested('where: {/a: {max: .inf}}', '.where./a.max: '),
    attested('where: {/a: {matches: x}}', '.where./a.matches: '),
  ]);
});

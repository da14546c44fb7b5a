/** Conditions on predicates: what is there is compared as it is; what a language puts there is not there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Condition } from '../../src/policy/policy.ts';
import { fulfils } from '../../src/policy/predicate.ts';

const PREDICATE: unknown = JSON.parse(
  '{"builder":{"id":"x"},"list":[1,{"a":true}],"n":3,"zero":0,"none":null,"a/b":{"~c":"y"},"":"empty","__proto__":{"polluted":true}}',
);
const is = (condition: Condition): boolean => fulfils(PREDICATE, [condition]);

void test('each kind of condition', () => {
  for (const [condition, holds] of [
    [{ pointer: '/builder/id', in: ['x'] }, true],
    [{ pointer: '/builder/id', in: ['y', 'x'] }, true],
    [{ pointer: '/builder/id', in: ['X'] }, false],
    [{ pointer: '/builder', in: ['[object Object]'] }, false],
    [{ pointer: '/list/1/a', in: [true] }, true],
    [{ pointer: '/list/0', in: [1] }, true],
    [{ pointer: '/list/0', in: ['1'] }, false],
    [{ pointer: '/list/00', in: [1] }, false],
    [{ pointer: '/list/-', exists: true }, false],
    [{ pointer: '/list/2', exists: true }, false],
    [{ pointer: '/n', min: 3 }, true],
    [{ pointer: '/n', min: 3.1 }, false],
    [{ pointer: '/n', max: 3 }, true],
    [{ pointer: '/n', max: 2 }, false],
    [{ pointer: '/builder/id', min: 0 }, false],
    [{ pointer: '/missing', max: 9 }, false],
    [{ pointer: '/zero', exists: true }, true],
    [{ pointer: '/none', exists: true }, true],
    [{ pointer: '/missing', exists: false }, true],
    [{ pointer: '/missing', in: ['undefined'] }, false],
    [{ pointer: '/n/deeper', exists: true }, false],
    [{ pointer: '/a~1b/~0c', in: ['y'] }, true],
    [{ pointer: '/', in: ['empty'] }, true],
    [{ pointer: '', exists: true }, true],
  ] as const)
    assert.equal(is(condition), holds, JSON.stringify(condition));
});

void test('all must hold', () => {
  assert.ok(
    fulfils(PREDICATE, [
      { pointer: '/n', min: 1 },
      { pointer: '/n', max: 3 },
    ]),
  );
  assert.ok(
    !fulfils(PREDICATE, [
      { pointer: '/n', min: 1 },
      { pointer: '/n', max: 2 },
    ]),
  );
  assert.ok(fulfils(undefined, []));
});

void test('only what the predicate itself has is looked at', () => {
  for (const pointer of ['/constructor', '/toString', '/builder/hasOwnProperty', '/list/length', '/builder/id/length'])
    assert.ok(is({ pointer, exists: false }), pointer);
  assert.ok(!fulfils({}, [{ pointer: '/polluted', exists: true }]));
  for (const nothing of [undefined, null, 'text', 7])
    assert.ok(!fulfils(nothing, [{ pointer: '/length', exists: true }]));
});

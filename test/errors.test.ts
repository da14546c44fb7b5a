import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asMirrorError, assert as holds, hasCode, kindOf, MirrorError } from '../src/errors.ts';

void test('an error carries its code, its kind and its cause', () => {
  const cause = new Error('why');
  const error = new MirrorError('SPOOL_FULL', 'no room', { cause });
  assert.deepEqual([error.code, error.kind, error.cause, error.name], ['SPOOL_FULL', 'absent', cause, 'MirrorError']);
  assert.equal(kindOf('DENIED'), 'denied');
});

void test('a code is recognised among several, and only on an error of ours', () => {
  const error = new MirrorError('DENIED', 'no');
  assert.ok(hasCode(error, 'SPOOL_FULL', 'DENIED'));
  assert.equal(hasCode(error, 'SPOOL_FULL'), false);
  assert.equal(hasCode(Object.assign(new Error('no'), { code: 'DENIED' }), 'DENIED'), false);
  assert.equal(hasCode(undefined, 'DENIED'), false);
});

void test('an error of ours keeps its code when it is wrapped, anything else gets the given one and is kept as the cause', () => {
  const ours = new MirrorError('DENIED', 'no');
  assert.equal(asMirrorError(ours, 'TIMED_OUT', 'a pull'), ours);
  for (const thrown of [new TypeError('odd'), 'a string', undefined, { message: 1 }]) {
    const error = asMirrorError(thrown, 'TIMED_OUT', 'a pull');
    assert.deepEqual([error.code, error.kind, error.cause], ['TIMED_OUT', 'unavailable', thrown]);
  }
});

void test('a defect is no MirrorError, so that nothing takes it for a condition', () => {
  assert.doesNotThrow(() => holds(1, 'fine'));
  assert.throws(
    () => holds(0, 'broken'),
    error => error instanceof Error && !(error instanceof MirrorError),
  );
});

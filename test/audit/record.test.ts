/** The spelling of records: one for each, harmless on a terminal, bounded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Event } from '../../src/audit/audit.ts';
import { endOf, formatRecord, LINE_MAX_BYTES } from '../../src/audit/record.ts';
import { hasCode } from '../../src/errors.ts';

const ENVELOPE = { record: 1, time: 0, self: 'n1', policy: 'aa' };
const line = (reason: string): string => formatRecord(ENVELOPE, { event: 'node.stopped', reason });
const reasonIn = (text: string): string => (JSON.parse(text) as { reason: string }).reason;

void test('whatever a string holds, the line is one line of printable characters that parses to it', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), reason => {
      const text = line(reason);
      assert.equal(text.indexOf('\n'), text.length - 1);
      assert.doesNotMatch(text.slice(0, -1), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      assert.equal(reasonIn(text), reason);
    }),
    { numRuns: 200 },
  );
});

void test('escape sequences, bidirectional overrides, tags and lone surrogates are spelt out', () => {
  const text = line('\u001b[2J\u202e\u2028\u{e0001}\ud800\u007f\u0085');
  assert.ok(text.includes('\\u001b[2J\\u202e\\u2028\\udb40\\udc01\\ud800\\u007f\\u0085'), text);
});

void test('the same event is spelt the same whatever the order of its facts', () => {
  const one: Event = { event: 'roster.accepted', seq: 1, expiresAt: 2 };
  const two: Event = { expiresAt: 2, seq: 1, event: 'roster.accepted' };
  assert.equal(formatRecord(ENVELOPE, one), formatRecord(ENVELOPE, two));
});

void test('facts that are missing or undefined are left out', () => {
  const event = { event: 'roster.refused', source: 'f', code: 'ROSTER_INVALID', count: undefined } as unknown as Event;
  assert.equal('count' in (JSON.parse(formatRecord(ENVELOPE, event)) as object), false);
});

void test('a long string is cut, and the longest record fits its bound', () => {
  assert.equal(reasonIn(line('a'.repeat(5000))), `${'a'.repeat(1024)}…`);
  const worst = '\u0000'.repeat(5000);
  const event = { event: 'share.offered', reference: worst, digest: worst, rule: worst } as unknown as Event;
  const text = formatRecord({ ...ENVELOPE, self: worst, policy: worst }, event);
  assert.ok(text.length <= LINE_MAX_BYTES);
});

void test('what is no fact is a defect', () => {
  for (const value of [1.5, Number.NaN, 2 ** 60, null, {}, [1]])
    assert.throws(() => formatRecord(ENVELOPE, { event: 'node.stopped', reason: value } as unknown as Event));
});

void test('the end of a log is its last whole record, whatever stands before it', () => {
  assert.deepEqual(endOf(Buffer.from('')), { record: 0, torn: false });
  assert.deepEqual(endOf(Buffer.from('{"record":1')), { record: 0, torn: true });
  assert.deepEqual(endOf(Buffer.from('ord":1}\n{"record":2}\n')), { record: 2, torn: false });
  assert.deepEqual(endOf(Buffer.from('{"record":2}\n{"rec\n\n')), { record: 2, torn: false });
  // Power was lost twice before a first record was whole, and the disk had made room for more than came.
  for (const rest of ['{"rec', '{', '\0\0\0', '{"rec\0\0', ''])
    assert.deepEqual(endOf(Buffer.from(`${rest}\n\0\0`)), { record: 0, torn: true });
  for (const foreign of ['text\n', '{"other":1}\n', '\0\0text\n'])
    assert.throws(
      () => endOf(Buffer.from(foreign)),
      error => hasCode(error, 'STATE_INVALID'),
    );
  // Nothing could be numbered after that one.
  assert.deepEqual(endOf(Buffer.from(`{"record":2}\n{"record":${Number.MAX_SAFE_INTEGER}}\n`)), {
    record: 2,
    torn: false,
  });
});

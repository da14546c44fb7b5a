/** The writer: group commit, numbers across restarts and failures, and what a torn line leaves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Audit, Event } from '../../src/audit/audit.ts';
import { AUDIT_TAIL_BYTES, openAudit } from '../../src/audit/journal.ts';
import { hasCode } from '../../src/errors.ts';
import { MemoryJournal } from '../support/memory-journal.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

const open = (journal: MemoryJournal, policyHash = () => 'aa'): Promise<Audit> =>
  openAudit({ journal, world: simulatedWorld(0), policyHash, node: 'n1', tail: journal.tail });
const stopped = (reason: string): Event => ({ event: 'node.stopped', reason });
const numbers = (journal: MemoryJournal): unknown[] => journal.records().map(({ record }) => record);

void test('a record is one line of sorted keys with number, time, node and policy', async () => {
  const journal = new MemoryJournal();
  const audit = await open(journal);
  await audit.record(stopped('asked'));
  assert.equal(
    journal.text,
    '{"event":"node.stopped","policy":"aa","reason":"asked","record":1,"self":"n1","time":"1970-01-01T00:00:00.000Z"}\n',
  );
});

void test('every record carries the policy that was in force when it was asked for', async () => {
  const journal = new MemoryJournal();
  let hash = 'aa';
  const audit = await open(journal, () => hash);
  const first = audit.record(stopped('1'));
  hash = 'bb';
  await Promise.all([first, audit.record(stopped('2'))]);
  assert.deepEqual(
    journal.records().map(({ policy }) => policy),
    ['aa', 'bb'],
  );
});

void test('records that come while a write is under way share the next one, and none answers before its own', async () => {
  const journal = new MemoryJournal();
  const audit = await open(journal);
  let release = (): void => undefined;
  journal.before = () =>
    new Promise(resolve => {
      release = resolve;
    });
  const first = audit.record(stopped('first'));
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(journal.appends, 1);
  let answered = 0;
  const others = Array.from({ length: 50 }, async (_, at) => {
    await audit.record(stopped(String(at)));
    answered++;
  });
  release();
  await first;
  await simulatedWorld().settle();
  assert.deepEqual([journal.appends, answered, journal.records().length], [2, 0, 1]);
  release();
  await Promise.all(others);
  assert.equal(journal.appends, 2);
  assert.deepEqual(
    numbers(journal),
    Array.from({ length: 51 }, (_, at) => at + 1),
  );
});

void test('numbers go on after a restart', async () => {
  const journal = new MemoryJournal();
  await (await open(journal)).record(stopped('1'));
  await (await open(journal)).record(stopped('2'));
  assert.deepEqual(numbers(journal), [1, 2]);
});

void test('numbers go on however long the log is', async () => {
  const journal = new MemoryJournal();
  const first = await open(journal);
  await Promise.all(Array.from({ length: 400 }, () => first.record(stopped('x'.repeat(2000)))));
  assert.ok(journal.text.length > AUDIT_TAIL_BYTES);
  await (await open(journal)).record(stopped('last'));
  assert.equal(numbers(journal).at(-1), 401);
});

void test('after a torn line the next record says so, and no number is used twice', async () => {
  const whole = new MemoryJournal();
  const audit = await open(whole);
  for (const reason of ['1', '2']) await audit.record(stopped(reason));
  // Cut in every place inside the second line, its newline alone included.
  const first = whole.text.indexOf('\n') + 1;
  for (let at = first + 1; at < whole.text.length; at++) {
    const journal = new MemoryJournal(whole.text.slice(0, at));
    await (await open(journal)).record(stopped('3'));
    const records = journal.records();
    assert.equal(new Set(numbers(journal)).size, records.length);
    assert.deepEqual(records.at(-2), { ...records.at(-2), event: 'audit.resumed', torn: true, refused: 0, record: 3 });
    assert.equal(records.at(-1)?.reason, '3');
  }
});

void test('after failed writes the next record says how many were refused, and their numbers are left out', async () => {
  const journal = new MemoryJournal();
  const audit = await open(journal);
  await audit.record(stopped('1'));
  // The disk takes one whole line and a half, and fails.
  journal.broken = 150;
  const results = await Promise.allSettled(['2', '3', '4'].map(reason => audit.record(stopped(reason))));
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  );
  journal.broken = false;
  await audit.record(stopped('5'));
  await audit.record(stopped('6'));
  assert.deepEqual(
    journal.records().map(({ record, event, refused, reason }) => [record, event, refused ?? reason]),
    [
      [1, 'node.stopped', '1'],
      [2, 'node.stopped', '2'],
      [5, 'audit.resumed', 3],
      [6, 'node.stopped', '5'],
      [7, 'node.stopped', '6'],
    ],
  );
});

void test('what waits for a slow disk is bounded', async () => {
  const journal = new MemoryJournal();
  const audit = await open(journal);
  let release = (): void => undefined;
  const gate = new Promise<void>(resolve => {
    release = resolve;
  });
  journal.before = () => gate;
  const all = Array.from({ length: 12_000 }, () => audit.record(stopped('x')));
  const settled = Promise.allSettled(all);
  let refusal: unknown;
  all.at(-1)?.catch((error: unknown) => (refusal = error));
  await new Promise(resolve => setImmediate(resolve));
  assert.ok(hasCode(refusal, 'AUDIT_UNAVAILABLE'), 'refused while the others wait');
  release();
  const written = (await settled).filter(({ status }) => status === 'fulfilled').length;
  assert.ok(written >= 10_000 && written < 12_000);
  await audit.record(stopped('after'));
  const records = journal.records();
  assert.equal(records.filter(({ event }) => event === 'node.stopped').length, written + 1);
  const refused = records.reduce((sum, record) => sum + Number(record.refused ?? 0), 0);
  assert.equal(refused, 12_000 - written);
});

void test('a file that is no audit log is not written to', async () => {
  const journal = new MemoryJournal('something else\nentirely\n');
  await assert.rejects(open(journal), error => hasCode(error, 'STATE_INVALID'));
  assert.equal(journal.appends, 0);
});

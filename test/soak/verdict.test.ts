import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleOf } from './samples.ts';
import type { Sample } from './samples.ts';
import { judge } from './verdict.ts';

const PHASES = { churnMs: 900, quietMs: 1000 };

/** A sample every 10 ms, from before the churn to after it. */
function samples(of: (at: number) => Partial<Sample>): Sample[] {
  return Array.from({ length: 130 }, (_, index) => {
    const at = index * 10 - 100;
    return { node: 'a', pid: 1, at, memory: 100, handles: 20, sockets: 10, ...of(at) };
  });
}

void test('a node whose memory, handles and sockets come back is flat, whatever it took meanwhile', () => {
  const busy = samples(at => (at >= 0 && at < 900 ? { memory: 300, handles: 90, sockets: 70 } : {}));
  const { wrong, steady, handles } = judge('a', busy, PHASES);
  assert.deepEqual([wrong, steady, handles], [[], true, { before: 20, after: 20, most: 90 }]);
});

void test('memory that grows through the last third is not flat, of a node that ran through', () => {
  const growing = (at: number): Partial<Sample> => ({ memory: 100 + at });
  assert.equal(judge('a', samples(growing), PHASES).wrong.length, 1);
  const restarted = samples(at => ({ ...growing(at), pid: at < 300 ? 1 : 2 }));
  assert.deepEqual(judge('a', restarted, PHASES).wrong, []);
});

void test('handles and sockets that stay open in the quiet at the end are not flat', () => {
  assert.equal(
    judge(
      'a',
      samples(at => (at < 0 ? {} : { handles: 25, sockets: 15 })),
      PHASES,
    ).wrong.length,
    2,
  );
});

void test('what was never measured is not flat', () => {
  assert.equal(
    judge(
      'b',
      samples(() => ({})),
      PHASES,
    ).wrong.length,
    2,
  );
});

void test('a process is sampled while it lives', async () => {
  const own = await sampleOf('self', process.pid, 5);
  assert.ok(own && own.memory > 1 << 20 && own.handles > 2 && own.sockets <= own.handles);
  assert.equal(await sampleOf('nobody', 2 ** 22 + 1, 5), undefined);
});

/** One judge of what ends soon. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stageOf } from '../../src/identity/lifetime.ts';

void test('a life is good, ends when less than three tenths are left, and has ended after its last moment', () => {
  const life = { issuedAt: 1000, expiresAt: 2000 };
  for (const [now, stage] of [
    [0, 'good'],
    [1700, 'good'],
    [1701, 'ending'],
    [2000, 'ending'],
    [2001, 'ended'],
  ] as const)
    assert.equal(stageOf(life, now), stage, String(now));
});

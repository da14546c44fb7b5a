/**
 * README's table of limits: each row is tried, at the limit and one beyond it, with the numbers that stand there. Those among
 * nodes are in limits/peers.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitsIn } from './limits/table.ts';
import { ownTries, peerTries, rows, tryRows } from './limits/tries.ts';

void test('README names each limit once; each row has a try, and each try a row', () => {
  const tries = [...Object.keys(ownTries), ...Object.keys(peerTries)];
  assert.deepEqual(rows.map(({ id }) => id).sort(), tries.sort());
});

void test('rows are read with their numbers and codes', () => {
  const [row] = limitsIn('\n### Limits\n\n| `a-limit` x | 1,024, 4 MiB, 5 s, 50 % | `LIMIT_EXCEEDED` |\n## more\n');
  assert.deepEqual(row?.numbers, [1024, 4 << 20, 5000, 0.5]);
  assert.deepEqual(row?.codes, ['LIMIT_EXCEEDED']);
});

tryRows('the limits of a node in README', ownTries);

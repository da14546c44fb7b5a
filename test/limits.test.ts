/** README's table of limits: each row is tried, at the limit and one beyond it, with the numbers that stand there. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { answerTries } from './limits/answers.ts';
import { contentTries } from './limits/content.ts';
import { exchangeTries } from './limits/exchanges.ts';
import { laneTries } from './limits/lanes.ts';
import { linkTries } from './limits/links.ts';
import { stateTries } from './limits/state.ts';
import { statementTries } from './limits/statements.ts';
import { limitsIn, type Tries } from './limits/table.ts';

const rows = limitsIn(readFileSync(new URL('../README.md', import.meta.url), 'utf8'));
const tries: Tries = {
  ...contentTries,
  ...answerTries,
  ...linkTries,
  ...statementTries,
  ...exchangeTries,
  ...laneTries,
  ...stateTries,
};
/** Those that wait for the machine's own clock: all at once, before the others. */
const SLOW = ['client-headers', 'lane-handshake'];

void describe('the table of limits in README', () => {
  const begun = new Map<string, Promise<void>>();
  before(() => {
    for (const row of rows.filter(({ id }) => SLOW.includes(id))) {
      const work = (async () => tries[row.id]?.(row))();
      work.catch(() => undefined);
      begun.set(row.id, work);
    }
  });

  void it('names each limit once, and has a try for each row and a row for each try', () => {
    assert.deepEqual(rows.map(({ id }) => id).sort(), Object.keys(tries).sort());
  });

  void it('finds a row without a try, and a number that is another', () => {
    const [row] = limitsIn('\n### Limits\n\n| `a-limit` x | 1,024, 4 MiB, 5 s, 50 % | `LIMIT_EXCEEDED` |\n## more\n');
    assert.deepEqual(row?.numbers, [1024, 4 << 20, 5000, 0.5]);
    assert.deepEqual(row?.codes, ['LIMIT_EXCEEDED']);
  });

  for (const row of rows) void it(`${row.id}: ${row.howMany}`, () => begun.get(row.id) ?? tries[row.id]?.(row));
});

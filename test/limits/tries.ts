/** All tries of README's table of limits, in two halves that run beside each other. */
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { admissionTries } from './admission.ts';
import { answerTries } from './answers.ts';
import { attachmentTries } from './attachments.ts';
import { contentTries } from './content.ts';
import { exchangeTries } from './exchanges.ts';
import { laneTries } from './lanes.ts';
import { linkTries } from './links.ts';
import { policyFileTries } from './policy-files.ts';
import { policyTries } from './policies.ts';
import { questionTries } from './questions.ts';
import { signatureTries } from './signatures.ts';
import { stateTries } from './state.ts';
import { statementTries } from './statements.ts';
import { limitsIn, type Tries } from './table.ts';

/** The rows as they stand in README. */
export const rows = limitsIn(readFileSync(new URL('../../README.md', import.meta.url), 'utf8'));

/** What one node does by itself, and what it does with others. */
export const ownTries: Tries = {
  ...contentTries,
  ...answerTries,
  ...stateTries,
  ...policyTries,
  ...policyFileTries,
  ...signatureTries,
  ...admissionTries,
  ...attachmentTries,
};
export const peerTries: Tries = { ...linkTries, ...statementTries, ...exchangeTries, ...questionTries, ...laneTries };

/** Those that wait for the machine's own clock: all at once, before the others. */
const SLOW = ['client-headers', 'lane-handshake'];

/** A test for each row that one of `tries` is for. */
export function tryRows(title: string, tries: Tries): void {
  void describe(title, () => {
    const mine = rows.filter(({ id }) => Object.hasOwn(tries, id));
    const begun = new Map<string, Promise<void>>();
    before(() => {
      for (const row of mine.filter(({ id }) => SLOW.includes(id))) {
        const work = (async () => tries[row.id]!(row))();
        work.catch(() => undefined);
        begun.set(row.id, work);
      }
    });
    for (const row of mine) void it(`${row.id}: ${row.howMany}`, () => begun.get(row.id) ?? tries[row.id]!(row));
  });
}

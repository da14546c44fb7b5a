/** The audit log in a journal and the one in memory are the same to who records. */
import { openAudit } from '../../src/audit/journal.ts';
import { memoryAudit } from '../support/memory-audit.ts';
import { MemoryJournal } from '../support/memory-journal.ts';
import { simulatedWorld } from '../support/simulated-world.ts';
import { auditConformance } from './audit.ts';

auditConformance('journal', async () => {
  const journal = new MemoryJournal();
  const audit = await openAudit({ journal, world: simulatedWorld(), policyHash: () => 'aa', node: 'n1' });
  return {
    audit,
    read: () => journal.records().filter(({ event }) => event !== 'audit.resumed'),
    breakDisk: broken => {
      journal.broken = broken;
    },
  };
});

auditConformance('memory', async () => {
  const audit = memoryAudit();
  return {
    audit,
    read: () => audit.events.map(event => ({ ...event })),
    breakDisk: broken => {
      audit.broken = broken;
    },
  };
});

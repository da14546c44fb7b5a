/** Attachments on a real disk, on one in memory, and the fake pass the suite of attachments. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openAttachments } from '../../src/store/attachments.ts';
import { type Disk, realDisk } from '../../src/store/disk.ts';
import { realWorld } from '../../src/world.ts';
import { MemoryAttachments } from '../support/memory-attachments.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { attachmentsConformance, type AttachmentsUnderTest } from './attachments.ts';

async function on(disk: Disk, dir: string): Promise<AttachmentsUnderTest> {
  const clock = { now: Date.parse('2026-11-25T00:00:00Z') };
  return { attachments: await openAttachments(disk, dir, { ...realWorld, now: () => clock.now }), clock };
}

attachmentsConformance('on a real disk', async t => {
  const dir = await mkdtemp(join(tmpdir(), 'pinnace-attachments-'));
  t.after(() => rm(dir, { recursive: true }));
  return on(realDisk, join(dir, 'attachments'));
});

attachmentsConformance('on a disk in memory', () => on(new MemoryDisk(), '/attachments'));

attachmentsConformance('in memory', async () => {
  const clock = { now: 0 };
  return { attachments: new MemoryAttachments({ now: () => clock.now }), clock };
});

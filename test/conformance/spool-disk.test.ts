/** The spool on the real disk and on one in memory passes the suite of spools. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { realDisk } from '../../src/store/disk.ts';
import { openSpool } from '../../src/store/spool.ts';
import { realWorld } from '../../src/world.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { SPOOL_BYTES, spoolConformance } from './spool.ts';

spoolConformance('on disk', async t => {
  const dir = await mkdtemp(join(tmpdir(), 'pinnace-spool-'));
  const spool = await openSpool(realDisk, join(dir, 'spool'), SPOOL_BYTES, realWorld);
  t.after(async () => {
    await spool.settled();
    await rm(dir, { recursive: true });
  });
  return spool;
});

spoolConformance('in memory', () => openSpool(new MemoryDisk(), '/spool', SPOOL_BYTES, realWorld));

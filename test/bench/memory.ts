/**
 * Memory that is warm: a virtual machine may give unused memory back to its host, and then pays dearly for the first touch
 * of each page, which a node that writes a spool file does and a proxy that writes nothing does not. Before every timed
 * run, of whoever it is, as much page cache is written and freed as a run may need.
 */
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { realWorld } from '../../src/world.ts';

const WRITE_BYTES = 1 << 20;

/** Writes a file of `bytes` in `folder` and removes it; answers with the seconds that the writing took. */
export async function warmMemory(folder: string, bytes: number): Promise<number> {
  const path = join(folder, 'warm-memory');
  const buffer = Buffer.alloc(WRITE_BYTES, 1);
  const file = await open(path, 'w', 0o600);
  const started = realWorld.monotonic();
  try {
    for (let at = 0; at < bytes; at += WRITE_BYTES) await file.write(buffer, 0, WRITE_BYTES, at);
    return (realWorld.monotonic() - started) / 1e3;
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
}

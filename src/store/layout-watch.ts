/**
 * Notices changes of files, soon where the system tells and in any case after a while. Promises: it calls once more after
 * the last change; it ends with its signal alone. Refuses to know what the files mean.
 */
import type { World } from '../world.ts';
import type { Disk } from './disk.ts';

/** How often files are looked at where nothing was told. */
const POLL_MS = 5_000;

/**
 * Calls `changed` at first, and whenever a file or folder of `looked` is another than before; changes of names in
 * `folders` are told by the system. Never rejects.
 */
export async function watchFiles(
  disk: Disk,
  world: World,
  folders: readonly string[],
  looked: readonly string[],
  changed: () => void,
  signal: AbortSignal,
): Promise<void> {
  let told = Promise.withResolvers<void>();
  const watching = folders.map(folder => disk.watch(folder, () => told.resolve(), signal));
  let before: string | undefined;
  while (!signal.aborted) {
    // Before the look: what is told during it is looked at again.
    told = Promise.withResolvers<void>();
    const now = await look(disk, looked);
    if (now !== before) changed();
    before = now;
    const idle = new AbortController();
    await Promise.race([told.promise, world.sleep(POLL_MS, AbortSignal.any([signal, idle.signal]))]);
    idle.abort();
  }
  await Promise.all(watching);
}

/** What the files look like; what cannot be looked at looks like nothing. */
async function look(disk: Disk, paths: readonly string[]): Promise<string> {
  const facts = await Promise.all(paths.map(path => disk.facts(path).catch(() => undefined)));
  return facts.map(each => each?.stamp ?? '').join();
}

/** Tells a second Ctrl-C from the first one heard twice. Refuses to know what either does. */
import type { World } from '../world.ts';

/** npm hands on a Ctrl-C that the terminal sent to the whole group: what follows sooner is the same key, in milliseconds. */
const SAME_KEY_MS = 300;

/** To be called at each SIGINT: true where it is a further key press, not the first. */
export function furtherPress(world: Pick<World, 'monotonic'>): () => boolean {
  let first: number | undefined;
  return () => {
    const now = world.monotonic();
    first ??= now;
    return now - first >= SAME_KEY_MS;
  };
}

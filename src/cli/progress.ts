/** Progress of contents on their way: drawn over itself on a terminal, silent in a pipe. */
import type { World } from '../world.ts';
import { bytesText, shortDigest } from './table.ts';

/** A line is drawn at most so often. */
const DRAW_MS = 100;

export interface Step {
  readonly digest: string;
  readonly size: number;
  readonly done: number;
  readonly from: string;
}

/** `step` takes what happened; `end` clears the line. */
export function progress(
  world: World,
  terminal: boolean,
  write: (text: string) => void,
): { readonly step: (at: Step) => void; readonly end: () => void } {
  if (!terminal) return { step: () => undefined, end: () => undefined };
  let drawnAt = -DRAW_MS;
  const begun = new Map<string, number>();
  return {
    step({ digest, size, done, from }) {
      const now = world.monotonic();
      if (!begun.has(digest)) begun.set(digest, now);
      if (now - drawnAt < DRAW_MS && done < size) return;
      drawnAt = now;
      const seconds = Math.max(0.001, (now - begun.get(digest)!) / 1000);
      const percent = size ? Math.floor((100 * done) / size) : 100;
      const line = `${shortDigest(digest)}  ${bytesText(done)} of ${bytesText(size)} (${percent} %)  ${bytesText(done / seconds)}/s`;
      write(`\r\x1b[2K${line}${from ? `  from ${from}` : ''}`);
    },
    end: () => write('\r\x1b[2K'),
  };
}

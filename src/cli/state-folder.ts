/**
 * The state files of a node. Promises: what is wrong with one is said with its path, whichever room reads it. Refuses to
 * know what is in them.
 */
import { join } from 'node:path';
import { hasCode, MirrorError } from '../errors.ts';
import { type Disk, keepAt } from '../store/disk.ts';
import type { Keep } from '../world.ts';

export interface StateFolder {
  /** The path of a file or folder in it. */
  readonly at: (name: string) => string;
  /** The state file of that name. */
  readonly keep: (name: string) => Keep;
  /** Runs `open`, which reads state files one after the other. @throws what it throws, with the path of the last file read */
  readonly opening: <T>(open: () => Promise<T>) => Promise<T>;
}

/** The state folder `dir`, which is there. */
export function stateFolder(disk: Disk, dir: string): StateFolder {
  let last = dir;
  const at = (name: string): string => join(dir, name);
  return {
    at,
    keep(name) {
      const file = keepAt(disk, at(name));
      return {
        read() {
          last = at(name);
          return file.read();
        },
        write: bytes => file.write(bytes),
      };
    },
    async opening(open) {
      try {
        return await open();
      } catch (error) {
        if (!hasCode(error, 'STATE_INVALID', 'STATE_NEWER') || error.message.includes(last)) throw error;
        throw new MirrorError(error.code, `${last}: ${error.message}`, { cause: error });
      }
    },
  };
}

/**
 * The disk of a node in a storm: the one in memory, whose writes sometimes take their time, so that a node can die between
 * two of them; and which shows the audit log as it is written.
 */
import type { Disk, OpenFile } from '../../src/store/disk.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

export const AUDIT_PATH = '/state/audit.jsonl';

/** `disk` as a process sees it: once it is not `alive`, nothing that it asks for happens any more. */
export function diskOf(disk: Disk, alive: () => boolean): Disk {
  return whileAlive(disk, alive, file => whileAlive(file, alive));
}

type Method = (...args: unknown[]) => unknown;

function whileAlive<T extends object>(port: T, alive: () => boolean, opened?: (file: OpenFile) => OpenFile): T {
  const never = new Promise<never>(() => undefined);
  return new Proxy(port, {
    get(target, key) {
      const method = Reflect.get(target, key, target) as Method | undefined;
      if (!method) return undefined;
      return async (...args: unknown[]) => {
        if (!alive()) return never;
        const answer = await method.apply(target, args);
        const isFile = typeof answer === 'object' && answer !== null && 'sync' in answer;
        return opened && isFile ? opened(answer as OpenFile) : answer;
      };
    },
  });
}

export class StormDisk extends MemoryDisk {
  /** Resolves when the next write may go on; at once, most of the time. */
  pause: (of: 'audit' | 'other') => Promise<void> = () => Promise.resolve();
  /** Hears what was appended to the audit log. */
  recorded: (bytes: Uint8Array) => void = () => undefined;

  override async create(path: string): Promise<OpenFile> {
    await this.pause('other');
    return this.#slow(await super.create(path));
  }

  override async openAppend(path: string): Promise<OpenFile> {
    const file = await super.openAppend(path);
    if (path !== AUDIT_PATH) return this.#slow(file);
    return {
      ...file,
      write: async (bytes, position) => {
        await this.pause('audit');
        await file.write(bytes, position);
        this.recorded(bytes);
      },
    };
  }

  override async rename(from: string, to: string): Promise<void> {
    await this.pause('other');
    return super.rename(from, to);
  }

  #slow(file: OpenFile): OpenFile {
    return {
      ...file,
      write: async (bytes, position) => {
        await this.pause('other');
        await file.write(bytes, position);
      },
      sync: async () => {
        await this.pause('other');
        await file.sync();
      },
    };
  }
}

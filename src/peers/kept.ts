/**
 * Node records and tag statements across restarts. Promises: every statement read back is judged again; a write is never
 * more than a second behind, and one at a time. Refuses to know who else has them. Spec: PROTOCOL.md, "Statements".
 */
import type { PeerId } from '../oci/oci.ts';
import type { Keep, World } from '../world.ts';
import type { Log } from './peers.ts';
import { readRecords, type Records } from './records.ts';
import type { Table } from './table.ts';

/** How long a change may wait to be written; a whole cluster that joins costs a few writes. */
const FLUSH_MS = 1_000;

export interface KeptOptions {
  readonly world: World;
  readonly self: PeerId;
  readonly table: Table;
  readonly keeps: { readonly nodes: Keep; readonly tags: Keep };
  readonly log: Log;
  readonly signal: AbortSignal;
}

export class Kept {
  readonly #options: KeptOptions;
  readonly #dirty = new Set<'nodes' | 'tags'>();
  #waiting = false;

  constructor(options: KeptOptions) {
    this.#options = options;
  }

  /** Reads both files into the table; what does not hold any more is left out. @throws FILE_UNREADABLE */
  async load(): Promise<void> {
    const { keeps, table, self, log } = this.#options;
    for (const keep of [keeps.nodes, keeps.tags]) {
      for (const bytes of await readRecords(keep)) {
        try {
          table.offer(bytes, self, 'disk');
        } catch (error) {
          log('debug', `a kept statement does not hold: ${(error as Error).message}`);
        }
      }
    }
  }

  /** Something changed and is to be written. */
  changed(what: 'nodes' | 'tags'): void {
    this.#dirty.add(what);
    if (!this.#waiting) void this.#later();
  }

  /** Writes what is waiting. Never rejects. */
  async flush(): Promise<void> {
    const { keeps, table, log } = this.#options;
    for (const what of this.#dirty) {
      this.#dirty.delete(what);
      const records: Records<'node'> | Records<'tags'> = what === 'nodes' ? table.nodes : table.tags;
      await keeps[what].write(records.file()).catch((error: unknown) => {
        log('warn', `cannot keep ${what}: ${(error as Error).message}`);
      });
    }
  }

  async #later(): Promise<void> {
    const { world, signal } = this.#options;
    this.#waiting = true;
    while (this.#dirty.size > 0) {
      await world.sleep(FLUSH_MS, signal);
      await this.flush();
    }
    this.#waiting = false;
  }
}

/**
 * What is known of the members, on disk. Promises: what could not be written is tried again until it is, and a whole
 * cluster that joins costs a few writes; a roster that is newer is written after the one before it. Refuses to judge.
 */
import type { Keep, World } from '../world.ts';
import { writeCredentials } from './members-file.ts';

/** How long new credentials may wait to be written, in milliseconds: a whole cluster that joins costs a few writes. */
const FLUSH_MS = 1000;
/** After a write that failed the next one is tried so much later, in milliseconds. */
const RETRY_MS = 5000;

export interface KeepingOptions {
  /** The roster in force, as a JWT. */
  readonly rosterKeep: Keep;
  /** The newest credential of each member. */
  readonly credentialsKeep: Keep;
  readonly world: Pick<World, 'sleep'>;
  /** The daemon's life. */
  readonly signal: AbortSignal;
}

/** What is to be written, at the moment of writing. */
export interface Kept {
  roster(): string;
  credentials(): readonly string[];
  /** Runs `work` when no roster is being put in force. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
}

export class Keeping {
  readonly #options: KeepingOptions;
  readonly #kept: Kept;
  /** True while the roster in force could not be written. */
  #unwritten = false;
  #dirty = false;
  #flushing: Promise<void> | undefined;

  constructor(options: KeepingOptions, kept: Kept) {
    this.#options = options;
    this.#kept = kept;
  }

  /** Writes the roster in force; call it in turn. @throws FILE_UNREADABLE, and it is tried again */
  async keepRoster(): Promise<void> {
    this.#unwritten = true;
    try {
      await this.#options.rosterKeep.write(Buffer.from(this.#kept.roster()));
      this.#unwritten = false;
    } finally {
      // Nobody offers it again: whoever has the same one sends none.
      if (this.#unwritten) this.changed();
    }
  }

  /** The roster in force is offered again: writes it where it is not on disk. @throws FILE_UNREADABLE */
  async keepUnwritten(): Promise<void> {
    if (this.#unwritten) await this.keepRoster();
  }

  /** Something is to be written, soon. */
  changed(): void {
    this.#dirty = true;
    this.#flushing ??= this.#write().finally(() => {
      this.#flushing = undefined;
    });
  }

  /** Resolves when all is on disk, or the life ended. */
  async settled(): Promise<void> {
    await this.#flushing;
  }

  /** Writes what is not on disk yet, and goes on until it is: a full disk must neither end the cluster nor cost a roster. */
  async #write(): Promise<void> {
    const { world, signal, credentialsKeep } = this.#options;
    let wait = FLUSH_MS;
    while (this.#dirty) {
      await world.sleep(wait, signal);
      this.#dirty = false;
      try {
        await this.#kept.inTurn(() => this.keepUnwritten());
        await writeCredentials(credentialsKeep, this.#kept.credentials());
        wait = FLUSH_MS;
      } catch {
        if (signal.aborted) return;
        this.#dirty = true;
        wait = RETRY_MS;
      }
    }
  }
}

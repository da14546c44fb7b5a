/** What a command is: a name, its help, and a function from arguments to work. One file a command; main.ts lists them. */
import type { Kind } from '../errors.ts';
import type { World } from '../world.ts';

/** The outside of a command, so that tests run it in process. */
export interface Io {
  readonly world: World;
  /** Results; one JSON document where `json` is set. */
  out(text: string): void;
  /** Progress and notices for a person; nothing of it is a result. */
  err(text: string): void;
  /** True where `err` is a terminal: progress may be drawn. */
  readonly terminal: boolean;
  /** `--json` was given. */
  readonly json: boolean;
  /** Aborts on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

export interface Command {
  /** As typed, e.g. `cluster init`. */
  readonly name: string;
  readonly summary: string;
  /** Printed by --help; each option in a line of its own. */
  readonly usage: string;
  /** Options in the form of node:util parseArgs; `--json` and `--help` are taken before. */
  readonly options: Readonly<Record<string, { readonly type: 'string' | 'boolean'; readonly multiple?: boolean }>>;
  /**
   * Answers with the exit code where it is not 0: FOUND where it was asked to look for what is wrong, and found some.
   * @throws MirrorError; its kind is the exit code (USAGE where arguments are wrong)
   */
  run(
    args: { readonly values: Readonly<Record<string, unknown>>; readonly positionals: readonly string[] },
    io: Io,
  ): Promise<number | void>;
}

/** The exit code of a check that did its work and has something to report: a case that fails, an image without a pin. */
export const FOUND = 1;

/** Exit codes by the kind of error; 70 is a defect. */
export const EXIT: Readonly<Record<Kind, number>> = { invalid: 64, denied: 3, absent: 4, hostile: 5, unavailable: 69 };

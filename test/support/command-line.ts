/** A folder for the tests of `pinnace pins` and `pinnace policy`, and the command line in process. Promises: gone at the end. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { main } from '../../src/cli/main.ts';
import { realWorld } from '../../src/world.ts';

/** What a command printed; `json` is its one document where `--json` was given. */
export interface Printed {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
  readonly json: Readonly<Record<string, unknown>>;
}

/** Runs a command line in process, at `now` (ms). */
export async function pinnaceAt(now: number, ...argv: string[]): Promise<Printed> {
  let [out, err] = ['', ''];
  const exit = await main(argv, {
    world: { ...realWorld, now: () => now },
    out: text => void (out += text),
    err: text => void (err += text),
    terminal: false,
    signal: new AbortController().signal,
  });
  const json = argv.includes('--json') ? (JSON.parse(out) as Printed['json']) : {};
  return { exit, out, err, json };
}

/** Runs a command line in process. */
export const pinnace = (...argv: string[]): Promise<Printed> => pinnaceAt(realWorld.now(), ...argv);

/** The code of the error that a command with `--json` ended with. */
export const codeIn = ({ json }: Printed): string | undefined =>
  (json.error as { readonly code: string } | undefined)?.code;

/** A digest of one repeated hex digit. */
export const digest = (digit: string): string => `sha256:${digit.repeat(64)}`;

export interface Folder {
  readonly dir: string;
  /** The path of a file in it. */
  at(name: string): string;
  /** Writes a file, and answers with its path. */
  put(name: string, text: string): Promise<string>;
  text(name: string): Promise<string>;
}

/** A folder that is removed when the tests of the file end. */
export async function freshFolder(): Promise<Folder> {
  const dir = await mkdtemp(join(tmpdir(), 'pinnace-cli-'));
  after(() => rm(dir, { recursive: true, force: true }));
  const at = (name: string): string => join(dir, name);
  return {
    dir,
    at,
    async put(name, text) {
      await writeFile(at(name), text);
      return at(name);
    },
    text: name => readFile(at(name), 'utf8'),
  };
}

/** Asserts an exit code, with what was printed as the message. */
export function exits(printed: Printed, exit: number): Printed {
  assert.equal(printed.exit, exit, `${printed.out}\n${printed.err}`);
  return printed;
}

/**
 * The libraries that the daemon loads, and a process that loads just these: what an idle daemon is compared with. Promises:
 * follows the imports that are there at run time, type imports and late ones left out. Refuses to know the libraries.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/** What the process below prints once all is loaded. */
export const LOADED = 'loaded';

const IMPORT = /^import\s+(?!type\s)(?:[^'";]*?\sfrom\s+)?'([^']+)'|^export\s+[*{][^'";]*?\sfrom\s+'([^']+)'/gm;

/** The modules that a source text imports by value, as written. */
export const importsOf = (text: string): string[] =>
  [...text.matchAll(IMPORT)].map(([, by, again]) => by ?? again ?? '');

/** Every library, Node's own included, that the files reachable from `roots` import by value; sorted. */
export async function librariesOf(roots: readonly string[]): Promise<string[]> {
  const files = new Set(roots);
  const libraries = new Set<string>();
  for (const file of files) {
    for (const name of importsOf(await readFile(file, 'utf8'))) {
      if (name.startsWith('.')) files.add(resolve(dirname(file), name));
      else libraries.add(name);
    }
  }
  return [...libraries].sort();
}

/** The flags of Node with which a process runs: what stands between the program and the first script. */
export const nodeFlags = (cmdline: string): string[] => {
  const words = cmdline.split('\0').slice(1);
  return words.slice(
    0,
    words.findIndex(word => !word.startsWith('-')),
  );
};

// Run by itself, this file is that process: it loads what it is told and stays until it is ended.
if (import.meta.main) {
  for (const name of process.argv.slice(2)) await import(name);
  process.stdout.write(`${LOADED}\n`);
  process.stdin.resume();
  setInterval(() => undefined, 1 << 30);
}

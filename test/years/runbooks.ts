/** The runbooks of README: their commands as they stand there. Refuses to know what they do. */
import { readFile } from 'node:fs/promises';

const README = new URL('../../README.md', import.meta.url);
const BLOCK = /<!-- runbook: ([a-z]+) -->\n```sh\n([\s\S]*?)```\n<!-- end -->/g;

/** The commands of each runbook by its name, comments left out. */
export async function readRunbooks(): Promise<ReadonlyMap<string, readonly string[]>> {
  const text = await readFile(README, 'utf8');
  return new Map(
    [...text.matchAll(BLOCK)].map(([, name = '', block = '']) => [
      name,
      block
        .split('\n')
        .map(line => line.replace(/\s+#.*$/, '').trim())
        .filter(Boolean),
    ]),
  );
}

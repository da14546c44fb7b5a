/** What an earlier run left in the folder of the spool. Promises: partial files go; what is not the spool's stays. */
import { join } from 'node:path';
import { type Digest, isDigest } from '../oci/oci.ts';
import type { Disk } from './disk.ts';
import { PARTIAL_SUFFIX } from './spool-saver.ts';

/** Names of whole contents: algorithm, hex, size, and a number, so that no name is ever used twice. */
const WHOLE_NAME = /^(sha256|sha512)-([a-f0-9]{64,128})-(\d{1,15})-(\d{1,15})$/;

/** A whole file, and when it was last used (milliseconds since 1970). */
export interface Found {
  readonly digest: Digest;
  readonly size: number;
  readonly path: string;
  readonly usedAt: number;
}

/**
 * Removes partial files, and whole ones that have not their size. Answers with the others, the least recently used first,
 * and with the highest number in a name. @throws FILE_UNREADABLE
 */
export async function foundIn(disk: Disk, dir: string): Promise<{ found: readonly Found[]; named: number }> {
  const found: Found[] = [];
  let named = 0;
  for (const name of await disk.list(dir)) {
    const path = join(dir, name);
    const [, algorithm, hex, length, number] = WHOLE_NAME.exec(name) ?? [];
    const digest = `${algorithm}:${hex}`;
    if (!isDigest(digest)) {
      if (name.endsWith(PARTIAL_SUFFIX)) await disk.remove(path);
      continue;
    }
    named = Math.max(named, Number(number));
    const facts = await disk.facts(path);
    const size = Number(length);
    if (facts?.kind === 'file' && facts.size === size) found.push({ digest, size, path, usedAt: facts.modifiedAt });
    else if (facts?.kind !== 'folder') await disk.remove(path);
  }
  return { found: found.sort((a, b) => a.usedAt - b.usedAt), named };
}

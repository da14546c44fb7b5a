/**
 * The state folder belongs to the node alone. Promises: before anything is read from it, group and others can neither
 * look into it nor put anything there; a folder that may be somebody else's is never changed. Refuses to know its files.
 */
import { chmod, readdir, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { asMirrorError, MirrorError } from '../errors.ts';
import type { Config } from './config.ts';
import type { Log } from './log.ts';

/** Permission bits of group and others. */
const NOT_OWNER = 0o077;
const OWNER_ONLY = 0o700;
/** What a node that ran has in its folder. */
const RAN_BEFORE = 'start.json';

/** Takes group's and others' rights to the state folder away, and says so. @throws SECRET_EXPOSED where it may not */
export async function ownFolder(
  { stateDir, tokenFile, mirror }: Pick<Config, 'stateDir' | 'tokenFile' | 'mirror'>,
  log: Pick<Log, 'warn'>,
): Promise<void> {
  const mode = await modeOf(stateDir);
  if (mode === undefined || (mode & NOT_OWNER) === 0) return;
  const said = `others may use ${stateDir} (mode ${mode.toString(8)})`;
  const put = [tokenFile, mirror.clientTokenFile ?? '']
    .filter(path => dirname(path) === stateDir)
    .map(path => basename(path));
  try {
    const names = await readdir(stateDir);
    // A setting that is wrong by a word, /var for /var/pinnace, must not shut the machine's own folders.
    if (!names.includes(RAN_BEFORE) && names.some(name => !put.includes(name)))
      throw new MirrorError(
        'SECRET_EXPOSED',
        `${said}, and it holds other things than a node's: chmod 700 it, or name another`,
      );
    await chmod(stateDir, OWNER_ONLY);
  } catch (error) {
    throw asMirrorError(error, 'SECRET_EXPOSED', `${said}: make it the node's own, mode 700`);
  }
  log.warn({ stateDir }, `${said}: it is now the owner's alone`);
}

/** Permission bits; undefined where it is not there, or no folder: who opens it says so. */
async function modeOf(folder: string): Promise<number | undefined> {
  const facts = await stat(folder).catch(() => undefined);
  return facts?.isDirectory() ? facts.mode & 0o7777 : undefined;
}

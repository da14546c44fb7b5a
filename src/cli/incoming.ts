/**
 * What an operator drops on a running node: rosters and renewed credentials, as files in `incoming/` of the state folder.
 * Each is judged by the issuer's key alone, recorded, and spreads to all nodes from here.
 */
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { asMirrorError, MirrorError } from '../errors.ts';
import type { Ground } from './ground.ts';

const POLL_MS = 1_000;
/** Files taken in one look. */
const FILES_MAX = 100;
const FILE_MAX_BYTES = 512 << 10;

/** Looks into the folder until the daemon's life ends. */
export async function watchIncoming(ground: Ground): Promise<void> {
  const folder = join(ground.config.stateDir, 'incoming');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  while (!ground.life.aborted) {
    const names = (await readdir(folder)).filter(name => name.endsWith('.jwt')).slice(0, FILES_MAX);
    for (const name of names) await take(ground, join(folder, name));
    await ground.world.sleep(POLL_MS, ground.life);
  }
}

async function take({ members, audit, log }: Ground, file: string): Promise<void> {
  try {
    const jwt = (await readFile(file, 'utf8')).trim();
    if (jwt.length > FILE_MAX_BYTES) throw new MirrorError('ROSTER_INVALID', `${file} is too large`);
    const isRoster = kindOf(jwt) === 'roster';
    const news = await (isRoster ? members.offerRoster(jwt) : members.offerCredential(jwt));
    log.info({ file }, news ? `${file}: taken, and spreading` : `${file}: known already`);
    await rm(file);
  } catch (error) {
    const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', file);
    log.warn({ file, code }, `${message}; renamed to ${file}.refused`);
    // Where it cannot be recorded, it is looked at again.
    const recorded = audit.record({ event: 'roster.refused', source: file, code });
    await recorded.then(
      () => rename(file, `${file}.refused`),
      () => undefined,
    );
  }
}

/** What a file claims to be; the issuer's signature decides afterwards. */
function kindOf(jwt: string): 'roster' | 'credential' {
  const [head = ''] = jwt.split('.');
  return Buffer.from(head, 'base64url').toString().includes('roster') ? 'roster' : 'credential';
}

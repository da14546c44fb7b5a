/**
 * What an operator drops on a running node: rosters and renewed credentials, as files in `incoming/` of the state folder.
 * Each is judged by the issuer's key alone, recorded, and spreads to all nodes from here. Promises: a file is taken whole,
 * and whatever happens to the folder or the disk, the next file is looked at: a revocation must not be missed.
 */
import { join } from 'node:path';
import { asMirrorError, MirrorError } from '../errors.ts';
import { closeAfter, type Disk, readWhole } from '../store/disk.ts';
import type { Ground } from './ground.ts';

const POLL_MS = 1_000;
/** Files taken in one look. */
const FILES_MAX = 100;
const FILE_MAX_BYTES = 512 << 10;

type IncomingRooms = Pick<Ground, 'members' | 'audit' | 'log' | 'world' | 'life'> & {
  readonly config: Pick<Ground['config'], 'stateDir'>;
  readonly edges: Pick<Ground['edges'], 'disk'>;
};

/** Looks into the folder until the daemon's life ends. Never rejects. */
export async function watchIncoming(rooms: IncomingRooms): Promise<void> {
  const { config, world, life, log } = rooms;
  const folder = join(config.stateDir, 'incoming');
  let seen: ReadonlyMap<string, string> = new Map();
  let told = '';
  while (!life.aborted) {
    try {
      seen = await look(rooms, folder, seen);
      told = '';
    } catch (error) {
      const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', `looking into ${folder}`);
      // The same trouble is told once, however often it is looked at.
      if (message !== told) log.warn({ file: folder, code }, `${message}; trying again`);
      told = message;
    }
    await world.sleep(POLL_MS, life);
  }
}

/** Takes the files that look as they did the last time, when `seen` was; others are still being written. */
async function look(
  rooms: IncomingRooms,
  folder: string,
  seen: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<string, string>> {
  const { disk } = rooms.edges;
  await disk.mkdir(folder);
  const now = new Map<string, string>();
  for (const name of (await disk.list(folder)).filter(one => one.endsWith('.jwt')).slice(0, FILES_MAX)) {
    const facts = await disk.facts(join(folder, name));
    if (!facts) continue;
    now.set(name, facts.stamp);
    if (seen.get(name) === facts.stamp) await take(rooms, join(folder, name));
  }
  return now;
}

async function take({ members, audit, log, edges }: IncomingRooms, file: string): Promise<void> {
  const { disk } = edges;
  try {
    const jwt = await read(disk, file);
    const isRoster = kindOf(jwt) === 'roster';
    const news = await (isRoster ? members.offerRoster(jwt) : members.offerCredential(jwt));
    log.info({ file }, news ? `${file}: taken, and spreading` : `${file}: known already`);
    await disk.remove(file);
  } catch (error) {
    const refused = asMirrorError(error, 'FILE_UNREADABLE', file);
    // This node's own trouble says nothing about the file: it is looked at again.
    if (refused.kind === 'unavailable') throw refused;
    const { code, message } = refused;
    await audit.record({ event: 'roster.refused', source: file, code });
    log.warn({ file, code }, `${message}; renamed to ${file}.refused`);
    await disk.rename(file, `${file}.refused`);
  }
}

async function read(disk: Disk, path: string): Promise<string> {
  const file = await disk.openRead(path);
  if (!file) throw new MirrorError('FILE_UNREADABLE', `${path} is gone`);
  return closeAfter(file, async () => {
    const { size } = await file.facts();
    if (size > FILE_MAX_BYTES) throw new MirrorError('ROSTER_INVALID', `${path} is too large`);
    return Buffer.from(await readWhole(file, path, FILE_MAX_BYTES))
      .toString()
      .trim();
  });
}

/** What a file claims to be; the issuer's signature decides afterwards. */
function kindOf(jwt: string): 'roster' | 'credential' {
  const [head = ''] = jwt.split('.');
  return Buffer.from(head, 'base64url').toString().includes('roster') ? 'roster' : 'credential';
}

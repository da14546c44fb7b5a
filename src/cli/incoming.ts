/**
 * What an operator drops on a running node, as files in `incoming/` of the state folder: rosters and renewed credentials,
 * one document a line, and policy bundles. Each is judged by the issuer's key, a bundle by the keys that the roster names,
 * recorded, and spreads to all nodes from here. Promises: a file is taken whole, a roster together with the credentials
 * beside it and before any bundle; and whatever happens to the folder or the disk, the next file is looked at: a revocation
 * must not be missed. Spec: identity/IDENTITY.md; policy/POLICY.md, "Bundles".
 */
import { join } from 'node:path';
import { asMirrorError, MirrorError } from '../errors.ts';
import { MEMBERS_MAX } from '../identity/known.ts';
import { closeAfter, type Disk, readWhole } from '../store/disk.ts';
import type { Ground } from './ground.ts';

const POLL_MS = 1_000;
/** Files taken in one look. */
const FILES_MAX = 100;
/** The largest file, in bytes. */
export const INCOMING_MAX_BYTES = 8 << 20;
/** Documents in one file: a roster, and a credential for each member that may be known. */
export const DOCUMENTS_MAX = 1 + MEMBERS_MAX;

const DOCUMENTS = '.jwt';
const BUNDLE = '.policy.json';

type IncomingRooms = Pick<Ground, 'members' | 'audit' | 'log' | 'world' | 'life'> & {
  readonly policy: Pick<Ground['policy'], 'take'>;
  readonly config: Pick<Ground['config'], 'stateDir'>;
  readonly edges: Pick<Ground['edges'], 'disk'>;
};

/** Looks into the folder until the daemon's life ends. Never rejects. */
export async function watchIncoming(rooms: IncomingRooms): Promise<void> {
  const { config, world, life, log } = rooms;
  const folder = join(config.stateDir, 'incoming');
  let seen: ReadonlyMap<string, string> = new Map();
  let told: ReadonlySet<string> = new Set();
  while (!life.aborted) {
    const said = new Set<string>();
    // The same trouble is told once, however often it is looked at.
    const tell = (fields: object, text: string): void => {
      if (!told.has(text)) log.warn(fields, text);
      said.add(text);
    };
    const failed = (file: string, error: unknown): void => {
      const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', `looking into ${file}`);
      tell({ file, code }, `${message}; trying again`);
    };
    const stray = (file: string): void =>
      tell({ file }, `${file} is left alone: name rosters and credentials *${DOCUMENTS}, policies *${BUNDLE}`);
    try {
      seen = await look(rooms, folder, seen, { failed, stray });
    } catch (error) {
      failed(folder, error);
    }
    told = said;
    await world.sleep(POLL_MS, life);
  }
}

/**
 * Takes the files that look as they did the last time, when `seen` was; others are still being written. One that cannot be
 * taken is told to `failed` and holds no other back; one whose name says nothing is told to `stray`.
 */
async function look(
  rooms: IncomingRooms,
  folder: string,
  seen: ReadonlyMap<string, string>,
  hear: { readonly failed: (file: string, error: unknown) => void; readonly stray: (file: string) => void },
): Promise<ReadonlyMap<string, string>> {
  const { disk } = rooms.edges;
  await disk.mkdir(folder);
  const now = new Map<string, string>();
  const names = await disk.list(folder);
  // A roster first: it may name the keys that signed a bundle beside it.
  const [documents, bundles] = [DOCUMENTS, BUNDLE].map(end => names.filter(one => one.endsWith(end)));
  const strays = names.filter(one => !/^\.|\.(?:jwt|policy\.json|refused)$/.test(one));
  for (const name of [...documents!, ...bundles!, ...strays].slice(0, FILES_MAX)) {
    const file = join(folder, name);
    const facts = await disk.facts(file);
    if (!facts) continue;
    now.set(name, facts.stamp);
    if (seen.get(name) !== facts.stamp) continue;
    if (strays.includes(name)) {
      hear.stray(file);
      continue;
    }
    const work = name.endsWith(BUNDLE) ? takeBundle : take;
    await work(rooms, file).catch((error: unknown) => hear.failed(file, error));
  }
  return now;
}

async function take(rooms: IncomingRooms, file: string): Promise<void> {
  const { log, edges } = rooms;
  const { news, refused } = await takeAll(rooms, file, await documentsIn(rooms, file));
  if (refused === 0) {
    log.info({ file }, news ? `${file}: taken, and spreading` : `${file}: known already`);
    return edges.disk.remove(file);
  }
  log.warn(
    { file, refused },
    `${file}: ${refused} refused${news ? ', the rest taken' : ''}; renamed to ${file}.refused`,
  );
  await edges.disk.rename(file, `${file}.refused`);
}

async function takeBundle(rooms: IncomingRooms, file: string): Promise<void> {
  const { log, edges, policy, audit } = rooms;
  try {
    const bytes = await read(edges.disk, file);
    if (!bytes) throw tooLarge(file);
    const news = await policy.take(bytes, file);
    log.info({ file }, news ? `${file}: in force, and spreading` : `${file}: known already`);
  } catch (error) {
    const { code, kind, message } = asMirrorError(error, 'FILE_UNREADABLE', file);
    if (kind === 'unavailable') throw error;
    await audit.record({ event: 'policy.refused', file, code });
    log.warn({ file, code }, `${message}; renamed to ${file}.refused`);
    return edges.disk.rename(file, `${file}.refused`);
  }
  return edges.disk.remove(file);
}

const tooLarge = (file: string): MirrorError =>
  new MirrorError('LIMIT_EXCEEDED', `${file} is too large, or has too many documents`);

/** The documents of a file; none, and a record, where it is larger than any. */
async function documentsIn(rooms: IncomingRooms, file: string): Promise<readonly string[]> {
  const bytes = await read(rooms.edges.disk, file);
  const lines = bytes ? Buffer.from(bytes).toString().trim().split('\n') : [];
  if (lines.length > 0 && lines.length <= DOCUMENTS_MAX) return lines.map(line => line.trim());
  await refuse(rooms, file, tooLarge(file));
  return [];
}

/** The bytes of a file; undefined where it is larger than any. */
async function read(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  const file = await disk.openRead(path);
  if (!file) throw new MirrorError('FILE_UNREADABLE', `${path} went away`);
  return closeAfter(file, async () => {
    if ((await file.facts()).size > INCOMING_MAX_BYTES) return undefined;
    return readWhole(file, path, INCOMING_MAX_BYTES);
  });
}

/** Rosters first, with all credentials of the file; then each credential by itself, so that each has its answer. */
async function takeAll(
  rooms: IncomingRooms,
  file: string,
  documents: readonly string[],
): Promise<{ readonly news: boolean; readonly refused: number }> {
  const { members } = rooms;
  const credentials = documents.filter(jwt => kindOf(jwt) === 'credential');
  let news = false;
  let refused = documents.length ? 0 : 1;
  const offer = async (work: () => Promise<boolean>): Promise<void> => {
    try {
      if (await work()) news = true;
    } catch (error) {
      const reason = asMirrorError(error, 'FILE_UNREADABLE', file);
      // This node's own trouble says nothing about the file: it is looked at again.
      if (reason.kind === 'unavailable') throw reason;
      await refuse(rooms, file, reason);
      refused += 1;
    }
  };
  for (const jwt of documents) if (kindOf(jwt) === 'roster') await offer(() => members.offerRoster(jwt, credentials));
  for (const jwt of credentials) await offer(() => members.offerCredential(jwt));
  return { news, refused };
}

async function refuse({ audit, log }: IncomingRooms, file: string, { code, message }: MirrorError): Promise<void> {
  await audit.record({ event: 'roster.refused', source: file, code });
  log.warn({ file, code }, message);
}

/** What a document claims to be; the issuer's signature decides afterwards. */
function kindOf(jwt: string): 'roster' | 'credential' {
  const [head = ''] = jwt.split('.');
  return Buffer.from(head, 'base64url').toString().includes('"pinnace-roster+jwt"') ? 'roster' : 'credential';
}

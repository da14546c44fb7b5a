/** `pinnace roster sign`: the next roster, for another 90 days; `pinnace roster adopt`: a newer one that a node has. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MirrorError } from '../errors.ts';
import type { Roster } from '../identity/roster.ts';
import { noPositionals } from './cluster.ts';
import { ClusterFolder, FILES } from './cluster-folder.ts';
import type { Command, Io } from './command.ts';
import { PASSPHRASE_OPTIONS, PASSPHRASE_USAGE, passphraseFor } from './passphrase.ts';

export const ROSTER_OPTIONS = { dir: { type: 'string' }, ...PASSPHRASE_OPTIONS } as const;
export const ROSTER_USAGE = `  --dir DIR            the folder of pinnace cluster init (default .)
${PASSPHRASE_USAGE}`;

type Values = Readonly<Record<string, unknown>>;

/** The folder that the options name. @throws FILE_UNREADABLE, STATE_INVALID, STATE_NEWER */
export const folderOf = ({ dir }: Values): Promise<ClusterFolder> =>
  ClusterFolder.open(typeof dir === 'string' ? dir : '.');

/** What a roster is, for --json. */
export const rosterJson = ({ dir }: ClusterFolder, { seq, expiresAt, revoked }: Roster): object => ({
  file: join(dir, FILES.roster),
  seq,
  expiresAt,
  revoked: [...revoked.keys()],
});

/** Tells a person how a roster reaches the nodes. */
export function tellRoster({ dir }: ClusterFolder, { seq, expiresAt }: Roster, io: Io): void {
  const file = join(dir, FILES.roster);
  io.out(`${file}: roster ${seq}, until ${new Date(expiresAt).toISOString()}\n`);
  tellIncoming(io);
}

/** Tells a person where a file for the nodes goes. */
export const tellIncoming = (io: Io): void =>
  io.out('copy it into the folder incoming/ of the stateDir of any one running node; it spreads from there\n');

export const rosterSign: Command = {
  name: 'roster sign',
  summary: 'renew the roster for another 90 days',
  usage: `pinnace roster sign [--dir DIR] [--passphrase-file F] [--json]\n${ROSTER_USAGE}\n`,
  options: ROSTER_OPTIONS,
  async run({ values, positionals }, io) {
    noPositionals(positionals, 'roster sign');
    const folder = await folderOf(values);
    const issuer = await folder.issuer(passphraseFor(values, io));
    const roster = await folder.nextRoster(issuer, io.world.now());
    if (io.json) return io.out(`${JSON.stringify({ roster: rosterJson(folder, roster) })}\n`);
    tellRoster(folder, roster, io);
  },
};

/** The text of a roster's file. @throws FILE_UNREADABLE */
export async function readRosterFile(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    throw new MirrorError('FILE_UNREADABLE', `cannot read ${file}: ${(error as Error).message}`, { cause: error });
  }
}

export const rosterAdopt: Command = {
  name: 'roster adopt',
  summary: 'take the newest roster of the nodes into the folder, as after a restore',
  usage: `pinnace roster adopt FILE [--dir DIR] [--json]
  FILE                 roster.jwt of the stateDir of any node
  --dir DIR            the folder of pinnace cluster init (default .)
`,
  options: { dir: { type: 'string' } },
  async run({ values, positionals }, io) {
    const [file, ...more] = positionals;
    if (!file || more.length) throw new MirrorError('USAGE', 'pinnace roster adopt takes one file');
    const folder = await folderOf(values);
    const roster = await folder.adopt(await readRosterFile(file));
    if (io.json) return io.out(`${JSON.stringify({ roster: rosterJson(folder, roster) })}\n`);
    io.out(`${join(folder.dir, FILES.roster)}: roster ${roster.seq}; what is signed next is above it\n`);
  },
};

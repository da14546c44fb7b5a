/**
 * `pinnace roster sign`: the next roster, for another 90 days, which may say whose policies count; `pinnace roster adopt`: a
 * newer one that a node has.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MirrorError } from '../errors.ts';
import type { Roster } from '../identity/roster.ts';
import { keyIdOf } from '../trust/policy-bundle.ts';
import { noPositionals } from './cluster.ts';
import { ClusterFolder, FILES } from './cluster-folder.ts';
import type { Command, Io } from './command.ts';
import { PASSPHRASE_OPTIONS, PASSPHRASE_USAGE, passphraseFor } from './passphrase.ts';
import { DEMAND_OPTIONS, DEMAND_USAGE, demandChange, demandJson } from './policy-keys.ts';

export const ROSTER_OPTIONS = { dir: { type: 'string' }, ...PASSPHRASE_OPTIONS } as const;
export const ROSTER_USAGE = `  --dir DIR            the folder of pinnace cluster init (default .)
${PASSPHRASE_USAGE}`;

type Values = Readonly<Record<string, unknown>>;

/** The folder that the options name. @throws FILE_UNREADABLE, STATE_INVALID, STATE_NEWER */
export const folderOf = ({ dir }: Values): Promise<ClusterFolder> =>
  ClusterFolder.open(typeof dir === 'string' ? dir : '.');

/** What a roster is, for --json. */
export const rosterJson = ({ dir }: ClusterFolder, { seq, expiresAt, revoked, policy }: Roster): object => ({
  file: join(dir, FILES.roster),
  seq,
  expiresAt,
  revoked: [...revoked.keys()],
  ...demandJson(policy, keyIdOf),
});

/** Tells a person how a roster reaches the nodes. */
export function tellRoster({ dir }: ClusterFolder, { seq, expiresAt, policy }: Roster, io: Io): void {
  const file = join(dir, FILES.roster);
  io.out(`${file}: roster ${seq}, until ${new Date(expiresAt).toISOString()}\n`);
  if (policy) {
    const unsigned = policy.requireSigned ? 'unsigned ones do not count' : 'unsigned ones count where there is none';
    io.out(
      `policies: signed by ${policy.threshold} of these keys, from serial ${policy.lowestSerial} on; ${unsigned}\n`,
    );
    for (const key of policy.keys) io.out(`  ${keyIdOf(key)}\n`);
  }
  tellIncoming(io);
}

/** Tells a person where a file for the nodes goes. */
export const tellIncoming = (io: Io): void =>
  io.out('copy it into the folder incoming/ of the stateDir of any one running node; it spreads from there\n');

export const rosterSign: Command = {
  name: 'roster sign',
  summary: 'renew the roster for another 90 days, and say whose policies count',
  usage: `pinnace roster sign [--policy-key FILE… --policy-threshold N] [--require-signed-policy]
                    [--lowest-policy-serial N] [--dir DIR] [--passphrase-file F] [--json]
${DEMAND_USAGE}
${ROSTER_USAGE}
`,
  options: { ...ROSTER_OPTIONS, ...DEMAND_OPTIONS },
  async run({ values, positionals }, io) {
    noPositionals(positionals, 'roster sign');
    const folder = await folderOf(values);
    const policy = await demandChange(values);
    // What it comes to is looked at before a passphrase is asked for.
    policy?.((await folder.roster()).policy);
    const issuer = await folder.issuer(passphraseFor(values, io));
    const roster = await folder.nextRoster(issuer, io.world.now(), policy ? { policy } : {});
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

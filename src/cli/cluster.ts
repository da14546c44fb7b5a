/** `pinnace cluster init`: makes a cluster, in a folder that stays with the operator. */
import { join } from 'node:path';
import { MirrorError } from '../errors.ts';
import { issuerOf, newClusterId, newKey, sealKey } from '../identity/issuer.ts';
import { rawPublicKey } from '../identity/key.ts';
import { issueRoster, readRoster } from '../identity/roster.ts';
import { realDisk } from '../store/disk.ts';
import { FILES, formatCluster, writeNew } from './cluster-folder.ts';
import type { Command } from './command.ts';
import { newPassphrase, PASSPHRASE_OPTIONS } from './passphrase.ts';

/** Refuses arguments that a command does not take. @throws USAGE */
export function noPositionals(positionals: readonly string[], name: string): void {
  if (positionals.length) throw new MirrorError('USAGE', `pinnace ${name} takes no ${JSON.stringify(positionals[0])}`);
}

export const clusterInit: Command = {
  name: 'cluster init',
  summary: 'make a cluster: its issuer’s key, a recovery key and the first roster',
  usage: `pinnace cluster init --dir DIR [--no-passphrase | --passphrase-file F] [--json]
  --dir DIR            a folder for the cluster’s files; keep it off the nodes
  --no-passphrase      leave the keys open: who can read them owns the cluster
  --passphrase-file F  a passphrase for both keys (0600); asked for on a terminal where it is left out
`,
  options: { dir: { type: 'string' }, 'no-passphrase': { type: 'boolean' }, ...PASSPHRASE_OPTIONS },
  async run({ values, positionals }, io) {
    noPositionals(positionals, 'cluster init');
    if (typeof values.dir !== 'string') throw new MirrorError('USAGE', 'pinnace cluster init needs --dir DIR');
    const { dir } = values;
    const passphrase = await newPassphrase(values, io);
    const [key, recovery] = [newKey(io.world), newKey(io.world)];
    const sealed = [sealKey(key, passphrase), sealKey(recovery, passphrase)] as const;
    const issuer = issuerOf(newClusterId(io.world), key);
    const jwt = await issueRoster(issuer, { seq: 1, issuedAt: io.world.now(), revoked: new Map() });
    await realDisk.mkdir(dir);
    const write = (name: keyof typeof FILES, text: string): Promise<void> => writeNew(join(dir, FILES[name]), text);
    await write('issuer', sealed[0]);
    await write('recovery', sealed[1]);
    await write('roster', `${jwt}\n`);
    // Last, as it is what makes the folder a cluster's.
    await write('cluster', formatCluster(issuer.cluster, rawPublicKey(recovery)));
    const { seq, expiresAt } = await readRoster(jwt, issuer.cluster);
    const { id } = issuer.cluster;
    if (io.json) return io.out(`${JSON.stringify({ cluster: id, dir, roster: { seq, expiresAt } })}\n`);
    io.out(`cluster ${id} is made in ${dir}\n`);
    io.out(`next: pinnace token create --dir ${dir} --node NAME --out FILE\n`);
    io.err(`keep ${FILES.recovery} elsewhere than ${FILES.issuer}, and both off the nodes\n`);
  },
};

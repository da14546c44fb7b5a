/**
 * `pinnace cluster backup` and `pinnace cluster restore`: the operator's folder as one file, and back. Promises: keys leave
 * the folder as they are in it, and unsealed ones only on `--no-passphrase`; nothing is restored that does not hold
 * together, nor over anything.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MirrorError } from '../errors.ts';
import { isSealed, openKey } from '../identity/issuer.ts';
import { rawPublicKey } from '../identity/key.ts';
import { readRoster, type Roster } from '../identity/roster.ts';
import { realDisk } from '../store/disk.ts';
import { openBackup, sealBackup, type Files } from './backup-file.ts';
import { noPositionals } from './cluster.ts';
import { ClusterFolder, FILES, keyFileOf, mustBeNew, parseCluster, writeNew } from './cluster-folder.ts';
import type { Command } from './command.ts';
import { newPassphrase, PASSPHRASE_OPTIONS, readPassphrase } from './passphrase.ts';
import { folderOf, readRosterFile } from './roster.ts';

/** What belongs to a backup; whatever else is in the folder is not the cluster's. */
const BELONGS = /^(?:cluster\.json|roster\.jwt|issued\.jsonl|recovery\.key|issuer(?:-[a-f0-9]{16})?\.key)$/;
const KEY = /\.key$/;

const textOf = (files: Files, name: string): string => Buffer.from(files.get(name) ?? []).toString();

async function filesIn(folder: ClusterFolder): Promise<Map<string, Uint8Array>> {
  const names = (await readdir(folder.dir)).filter(name => BELONGS.test(name)).sort();
  const files = new Map<string, Uint8Array>();
  for (const name of names) files.set(name, new Uint8Array(await readFile(join(folder.dir, name))));
  return files;
}

export const clusterBackup: Command = {
  name: 'cluster backup',
  summary: 'the operator’s folder as one sealed file',
  usage: `pinnace cluster backup --out FILE [--dir DIR] [--no-passphrase | --passphrase-file F] [--json]
  --out FILE           where the backup goes (0600)
  --dir DIR            the folder of pinnace cluster init (default .)
  --no-passphrase      do not seal it: keys are in it as they are in the folder
  --passphrase-file F  a passphrase for the backup (0600); asked for on a terminal where it is left out
`,
  options: {
    out: { type: 'string' },
    dir: { type: 'string' },
    'no-passphrase': { type: 'boolean' },
    ...PASSPHRASE_OPTIONS,
  },
  async run({ values, positionals }, io) {
    noPositionals(positionals, 'cluster backup');
    const { out } = values;
    if (typeof out !== 'string') throw new MirrorError('USAGE', 'pinnace cluster backup needs --out FILE');
    const folder = await folderOf(values);
    const { seq } = await folder.roster();
    const files = await filesIn(folder);
    await mustBeNew(out);
    const passphrase = await newPassphrase(values, io, 'the backup');
    await writeNew(out, await sealBackup(folder.cluster.id, files, passphrase, io.world));
    const held = [...files.keys()];
    if (io.json)
      return io.out(`${JSON.stringify({ file: out, sealed: passphrase !== undefined, roster: seq, files: held })}\n`);
    io.out(`${out}: ${held.join(', ')}; the newest roster is ${seq}\n`);
    if (!files.has(FILES.recovery)) io.err(`${FILES.recovery} is not in the folder, so it is not in the backup\n`);
  },
};

/** The newest roster in a backup or in `newer`, once everything was found to belong together. @throws STATE_INVALID, ROSTER_INVALID */
async function judge(files: Files, clusterId: string, newer: string | undefined): Promise<Roster> {
  for (const name of files.keys())
    if (!BELONGS.test(name)) throw new MirrorError('STATE_INVALID', `the backup holds ${JSON.stringify(name)}`);
  const cluster = parseCluster(textOf(files, FILES.cluster), FILES.cluster);
  if (cluster.id !== clusterId) throw new MirrorError('STATE_INVALID', 'the backup is of two clusters');
  const kept = await readRoster(textOf(files, FILES.roster).trim(), cluster);
  const named = new Map(
    [FILES.recovery, keyFileOf(cluster, kept.signer)].map((name, at) => [name, at ? kept.signer : cluster.recovery!]),
  );
  for (const [name, bytes] of files) {
    const pem = Buffer.from(bytes).toString();
    if (!KEY.test(name) || isSealed(pem)) continue;
    const key = Buffer.from(rawPublicKey(openKey(pem, undefined, name)));
    const expected = named.get(name);
    if (expected && !key.equals(expected))
      throw new MirrorError('STATE_INVALID', `${name} is not the key of this cluster`);
  }
  if (newer === undefined) return kept;
  const roster = await readRoster(newer, cluster);
  return roster.seq > kept.seq ? roster : kept;
}

export const clusterRestore: Command = {
  name: 'cluster restore',
  summary: 'the operator’s folder out of a backup',
  usage: `pinnace cluster restore FILE --dir DIR [--roster FILE] [--passphrase-file F] [--json]
  --dir DIR            where the folder goes; nothing in it is overwritten
  --roster FILE        roster.jwt of the stateDir of any node: what is signed next must be above it
  --passphrase-file F  the passphrase of the backup (0600); asked for on a terminal where it is left out
`,
  options: { dir: { type: 'string' }, roster: { type: 'string' }, ...PASSPHRASE_OPTIONS },
  async run({ values, positionals }, io) {
    const [file, ...more] = positionals;
    const { dir, roster: newer } = values;
    if (!file || more.length || typeof dir !== 'string')
      throw new MirrorError('USAGE', 'pinnace cluster restore takes one file, and --dir DIR');
    const { cluster, files, sealed } = await openBackup(await readRosterFile(file), () =>
      readPassphrase(values, io, 'the backup'),
    );
    // Who has no passphrase could put one of his own keys in its place.
    if (!sealed && values['passphrase-file'] !== undefined)
      throw new MirrorError(
        'PASSPHRASE_WRONG',
        `${file} is under no passphrase: if it was made so, leave --passphrase-file out; else it was exchanged`,
      );
    const roster = await judge(files, cluster, typeof newer === 'string' ? await readRosterFile(newer) : undefined);
    for (const name of files.keys()) await mustBeNew(join(dir, name));
    await realDisk.mkdir(dir);
    const late = FILES.cluster;
    // Last, as it is what makes the folder a cluster's.
    for (const name of [...[...files.keys()].filter(one => one !== late), late])
      await writeNew(join(dir, name), name === FILES.roster ? `${roster.jwt}\n` : textOf(files, name));
    await ClusterFolder.open(dir);
    if (io.json) return io.out(`${JSON.stringify({ dir, cluster, roster: roster.seq, files: [...files.keys()] })}\n`);
    io.out(`${dir}: cluster ${cluster}, roster ${roster.seq}\n`);
    if (newer === undefined)
      io.err(
        `if the nodes have a newer roster than ${roster.seq}, they refuse what is signed here: pinnace roster adopt it first\n`,
      );
    if (!files.has(keyFileOf(parseCluster(textOf(files, late), late), roster.signer)))
      io.err('the issuer that counts is not in this backup: use a newer one, or pinnace cluster recover\n');
  },
};

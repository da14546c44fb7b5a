/** `pinnace revoke`: takes back what was issued to a node, up to now; a token made later counts. */
import { MirrorError } from '../errors.ts';
import { parsePeerId } from '../oci/oci.ts';
import type { ClusterFolder } from './cluster-folder.ts';
import type { Command } from './command.ts';
import { passphraseFor } from './passphrase.ts';
import { folderOf, ROSTER_OPTIONS, ROSTER_USAGE, rosterJson, tellRoster } from './roster.ts';

/** Which name or key, and up to when; a token may be dated a moment ahead of the clock. */
async function target(folder: ClusterFolder, of: string, now: number): Promise<ReadonlyMap<string, number>> {
  const issued = (await folder.book()).issued.filter(one => one.node === of || one.peer === of);
  const isPeer = of.startsWith('12D3KooW');
  if (isPeer) parsePeerId(of);
  if (!isPeer && !issued.length)
    throw new MirrorError(
      'CONTENT_ABSENT',
      `no token for a node ${JSON.stringify(of)} is on record in ${folder.dir}: give its peer id`,
    );
  return new Map([[of, Math.max(now, ...issued.map(one => one.issuedAt))]]);
}

export const revoke: Command = {
  name: 'revoke',
  summary: 'shut a node out: all tokens made for it so far',
  usage: `pinnace revoke NODE|PEERID [--dir DIR] [--passphrase-file F] [--json]\n${ROSTER_USAGE}\n`,
  options: ROSTER_OPTIONS,
  async run({ values, positionals }, io) {
    const [of, ...more] = positionals;
    if (!of || more.length) throw new MirrorError('USAGE', 'pinnace revoke takes one node name or peer id');
    const folder = await folderOf(values);
    const revoked = await target(folder, of, io.world.now());
    const issuer = await folder.issuer(passphraseFor(values, io));
    // A roster forgets what has expired by itself; renewals must not. Who turned back at the passphrase revoked nobody.
    for (const [name, before] of revoked) await folder.record({ revoked: name, before });
    const roster = await folder.nextRoster(issuer, io.world.now(), { revoked });
    if (io.json) return io.out(`${JSON.stringify({ revoked: of, roster: rosterJson(folder, roster) })}\n`);
    io.out(`${of} is revoked as soon as the nodes have this roster:\n`);
    tellRoster(folder, roster, io);
  },
};

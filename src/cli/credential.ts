/** `pinnace credential renew`: new credentials for the nodes on record, in one file for `incoming/` of any one node. */
import { join } from 'node:path';
import { MirrorError } from '../errors.ts';
import { CREDENTIAL_LIFETIME_MS } from '../identity/credential.ts';
import type { Issuer } from '../identity/issuer.ts';
import { readCredentials } from '../identity/members-file.ts';
import type { Roster } from '../identity/roster.ts';
import { keepAt, realDisk } from '../store/disk.ts';
import { noPositionals } from './cluster.ts';
import { type ClusterFolder, FILES } from './cluster-folder.ts';
import type { Command, Io } from './command.ts';
import { DOCUMENTS_MAX, INCOMING_MAX_BYTES } from './incoming.ts';
import { passphraseFor } from './passphrase.ts';
import { type LeftOut, knownNodes, planRenewal, signRenewal } from './renewal.ts';
import { folderOf, ROSTER_OPTIONS, ROSTER_USAGE, tellIncoming } from './roster.ts';

type Values = Readonly<Record<string, unknown>>;

export const RENEW_OPTIONS = { ...ROSTER_OPTIONS, credentials: { type: 'string' } } as const;
export const RENEW_USAGE = `  --credentials FILE   credentials.json of any node: for nodes that the folder's record does not know, or not whole
${ROSTER_USAGE}`;

/** What was renewed and written. */
export interface Renewed {
  readonly file: string;
  readonly renewed: readonly string[];
  readonly leftOut: readonly LeftOut[];
  /** Renewed by a token that may not be in use yet. */
  readonly rekeyed: readonly string[];
}

/** Where a renewal goes. */
export interface Target {
  readonly file: string;
  /** All nodes unless given. */
  readonly only?: string;
  /** True where the roster alone is worth a file. */
  readonly evenOfNobody?: boolean;
}

/**
 * Renews by `issuer` and writes the file: `roster`, under which they count, and the credentials. @throws FILE_UNREADABLE,
 * STATE_INVALID, CONTENT_ABSENT where nobody is to be renewed
 */
export async function renew(
  folder: ClusterFolder,
  issuer: Issuer,
  roster: Roster,
  { file, only, evenOfNobody = false }: Target,
  values: Values,
  io: Io,
): Promise<Renewed> {
  const { credentials } = values;
  const kept = typeof credentials === 'string' ? await readCredentials(keepAt(realDisk, credentials)) : [];
  const known = await knownNodes(kept, folder.cluster.id, roster);
  const { issued, leftOut, rekeyed } = planRenewal(await folder.book(), roster, known, io.world.now(), only);
  if (!issued.length && !evenOfNobody) throw new MirrorError('CONTENT_ABSENT', nobody(folder, leftOut, only));
  const lines = [roster.jwt, ...(await signRenewal(issuer, issued))];
  const text = `${lines.join('\n')}\n`;
  if (lines.length > DOCUMENTS_MAX || text.length > INCOMING_MAX_BYTES)
    throw new MirrorError('LIMIT_EXCEEDED', `${lines.length} documents are more than a node takes: use --node NAME`);
  // A credential on record that was not written harms nobody; one that is not on record is not revoked by its name.
  await folder.record(...issued);
  await keepAt(realDisk, file).write(Buffer.from(text));
  return { file, renewed: issued.map(({ node }) => node), leftOut, rekeyed };
}

function nobody({ dir }: ClusterFolder, leftOut: readonly LeftOut[], only?: string): string {
  const [left] = leftOut;
  if (!left) return `no token${only === undefined ? '' : ` for ${only}`} is on record in ${dir}`;
  return `nobody is renewed; ${whyLeft(left)}`;
}

const whyLeft = ({ node, why }: LeftOut): string =>
  `left out: ${node} (${why}${why === 'revoked' ? '' : ': give --credentials, or make a new token'})`;

/** Tells a person what was renewed, and who was not. */
export function tellRenewed({ file, renewed, leftOut, rekeyed }: Renewed, io: Io): void {
  const until = new Date(io.world.now() + CREDENTIAL_LIFETIME_MS).toISOString();
  const names = renewed.length ? ` until ${until}: ${renewed.join(', ')}` : '';
  io.out(`${file}: credentials of ${renewed.length} nodes${names}\n`);
  for (const left of leftOut) io.out(`${whyLeft(left)}\n`);
  for (const node of rekeyed)
    io.out(`${node} is renewed by its newest token: while it runs with the one before, it is shut out by this file\n`);
}

export const credentialRenew: Command = {
  name: 'credential renew',
  summary: 'new credentials for all nodes, for another year',
  usage: `pinnace credential renew (--all | --node NAME) [--credentials FILE] [--dir DIR] [--passphrase-file F] [--json]
  --all                every node on record that is not revoked
  --node NAME          one node
${RENEW_USAGE}
`,
  options: { ...RENEW_OPTIONS, all: { type: 'boolean' }, node: { type: 'string' } },
  async run({ values, positionals }, io) {
    noPositionals(positionals, 'credential renew');
    const { all, node } = values;
    if ((all === true) === (typeof node === 'string'))
      throw new MirrorError('USAGE', 'pinnace credential renew needs either --all or --node NAME');
    const folder = await folderOf(values);
    const issuer = await folder.credentialIssuer(passphraseFor(values, io));
    const target = { file: join(folder.dir, FILES.renewed), ...(typeof node === 'string' ? { only: node } : {}) };
    const renewed = await renew(folder, issuer, await folder.roster(), target, values, io);
    if (io.json) return io.out(`${JSON.stringify(renewed)}\n`);
    tellRenewed(renewed, io);
    tellIncoming(io);
  },
};

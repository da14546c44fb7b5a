/** `pinnace token create`: a join token for one node. It is a private key: written for its owner alone, never printed. */
import { MirrorError } from '../errors.ts';
import { issueCredential, proveCredential } from '../identity/credential.ts';
import type { Issuer } from '../identity/issuer.ts';
import { deriveSeed, privateKeyOf, rawPublicKey, SECRET_BYTES } from '../identity/key.ts';
import { peerIdOf } from '../identity/peer-id.ts';
import type { Roster } from '../identity/roster.ts';
import { formatToken, TOKEN_FORMAT } from '../identity/token.ts';
import { type Node, parseNodeName, ROLES, type Role } from '../oci/oci.ts';
import { noPositionals } from './cluster.ts';
import { ClusterFolder, mustBeNew, writeNew } from './cluster-folder.ts';
import type { Command, Io } from './command.ts';
import { PASSPHRASE_OPTIONS, PASSPHRASE_USAGE, passphraseFor } from './passphrase.ts';

const ROLES_DEFAULT = 'fetch,serve,attest';
const SECOND_MS = 1000;

/** What a token is for. */
interface Draft {
  readonly name: string;
  readonly zone?: string;
  readonly roles: readonly Role[];
}

function draftOf(values: Readonly<Record<string, unknown>>): Draft & { readonly out: string } {
  const { node, out, zone, roles } = values;
  if (typeof node !== 'string' || typeof out !== 'string')
    throw new MirrorError('USAGE', 'pinnace token create needs --node NAME and --out FILE');
  const names = (typeof roles === 'string' ? roles : ROLES_DEFAULT).split(',');
  const wrong = names.find(name => !ROLES.includes(name as Role));
  if (wrong !== undefined)
    throw new MirrorError('USAGE', `no role ${JSON.stringify(wrong)}: roles are ${ROLES.join(', ')}`);
  const place = typeof zone === 'string' ? { zone: parseNodeName(zone) } : {};
  return { name: parseNodeName(node), out, ...place, roles: names as Role[] };
}

/** Later than every token of that name and than what the roster takes back, so that the new one counts. */
async function issueTime(folder: ClusterFolder, roster: Roster, name: string, now: number): Promise<number> {
  const earlier = (await folder.book()).issued.filter(one => one.node === name).map(one => one.issuedAt);
  const last = Math.max(0, roster.revoked.get(name) ?? 0, ...earlier);
  return Math.floor(Math.max(now, last + SECOND_MS) / SECOND_MS) * SECOND_MS;
}

/** A token pins the issuer that signed its roster; its credential is by the one that will count the longest. */
async function makeToken(
  { cluster: { id, recovery } }: ClusterFolder,
  issuer: Issuer,
  roster: Roster,
  secret: Uint8Array,
  draft: Draft,
  issuedAt: number,
): Promise<{ readonly token: string; readonly node: Node }> {
  const { name } = draft;
  const peer = peerIdOf(rawPublicKey(privateKeyOf(deriveSeed(secret, id, name))));
  const credential = await issueCredential(issuer, { ...draft, peer, issuedAt });
  const cluster = { id, issuer: roster.signer, recovery };
  const parts = { kind: 'node', cluster, secret, name, credential, lowestSeq: roster.seq, roster: roster.jwt } as const;
  const { node } = await proveCredential(credential, id, roster, peer);
  return { token: formatToken(parts), node };
}

async function create(folder: ClusterFolder, draft: Draft & { out: string }, issuer: Issuer, io: Io): Promise<Node> {
  const roster = await folder.roster();
  const now = io.world.now();
  if (now > roster.expiresAt)
    throw new MirrorError('ROSTER_EXPIRED', `roster ${roster.seq} has expired: run \`pinnace roster sign\` first`);
  const issuedAt = await issueTime(folder, roster, draft.name, now);
  const { token, node } = await makeToken(folder, issuer, roster, io.world.random(SECRET_BYTES), draft, issuedAt);
  await mustBeNew(draft.out);
  // A token that is on record and was not written harms nobody; one that is not on record cannot be revoked by its name.
  const { roles, zone } = draft;
  const place = zone === undefined ? {} : { zone };
  await folder.record({ node: node.name, peer: node.peer, issuedAt, roles, ...place, token: TOKEN_FORMAT });
  await writeNew(draft.out, `${token}\n`);
  return node;
}

export const tokenCreate: Command = {
  name: 'token create',
  summary: 'make the join token of one node',
  usage: `pinnace token create --node NAME --out FILE [--dir DIR] [--zone Z] [--roles A,B] [--passphrase-file F] [--json]
  --node NAME          the node’s name, a DNS label
  --out FILE           where the token goes (0600); it is a private key, move it to the node and leave no copy
  --dir DIR            the folder of pinnace cluster init (default .)
  --zone Z             where the node stands; nodes of one zone ask one another first
  --roles A,B          some of ${ROLES.join(', ')} (default ${ROLES_DEFAULT})
${PASSPHRASE_USAGE}
`,
  options: {
    node: { type: 'string' },
    out: { type: 'string' },
    dir: { type: 'string' },
    zone: { type: 'string' },
    roles: { type: 'string' },
    ...PASSPHRASE_OPTIONS,
  },
  async run({ values, positionals }, io) {
    noPositionals(positionals, 'token create');
    const draft = draftOf(values);
    const folder = await ClusterFolder.open(typeof values.dir === 'string' ? values.dir : '.');
    const issuer = await folder.credentialIssuer(passphraseFor(values, io));
    const { name, peer, issuedAt, expiresAt } = await create(folder, draft, issuer, io);
    if (io.json) return io.out(`${JSON.stringify({ node: name, peer, file: draft.out, issuedAt, expiresAt })}\n`);
    io.out(`${draft.out}: the join token of ${name} (${peer}), until ${new Date(expiresAt).toISOString()}\n`);
  },
};

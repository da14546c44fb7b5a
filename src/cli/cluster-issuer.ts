/**
 * `pinnace cluster rotate-issuer`: from one issuer to the next, in two rosters; `pinnace cluster recover`: to a new one by
 * the recovery key, whoever has the old. Spec: identity/IDENTITY.md, "Which issuer counts".
 */
import { join, resolve } from 'node:path';
import { MirrorError } from '../errors.ts';
import { EPOCH_SEQS, epochOf, HANDOVERS_MAX, issueHandover, recoveriesOf } from '../identity/handover.ts';
import { type Issuer, issuerOf, newKey, sealKey } from '../identity/issuer.ts';
import { rawPublicKey } from '../identity/key.ts';
import type { Roster } from '../identity/roster.ts';
import { TOKEN_FORMAT } from '../identity/token.ts';
import { noPositionals } from './cluster.ts';
import { type AskPassphrase, type ClusterFolder, FILES, openKeyFile, writeNew } from './cluster-folder.ts';
import type { Command, Io } from './command.ts';
import { RENEW_OPTIONS, RENEW_USAGE, renew, tellRenewed } from './credential.ts';
import { newestOf } from './issued.ts';
import { passphraseFor } from './passphrase.ts';
import { folderOf, ROSTER_OPTIONS, ROSTER_USAGE, rosterJson, tellIncoming, tellRoster } from './roster.ts';

const keyText = (key: Uint8Array): string => Buffer.from(key).toString('base64url');

/** Asks once, and gives the same answer for a key that is sealed after the first was opened. */
function asking(ask: AskPassphrase): { readonly ask: AskPassphrase; readonly passphrase: () => string | undefined } {
  let answer: string | undefined;
  return { ask: async pem => (answer = await ask(pem)), passphrase: () => answer };
}

/** A new issuer, its key in the folder, under the passphrase of the key that hands over. */
async function newIssuer(folder: ClusterFolder, passphrase: string | undefined, io: Io): Promise<Issuer> {
  const key = newKey(io.world);
  await writeNew(folder.keyFile(rawPublicKey(key)), sealKey(key, passphrase));
  return issuerOf(folder.cluster.id, key);
}

async function announce(folder: ClusterFolder, last: Roster, ask: AskPassphrase, io: Io): Promise<Roster> {
  if (last.next)
    throw new MirrorError('USAGE', 'the next issuer is named already: renew all credentials, then give --finish');
  if (last.handovers.length >= HANDOVERS_MAX)
    throw new MirrorError(
      'LIMIT_EXCEEDED',
      `a roster carries ${HANDOVERS_MAX} handovers, and this one does: pinnace cluster recover begins anew`,
    );
  const asked = asking(ask);
  const issuer = await folder.issuer(asked.ask);
  const next = await newIssuer(folder, asked.passphrase(), io);
  const now = io.world.now();
  const step = {
    cluster: folder.cluster.id,
    from: last.signer,
    to: next.cluster.issuer,
    epoch: epochOf(last.seq),
    issuedAt: now,
  };
  return folder.nextRoster(issuer, now, { handovers: [...last.handovers, await issueHandover(issuer.key, step)] });
}

async function finish(folder: ClusterFolder, last: Roster, ask: AskPassphrase, io: Io): Promise<Roster> {
  if (!last.next) throw new MirrorError('USAGE', 'no next issuer is named: run without --finish first');
  return folder.nextRoster(await folder.credentialIssuer(ask), io.world.now());
}

export const clusterRotateIssuer: Command = {
  name: 'cluster rotate-issuer',
  summary: 'name the next issuer; with --finish, end the old one',
  usage: `pinnace cluster rotate-issuer [--finish] [--dir DIR] [--passphrase-file F] [--json]
  --finish             the next issuer takes over: what the old one signed counts no more, so renew all credentials before
${ROSTER_USAGE}
`,
  options: { ...ROSTER_OPTIONS, finish: { type: 'boolean' } },
  async run({ values, positionals }, io) {
    noPositionals(positionals, 'cluster rotate-issuer');
    const folder = await folderOf(values);
    const last = await folder.roster();
    const work = values.finish === true ? finish : announce;
    const roster = await work(folder, last, passphraseFor(values, io), io);
    const { signer, next } = roster;
    const keys = { issuer: keyText(signer), ...(next ? { next: keyText(next) } : {}) };
    if (io.json) return io.out(`${JSON.stringify({ ...keys, roster: rosterJson(folder, roster) })}\n`);
    tellRoster(folder, roster, io);
    if (next)
      io.out('then: pinnace credential renew --all, and when all nodes have theirs, this command with --finish\n');
    else io.out(`the old issuer counts for nothing where this roster is; back the folder up\n`);
  },
};

/** Nodes whose token does not say the recovery key: they follow no recovery. */
async function unrecoverable(folder: ClusterFolder): Promise<readonly string[]> {
  const { issued } = await folder.book();
  const format = (name: string, peer: string): number =>
    Math.max(1, ...issued.filter(one => one.node === name && one.peer === peer).map(one => one.token ?? 1));
  return [...newestOf(issued).values()]
    .filter(({ node, peer }) => format(node, peer) < TOKEN_FORMAT)
    .map(({ node }) => node);
}

export const clusterRecover: Command = {
  name: 'cluster recover',
  summary: 'a new issuer by the recovery key, the old one being lost or stolen',
  usage: `pinnace cluster recover [--recovery-key FILE] [--credentials FILE] [--dir DIR] [--passphrase-file F] [--json]
  --recovery-key FILE  the recovery key (default recovery.key in the folder)
${RENEW_USAGE}
`,
  options: { ...RENEW_OPTIONS, 'recovery-key': { type: 'string' } },
  async run({ values, positionals }, io) {
    noPositionals(positionals, 'cluster recover');
    const folder = await folderOf(values);
    const { id, recovery } = folder.cluster;
    const file = values['recovery-key'];
    const asked = asking(passphraseFor(values, io));
    const key = await openKeyFile(
      typeof file === 'string' ? resolve(file) : folder.path('recovery'),
      recovery!,
      asked.ask,
    );
    const last = await folder.roster();
    const issuer = await newIssuer(folder, asked.passphrase(), io);
    const now = io.world.now();
    const epoch = epochOf(last.seq) + 1;
    const step = { cluster: id, from: last.signer, to: issuer.cluster.issuer, epoch, issuedAt: now };
    const full = last.handovers.length >= HANDOVERS_MAX;
    const before = full ? await recoveriesOf(last.handovers, folder.cluster) : last.handovers;
    const handovers = [...before, await issueHandover(key, step)];
    const roster = await folder.nextRoster(issuer, now, { handovers, seq: epoch * EPOCH_SEQS + 1 });
    // The old issuer ends, though nobody is on record: that needs the roster alone.
    const target = { file: join(folder.dir, FILES.recovered), evenOfNobody: true };
    const renewed = await renew(folder, issuer, roster, target, values, io);
    const needTokens = await unrecoverable(folder);
    if (io.json)
      return io.out(
        `${JSON.stringify({ issuer: keyText(roster.signer), ...renewed, needTokens, roster: rosterJson(folder, roster) })}\n`,
      );
    tellRenewed(renewed, io);
    io.out(
      `roster ${roster.seq} and these credentials are in ${renewed.file}: nothing of an earlier issuer counts after it\n`,
    );
    tellIncoming(io);
    if (needTokens.length)
      io.out(`these nodes do not know the recovery key and need new tokens: ${needTokens.join(', ')}\n`);
  },
};

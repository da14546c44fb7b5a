/** `pinnace status`: who this node is, whom it knows, what it holds, and where the last pulls came from. */
import type { Command } from './command.ts';
import { ask, NODE_OPTIONS, NODE_USAGE, socketOf } from './control-client.ts';
import type { Status } from './node-status.ts';
import { bytesText, shortDigest, table } from './table.ts';

export const status: Command = {
  name: 'status',
  summary: 'show a running node: peers, holdings, lanes, last pulls and where each came from',
  usage: `pinnace status [--config FILE] [--json]\n${NODE_USAGE}`,
  options: NODE_OPTIONS,
  async run({ values }, io) {
    const now = await ask<Status>({ socket: await socketOf(values), path: '/status' });
    io.out(io.json ? `${JSON.stringify(now)}\n` : text(now));
  },
};

function policyText(policy: Status['policy']): string {
  if (!policy) return 'none in force';
  const { name, serial, file, hash, signers } = policy;
  const signed = signers.length ? `, signed by ${signers.map(shown).join(' and ')}` : '';
  return `${name} ${serial} of ${file} (${shown(hash)})${signed}`;
}

/** The beginning of a hash or of a key's id. */
const shown = (hex: string): string => hex.slice(0, 12);

function text(now: Status): string {
  const head = [
    `node      ${now.node} (${now.peer})${now.ready ? '' : `, NOT READY: ${now.reason}`}`,
    `cluster   ${now.cluster}, roster ${now.roster.seq} until ${now.roster.expiresAt}${now.roster.frozen ? ' (FROZEN)' : ''}, credential until ${now.credentialExpiresAt}`,
    ...(now.roster.next
      ? [`issuer    is being replaced: ${now.roster.next.nodes} nodes hold a credential by the next one`]
      : []),
    `mirror    ${now.mirror}`,
    `policy    ${policyText(now.policy)}`,
    `holdings  ${now.holdings.contents} contents, ${bytesText(now.holdings.bytes)}; spool ${bytesText(now.spool.usedBytes)} of ${bytesText(now.spool.maxBytes)}`,
    ...now.warnings.map(warning => `WARNING   ${warning}`),
  ];
  const peers = now.peers.map(peer => [
    peer.name,
    peer.connected ? 'connected' : 'away',
    peer.address ?? '',
    String(peer.holdings),
    String(peer.lanes),
    peer.shunnedUntil ? `asked last until ${peer.shunnedUntil}` : '',
  ]);
  const fetches = now.fetches.map(fetch => [
    shortDigest(fetch.digest),
    `${bytesText(fetch.checked)} of ${bytesText(fetch.size)}`,
    `handed on up to ${bytesText(fetch.watermark)}`,
    fetch.from,
  ]);
  const pulls = now.pulls.map(pull => [
    pull.startedAt,
    pull.reference,
    bytesText(pull.bytes),
    pull.from,
    pull.outcome ?? 'running',
  ]);
  return [
    `${head.join('\n')}\n`,
    table(['PEER', 'STATE', 'ADDRESS', 'HOLDINGS', 'LANES', ''], peers, 'no other node is known'),
    ...(fetches.length ? [table(['FETCHING', 'CHECKED', '', 'FROM'], fetches, '')] : []),
    table(['PULL', 'REFERENCE', 'SENT', 'FROM', 'OUTCOME'], pulls, 'nothing was pulled yet'),
  ].join('\n');
}

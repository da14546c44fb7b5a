/** `pinnace evidence list | show | clear`: signed roots that this node found false, and whose they were. */
import { MirrorError } from '../errors.ts';
import type { Command } from './command.ts';
import { ask, NODE_OPTIONS, NODE_USAGE, socketOf } from './control-client.ts';
import { shortDigest, table } from './table.ts';

interface EvidenceRow {
  readonly id: string;
  readonly peer: string;
  readonly node?: string;
  readonly digest: string;
  readonly claimed: string;
  readonly own?: string;
  readonly foundAt: number;
}

const list = async (values: Readonly<Record<string, unknown>>): Promise<readonly EvidenceRow[]> =>
  ask<EvidenceRow[]>({ socket: await socketOf(values), path: '/evidence' });

function one(positionals: readonly string[], name: string): string {
  const [id, ...more] = positionals;
  if (!id || more.length)
    throw new MirrorError('USAGE', `pinnace evidence ${name} takes one id; see pinnace evidence list`);
  return id;
}

export const evidenceList: Command = {
  name: 'evidence list',
  summary: 'list signed proofs that this node found false',
  usage: `pinnace evidence list [--config FILE] [--json]\n${NODE_USAGE}`,
  options: NODE_OPTIONS,
  async run({ values }, io) {
    const evidence = await list(values);
    if (io.json) return io.out(`${JSON.stringify({ evidence })}\n`);
    const rows = evidence.map(row => [
      row.id,
      row.node ?? row.peer,
      shortDigest(row.digest),
      row.own ? 'another root than this node’s own hash gives' : 'a proof that contradicts itself',
      new Date(row.foundAt).toISOString(),
    ]);
    io.out(table(['ID', 'SIGNER', 'CONTENT', 'WHAT', 'FOUND'], rows, 'no evidence against anybody'));
  },
};

export const evidenceShow: Command = {
  name: 'evidence show',
  summary: 'show one piece of evidence whole, with the signed statement',
  usage: `pinnace evidence show ID [--config FILE] [--json]\n${NODE_USAGE}`,
  options: NODE_OPTIONS,
  async run({ values, positionals }, io) {
    const id = one(positionals, 'show');
    const found = (await list(values)).find(row => row.id === id);
    if (!found) throw new MirrorError('CONTENT_ABSENT', `there is no evidence ${id}; see pinnace evidence list`);
    io.out(`${JSON.stringify(found, undefined, io.json ? undefined : 2)}\n`);
  },
};

export const evidenceClear: Command = {
  name: 'evidence clear',
  summary: 'forget evidence, so that the signer’s proofs count again',
  usage: `pinnace evidence clear ID|PEERID [--config FILE] [--json]\n${NODE_USAGE}`,
  options: NODE_OPTIONS,
  async run({ values, positionals }, io) {
    const id = one(positionals, 'clear');
    const { cleared } = await ask<{ cleared: boolean }>({
      socket: await socketOf(values),
      path: '/evidence/clear',
      body: { id },
    });
    if (!cleared) throw new MirrorError('CONTENT_ABSENT', `there is no evidence ${id}; see pinnace evidence list`);
    io.out(io.json ? `${JSON.stringify({ cleared })}\n` : `${id}: forgotten\n`);
  },
};

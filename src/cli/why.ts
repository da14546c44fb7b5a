/** `pinnace why REF`: what would happen to a pull of it now, step by step. */
import { MirrorError } from '../errors.ts';
import type { Step } from '../mirror/mirror.ts';
import type { Command } from './command.ts';
import { ask, NODE_OPTIONS, NODE_USAGE, socketOf } from './control-client.ts';
import { table } from './table.ts';

export const why: Command = {
  name: 'why',
  summary: 'what would happen to a pull of a reference now, step by step',
  usage: `pinnace why REFERENCE [--config FILE] [--json]\n${NODE_USAGE}`,
  options: NODE_OPTIONS,
  async run({ values, positionals }, io) {
    const [reference, ...more] = positionals;
    if (!reference || more.length) throw new MirrorError('USAGE', 'pinnace why takes one reference');
    const path = `/why?reference=${encodeURIComponent(reference)}`;
    const answer = await ask<{ reference: string; steps: Step[] }>({ socket: await socketOf(values), path });
    if (io.json) return io.out(`${JSON.stringify(answer)}\n`);
    const rows = answer.steps.map(({ step, ok, detail }) => [step, ok ? 'yes' : 'no', detail]);
    io.out(table(['STEP', '', 'WHY'], rows, 'nothing to say'));
  },
};

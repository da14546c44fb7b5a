/** `pinnace remove REF`: takes an image out of the embedded store; what no other image reaches goes with it. */
import { MirrorError } from '../errors.ts';
import type { Command } from './command.ts';
import { ask, NODE_OPTIONS, NODE_USAGE, socketOf } from './control-client.ts';

export const remove: Command = {
  name: 'remove',
  summary: 'remove an image from the embedded store',
  usage: `pinnace remove REFERENCE [--config FILE] [--json]\n${NODE_USAGE}`,
  options: NODE_OPTIONS,
  async run({ values, positionals }, io) {
    const [reference, ...more] = positionals;
    if (!reference || more.length) throw new MirrorError('USAGE', 'pinnace remove takes one reference');
    const removed = await ask<object>({ socket: await socketOf(values), path: '/remove', body: { reference } });
    io.out(io.json ? `${JSON.stringify(removed)}\n` : `${reference}: removed\n`);
  },
};

/** `pinnace pull REF`: a running node pulls an image into its embedded store, from its peers. */
import { MirrorError } from '../errors.ts';
import type { Command } from './command.ts';
import { ask, NODE_OPTIONS, NODE_USAGE, socketOf } from './control-client.ts';
import { progress, type Step } from './progress.ts';
import { bytesText } from './table.ts';

interface Pulled {
  readonly reference: string;
  readonly digest: string;
  readonly bytes: number;
}

export const pullCommand: Command = {
  name: 'pull',
  summary: 'pull an image from peers into the embedded store',
  usage: `pinnace pull REFERENCE [--all-platforms] [--config FILE] [--json]\n  --all-platforms  every platform that is to be had, not this machine's alone\n${NODE_USAGE}`,
  options: { ...NODE_OPTIONS, 'all-platforms': { type: 'boolean' } },
  async run({ values, positionals }, io) {
    const [reference, ...more] = positionals;
    if (!reference || more.length) throw new MirrorError('USAGE', 'pinnace pull takes one reference');
    const bar = progress(io.world, io.terminal && !io.json, text => io.err(text));
    const body = { reference, everything: values['all-platforms'] === true };
    const line = (step: unknown): void => bar.step(step as Step);
    const pulled = await ask<Pulled>({
      socket: await socketOf(values),
      path: '/pull',
      body,
      line,
      signal: io.signal,
    }).finally(bar.end);
    io.out(
      io.json ? `${JSON.stringify(pulled)}\n` : `${pulled.reference}  ${pulled.digest}  ${bytesText(pulled.bytes)}\n`,
    );
  },
};

/** `pinnace pull REF`: a running node pulls an image into its embedded store, from its peers. */
import { MirrorError } from '../errors.ts';
import type { Command, Io } from './command.ts';
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
  usage: `pinnace pull REFERENCE [--all-platforms] [--wait SECONDS] [--config FILE] [--json]\n  --all-platforms  every platform that is to be had, not this machine's alone\n  --wait SECONDS   try again so long while the node is not up or nobody has the image (default 0)\n${NODE_USAGE}`,
  options: { ...NODE_OPTIONS, 'all-platforms': { type: 'boolean' }, wait: { type: 'string' } },
  async run({ values, positionals }, io) {
    const [reference, ...more] = positionals;
    if (!reference || more.length) throw new MirrorError('USAGE', 'pinnace pull takes one reference');
    const bar = progress(io.world, io.terminal && !io.json, text => io.err(text));
    const body = { reference, everything: values['all-platforms'] === true };
    const line = (step: unknown): void => bar.step(step as Step);
    const socket = await socketOf(values);
    const once = (): Promise<Pulled> => ask<Pulled>({ socket, path: '/pull', body, line, signal: io.signal });
    const pulled = await patiently(io, secondsOf(values.wait), once).finally(bar.end);
    io.out(
      io.json ? `${JSON.stringify(pulled)}\n` : `${pulled.reference}  ${pulled.digest}  ${bytesText(pulled.bytes)}\n`,
    );
  },
};

/** How often a pull is tried again while it waits. */
const RETRY_MS = 500;
const WAIT_MAX_SECONDS = 86_400;

function secondsOf(wait: unknown): number {
  const seconds = Number(wait ?? 0);
  if (!(seconds >= 0 && seconds <= WAIT_MAX_SECONDS))
    throw new MirrorError('USAGE', `--wait takes seconds from 0 to ${WAIT_MAX_SECONDS}`);
  return seconds;
}

/** Tries until it works, at most so long; only what may change by itself is waited for. */
async function patiently<T>(io: Io, seconds: number, once: () => Promise<T>): Promise<T> {
  const until = io.world.monotonic() + seconds * 1000;
  for (;;) {
    try {
      return await once();
    } catch (error) {
      const passing = error instanceof MirrorError && (error.kind === 'absent' || error.kind === 'unavailable');
      if (!passing || io.signal.aborted || io.world.monotonic() >= until) throw error;
      await io.world.sleep(RETRY_MS, io.signal);
    }
  }
}

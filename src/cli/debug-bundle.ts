/** `pinnace debug bundle`: what a bug report needs, in one JSON file, without secrets. */
import { writeFile } from 'node:fs/promises';
import { MirrorError } from '../errors.ts';
import type { Command } from './command.ts';
import { ask, NODE_OPTIONS, NODE_USAGE, socketOf } from './control-client.ts';

export const debugBundle: Command = {
  name: 'debug bundle',
  summary: 'write what a bug report needs, without secrets',
  usage: `pinnace debug bundle [--out FILE] [--config FILE]\n  --out FILE      where to write it, 0600; a new file (default: to standard output)\n${NODE_USAGE}`,
  options: { ...NODE_OPTIONS, out: { type: 'string' } },
  async run({ values }, io) {
    const bundle = await ask<object>({ socket: await socketOf(values), path: '/debug' });
    const text = `${JSON.stringify(bundle, undefined, 2)}\n`;
    if (typeof values.out !== 'string') return io.out(text);
    try {
      await writeFile(values.out, text, { mode: 0o600, flag: 'wx' });
    } catch (error) {
      throw new MirrorError('FILE_UNREADABLE', `cannot write ${values.out}: ${(error as Error).message}`, {
        cause: error,
      });
    }
    io.out(
      io.json
        ? `${JSON.stringify({ out: values.out })}\n`
        : `written to ${values.out}; look it through before you send it\n`,
    );
  },
};

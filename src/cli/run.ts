/** `pinnace run`: the daemon, in the foreground; its log is JSON lines on standard error. */
import { readFile } from 'node:fs/promises';
import { realDisk } from '../store/disk.ts';
import type { Command } from './command.ts';
import { loadConfig } from './config.ts';
import { CONFIG_DEFAULT } from './control-client.ts';
import { ownFolder } from './own-folder.ts';
import { lockState } from './state-lock.ts';

export const run: Command = {
  name: 'run',
  summary: 'run the mirror on this node',
  usage: `pinnace run [--config FILE]\n  --config FILE   the configuration (default ${CONFIG_DEFAULT})\nEnds on SIGTERM and SIGINT.\n`,
  options: { config: { type: 'string' } },
  async run({ values }, io) {
    // The daemon's libraries are large; other commands start without them.
    const { default: pino } = await import('pino');
    const { layGround, startNode } = await import('./daemon.ts');
    const file = typeof values.config === 'string' ? values.config : CONFIG_DEFAULT;
    const config = await loadConfig(file, path => readFile(path, 'utf8'));
    const log = pino({ level: config.log.level, base: { node: config.node } }, pino.destination({ fd: 2, sync: true }));
    await ownFolder(config, log);
    const failed = new AbortController();
    const life = AbortSignal.any([io.signal, failed.signal]);
    const release = await lockState(realDisk, config.stateDir, io.world);
    try {
      const ground = await layGround(config, io.world, log, life);
      await (await startNode(ground)).stopped;
    } catch (error) {
      // What was begun ends, so that the process can.
      failed.abort('the start failed');
      throw error;
    } finally {
      await release();
    }
  },
};

/** Runs a hostile node as a process: `node hostile-node.ts --config FILE --lie KIND`. It ends on SIGTERM. */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { loadConfig } from '../../src/cli/config.ts';
import { layGround, startNode } from '../../src/cli/daemon.ts';
import { realWorld } from '../../src/world.ts';
import { hostile, LIES } from './hostile.ts';

const { values } = parseArgs({ options: { config: { type: 'string' }, lie: { type: 'string' } } });
const lie = LIES.find(one => one === values.lie);
if (!values.config || !lie) throw new Error(`--config FILE --lie ${LIES.join('|')}`);
const life = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => life.abort(signal));
const config = await loadConfig(values.config, file => readFile(file, 'utf8'));
const log = pino({ level: config.log.level, base: { node: config.node } }, pino.destination({ fd: 2, sync: true }));
const ground = await layGround(config, realWorld, log, life.signal);
await (await startNode(hostile(ground, lie))).stopped;

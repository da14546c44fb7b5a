/**
 * Runs a node with one part replaced as a process, until SIGTERM: `node hostile-node.ts --config FILE` with `--lie KIND
 * [--from BYTES]` for a liar, or `--first NODE` for an honest one that is unlucky in whom it asks (unlucky.ts).
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { loadConfig } from '../../src/cli/config.ts';
import { layGround, startNode } from '../../src/cli/daemon.ts';
import { realWorld } from '../../src/world.ts';
import { hostile, LIES } from './hostile.ts';
import { FORGET, unlucky } from './unlucky.ts';

const { values } = parseArgs({
  options: { config: { type: 'string' }, lie: { type: 'string' }, from: { type: 'string' }, first: { type: 'string' } },
});
const { first, from } = values;
const lie = LIES.find(one => one === values.lie);
if (!values.config || (lie === undefined) === (first === undefined))
  throw new Error(`--config FILE, and --lie ${LIES.join('|')} or --first NODE`);
const life = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => life.abort(signal));
const config = await loadConfig(values.config, file => readFile(file, 'utf8'));
const log = pino({ level: config.log.level, base: { node: config.node } }, pino.destination({ fd: 2, sync: true }));
const ground = await layGround(config, realWorld, log, life.signal);
const node = await startNode(lie ? hostile(ground, lie, from === undefined ? undefined : Number(from)) : ground);
if (first !== undefined) process.on(FORGET, unlucky(node.rooms, first));
await node.stopped;

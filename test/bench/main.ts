/**
 * `npm run bench [-- --json] [-- only NAME…]`: measures Pinnace against yardsticks on this machine. Promises: all that it
 * starts has ended and its folder is gone when it ends; a bench that broke makes the exit code 1, a goal that was missed
 * does not: it is shown.
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { realWorld } from '../../src/world.ts';
import { admissionBench } from './bench-admission.ts';
import { attackerBench } from './bench-attacker.ts';
import { idleBench } from './bench-idle.ts';
import { linkBench } from './bench-link.ts';
import { localBench } from './bench-local.ts';
import { lookupBench } from './bench-lookup.ts';
import { policyBench } from './bench-policy.ts';
import { shareBench } from './bench-share.ts';
import { signaturesBench } from './bench-signatures.ts';
import { spreadBench } from './bench-spread.ts';
import { transferBench } from './bench-transfer.ts';
import { unhelpedBench } from './bench-unhelped.ts';
import { yardsticksBench } from './bench-yardsticks.ts';
import type { Bench, Ground } from './ground.ts';
import { type BenchImage, buildBenchImage } from './image.ts';
import { LeftOut, programPath } from './packages.ts';
import { createProcesses, type Processes } from './processes.ts';
import { type Outcome, table } from './report.ts';

const BENCHES: readonly Bench[] = [
  yardsticksBench,
  transferBench,
  localBench,
  idleBench,
  lookupBench,
  policyBench,
  signaturesBench,
  admissionBench,
  spreadBench,
  shareBench,
  unhelpedBench,
  linkBench,
  attackerBench,
];
const DEFAULT_ROUNDS = 5;
const DEFAULT_LAYER_MIB = 1024;
const MOST_ROUNDS = 100;
const MOST_LAYER_MIB = 16 * 1024;
/** The name of every image made here; nothing answers there. */
const REFERENCE = 'registry.test/bench/layer';
const USAGE = `npm run bench [-- OPTIONS] [only NAME…]
  --json       one JSON document on stdout
  --rounds N   rounds of each contender (${DEFAULT_ROUNDS})
  --mib N      size of the large layer in MiB (${DEFAULT_LAYER_MIB}); goals are meant for the default
${BENCHES.map(({ name, summary }) => `  ${name.padEnd(12)} ${summary}`).join('\n')}`;

interface Options {
  readonly json: boolean;
  readonly rounds: number;
  readonly layerBytes: number;
  readonly benches: readonly Bench[];
}

function whole(text: string, name: string, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > max)
    throw new Error(`--${name}: a whole number from 1 to ${max}`);
  return value;
}

/** Reads the command line; undefined where help was asked for. Throws for what it does not know. */
function readOptions(args: readonly string[]): Options | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      rounds: { type: 'string', default: String(DEFAULT_ROUNDS) },
      mib: { type: 'string', default: String(DEFAULT_LAYER_MIB) },
      only: { type: 'string', multiple: true, default: [] },
    },
  });
  if (values.help) return undefined;
  const names = [...values.only, ...positionals.filter(name => name !== 'only')];
  const unknown = names.find(name => !BENCHES.some(bench => bench.name === name));
  if (unknown !== undefined) throw new Error(`no bench is called ${unknown}`);
  return {
    json: values.json,
    rounds: whole(values.rounds, 'rounds', MOST_ROUNDS),
    layerBytes: whole(values.mib, 'mib', MOST_LAYER_MIB) << 20,
    benches: names.length === 0 ? BENCHES : BENCHES.filter(({ name }) => names.includes(name)),
  };
}

async function runOne(bench: Bench, base: Omit<Ground, 'atEnd'>): Promise<Outcome> {
  const ends: (() => Promise<void>)[] = [];
  const ground: Ground = { ...base, atEnd: work => void ends.push(work) };
  ground.say(`${bench.name}: ${bench.summary}`);
  const began = realWorld.monotonic();
  const seconds = (): number => (realWorld.monotonic() - began) / 1e3;
  try {
    await mkdir(ground.dir, { mode: 0o700 });
    return { bench: bench.name, state: 'ran', ...(await bench.run(ground)), seconds: seconds() };
  } catch (error) {
    ground.signal.throwIfAborted();
    const why = error instanceof Error ? error.message : String(error);
    return { bench: bench.name, state: error instanceof LeftOut ? 'left out' : 'failed', why, seconds: seconds() };
  } finally {
    for (const end of ends.reverse()) await end();
    await ground.processes.stopAll();
    await rm(ground.dir, { recursive: true, force: true });
  }
}

/** What the figures were made on and with. */
async function machine(processes: Processes): Promise<Record<string, string>> {
  const memory = /^MemTotal:\s+(.*)$/m.exec(await readFile('/proc/meminfo', 'latin1'))?.[1] ?? '';
  const version = async (program: string, flag: string): Promise<string> => {
    const path = programPath(program);
    // nginx tells its version on stderr
    return path ? (await processes.run('sh', ['-c', '"$1" "$2" 2>&1', 'sh', path, flag])).split('\n')[0]! : 'not there';
  };
  return {
    cpu: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    memory,
    kernel: release(),
    node: process.version,
    nginx: await version('nginx', '-v'),
    curl: await version('curl', '--version'),
    openssl: await version('openssl', 'version'),
  };
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (!options) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const stop = new AbortController();
  // Stays on: a signal that comes twice (timeout sends it so) would else end us before anything is cleaned up.
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.on(name, () => stop.abort(new Error(`stopped by ${name}`)));
  const dir = await mkdtemp(join(tmpdir(), 'pinnace-bench-'));
  const processes = createProcesses(stop.signal);
  const images = new Map<number, Promise<BenchImage>>();
  const ground = (bench: Bench): Omit<Ground, 'atEnd'> => ({
    dir: join(dir, bench.name),
    processes,
    rounds: options.rounds,
    layerBytes: options.layerBytes,
    signal: stop.signal,
    image(layerBytes) {
      const built =
        images.get(layerBytes) ??
        buildBenchImage(join(dir, `image-${layerBytes}`), `${REFERENCE}:${layerBytes}`, layerBytes);
      images.set(layerBytes, built);
      return built;
    },
    say: text => void process.stderr.write(`${text}\n`),
  });
  // What the ground of the system tests prints is progress; stdout is for the results.
  console.log = (...words: unknown[]) => console.error(...words);
  try {
    const outcomes: Outcome[] = [];
    for (const bench of options.benches) outcomes.push(await runOne(bench, ground(bench)));
    const made = await machine(processes);
    const text = Object.entries(made).map(([name, value]) => `${name}: ${value}`);
    process.stdout.write(
      options.json ? `${JSON.stringify({ machine: made, outcomes })}\n` : `\n${text.join('\n')}\n\n${table(outcomes)}`,
    );
    return outcomes.some(({ state }) => state === 'failed') ? 1 : 0;
  } finally {
    await processes.stopAll();
    await rm(dir, { recursive: true, force: true });
  }
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  return 1;
});

/**
 * A peer that asks for what it was never told of: a member of the cluster with a node's own rooms, which asks one given
 * node for contents by digest, past all holdings and past its own policy. It runs as a process,
 * `node prying.ts --config FILE --of NODE DIGEST=SIZE …`, and prints what it was told and given, as a line of JSON.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { loadConfig } from '../../../src/cli/config.ts';
import { layGround, startNode } from '../../../src/cli/daemon.ts';
import { MirrorError } from '../../../src/errors.ts';
import { type Descriptor, type Digest, hexOf, type PeerId, parseDigest } from '../../../src/oci/oci.ts';
import type { Peers } from '../../../src/peers/peers.ts';
import { realWorld } from '../../../src/world.ts';
import type { PinnaceNode } from './node.ts';
import { run, until } from './processes.ts';

/** What came of one digest; a code where it was refused. */
export interface Pried {
  readonly digest: Digest;
  /** Names of the nodes that say that they hold it. */
  readonly holders: readonly string[];
  /** `given` where its bytes came, and are right. */
  readonly bytes: string;
  readonly proof: string;
  /** How many referrers of it were named. */
  readonly referrers: number | string;
}

const JOINED_MS = 20_000;
const ASKED_MS = 10_000;

/** Runs the prying peer as `node` (made, not started) and asks the node named `of` for each of `contents`. */
export async function pry(node: PinnaceNode, of: string, contents: readonly Descriptor[]): Promise<readonly Pried[]> {
  const argv = [process.execPath, fileURLToPath(import.meta.url), '--config', node.config, '--of', of];
  const asked = contents.map(({ digest, size }) => `${digest}=${size}`);
  const told = await run([...argv, ...asked], { netns: node.host.netns });
  return JSON.parse(told) as Pried[];
}

/** What `ask` answers, or the code of its refusal. */
const orCode = <T>(ask: Promise<T>): Promise<T | string> =>
  ask.catch((error: unknown) => {
    if (error instanceof MirrorError) return error.code;
    throw error;
  });

async function read(peers: Peers, peer: PeerId, digest: Digest, size: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of peers.read(peer, digest, 0, size, AbortSignal.timeout(ASKED_MS))) {
    hash.update(chunk.bytes);
    chunk.release();
  }
  return hash.digest('hex') === hexOf(digest) ? 'given' : 'other bytes';
}

async function ask(peers: Peers, peer: PeerId, digest: Digest, size: number): Promise<Pried> {
  const soon = (): AbortSignal => AbortSignal.timeout(ASKED_MS);
  return {
    digest,
    holders: peers.holders(digest).map(({ node }) => node.name),
    bytes: await orCode(read(peers, peer, digest, size)),
    proof: await orCode(peers.proof(peer, digest, size, soon()).then(() => 'given')),
    referrers: await orCode(peers.referrers(peer, digest, soon()).then(all => all.length)),
  };
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { config: { type: 'string' }, of: { type: 'string' } },
    allowPositionals: true,
  });
  if (!values.config || !values.of) throw new Error('--config FILE --of NODE DIGEST=SIZE …');
  const life = new AbortController();
  const config = await loadConfig(values.config, file => readFile(file, 'utf8'));
  const log = pino({ level: 'warn' }, pino.destination({ fd: 2, sync: true }));
  const { rooms, stopped } = await startNode(await layGround(config, realWorld, log, life.signal));
  const { peers } = rooms;
  const victim = await until(`${values.of} is connected`, JOINED_MS, async () =>
    peers.status().find(({ node, connected, holdings }) => node.name === values.of && connected && holdings > 0),
  );
  const pried: Pried[] = [];
  for (const positional of positionals) {
    const [digest = '', size] = positional.split('=');
    pried.push(await ask(peers, victim.node.peer, parseDigest(digest), Number(size)));
  }
  process.stdout.write(`${JSON.stringify(pried)}\n`);
  life.abort('asked');
  await stopped;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();

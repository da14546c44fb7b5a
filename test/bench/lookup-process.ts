/**
 * Run by itself, with --expose-gc: fills the holdings of a whole cluster and looks digests up in them; prints one line of
 * JSON. Promises: statements go in as they do from the network, each parsed from its own bytes. A process of its own, so
 * that its memory is that of the holdings.
 */
import { createHash } from 'node:crypto';
import type { Digest, Node, PeerId, Role } from '../../src/oci/oci.ts';
import { encodeSigned, parseSigned, SIGNATURE_BYTES } from '../../src/peers/envelope.ts';
import { Holdings } from '../../src/peers/holdings.ts';
import type { Holding } from '../../src/peers/peers.ts';
import { Standing } from '../../src/peers/standing.ts';
import type { Root } from '../../src/proof/proof.ts';
import { realWorld } from '../../src/world.ts';
import { cpuOf, percentile, residentOf } from './measure.ts';
import { distinct, zipf } from './zipf.ts';

const NODES = 1_000;
const DIGESTS_PER_NODE = 1_000;
const DIGESTS = 50_000;
const LOOKUPS = 3_000;
/** Lookups that only warm up. */
const WARM_LOOKUPS = 500;
const NOW = 1_800_000_000_000;
const VALID_MS = 60_000;
/** Zones of the cluster, the one of the node that looks, and the nodes that it has links with. */
const ZONES = 3;
const ZONE = 'zone-0';
const LINKS = 64;
const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/** Milliseconds of one lookup, and of CPU of its thread at the 99th percentile; holders found in one on average. */
export interface LookupTimes {
  readonly p50: number;
  readonly p99: number;
  readonly cpu99: number;
  readonly max: number;
  readonly holders: number;
}

/** What the process found. */
export interface LookupFindings {
  /** MiB, before and with all holdings; garbage collected before each. */
  readonly residentBefore: number;
  readonly residentAfter: number;
  /** Finding alone, and finding and ranking: what a pull waits for. */
  readonly find: LookupTimes;
  readonly rank: LookupTimes;
  /** Seconds and CPU seconds to parse and take all statements. */
  readonly fillSeconds: number;
  readonly fillCpu: number;
}

const hex = (text: string): string => createHash('sha256').update(text).digest('hex');
const digestAt = (at: number): Digest => `sha256:${hex(`digest ${at}`)}` as Digest;
const holdingAt = (at: number): Holding => ({
  digest: digestAt(at),
  size: 1_000 + at,
  root: hex(`root ${at}`) as Root,
});

/** A well-formed peer id of no key. */
function peerAt(at: number): PeerId {
  const bytes = createHash('sha512').update(`peer ${at}`).digest();
  const letters = Array.from({ length: 44 }, (_, place) => BASE58[bytes[place]! % BASE58.length]);
  return `12D3KooW${letters.join('')}` as PeerId;
}

const LINKED: ReadonlySet<PeerId> = new Set(Array.from({ length: LINKS }, (_, at) => peerAt(at)));

function collectGarbage(): void {
  if (!globalThis.gc) throw new Error('run with --expose-gc');
  globalThis.gc();
  globalThis.gc();
}

function* statements(all: readonly Holding[]): Generator<Uint8Array> {
  const draws = zipf('holdings', DIGESTS);
  for (let node = 0; node < NODES; node++) {
    const entries = distinct(draws, DIGESTS_PER_NODE).map(at => all[at]!);
    entries.sort((a, b) => (a.digest < b.digest ? -1 : 1));
    const header = { signer: peerAt(node), start: 1, seq: 1, notAfter: NOW + VALID_MS };
    yield encodeSigned({
      statement: { ...header, kind: 'holdings', body: { entries } },
      signature: Buffer.alloc(SIGNATURE_BYTES),
    });
  }
}

function fill(holdings: Holdings, all: readonly Holding[]): Pick<LookupFindings, 'fillSeconds' | 'fillCpu'> {
  let [fillSeconds, fillCpu] = [0, 0];
  for (const bytes of statements(all)) {
    const [began, cpu] = [performance.now(), cpuOf([process.pid])];
    holdings.take(parseSigned(bytes));
    fillSeconds += (performance.now() - began) / 1e3;
    fillCpu += cpuOf([process.pid]) - cpu;
  }
  return { fillSeconds, fillCpu };
}

/** As the room's `holders`: finds, leaves out who does not count, ranks. Answers what was found. */
function holdersOf(holdings: Holdings, members: ReadonlyMap<PeerId, Node>, standing: Standing, digest: Digest): number {
  const found = holdings.find(digest, NOW).flatMap(({ peer, holding }) => {
    const node = members.get(peer);
    return node?.roles.has('serve') ? [{ node, ...holding }] : [];
  });
  return standing.rank(found, ZONE, LINKED).length;
}

function look(once: (digest: Digest) => number): LookupTimes {
  const draws = zipf('lookups', DIGESTS);
  const times: number[] = [];
  const cpu: number[] = [];
  let holders = 0;
  for (let at = -WARM_LOOKUPS; at < LOOKUPS; at++) {
    const digest = digestAt(draws.next().value);
    const before = process.threadCpuUsage();
    const began = performance.now();
    const found = once(digest);
    const took = performance.now() - began;
    const { user, system } = process.threadCpuUsage(before);
    if (at < 0) continue;
    times.push(took);
    cpu.push((user + system) / 1e3);
    holders += found;
  }
  // A lookup that finds nothing would be fast and worth nothing.
  if (holders < LOOKUPS) throw new Error(`${LOOKUPS} lookups found ${holders} holders in all`);
  const max = times.reduce((most, took) => Math.max(most, took), 0);
  return {
    p50: percentile(times, 0.5),
    p99: percentile(times, 0.99),
    cpu99: percentile(cpu, 0.99),
    max,
    holders: holders / LOOKUPS,
  };
}

function membersOf(): ReadonlyMap<PeerId, Node> {
  const roles = new Set<Role>(['fetch', 'serve', 'attest']);
  const member = (at: number): Node => {
    const zone = `zone-${at % ZONES}`;
    return { peer: peerAt(at), name: `n${at}`, zone, roles, issuedAt: NOW, expiresAt: NOW + VALID_MS };
  };
  return new Map(Array.from({ length: NODES }, (_, at) => [peerAt(at), member(at)]));
}

if (import.meta.main) {
  const all = Array.from({ length: DIGESTS }, (_, at) => holdingAt(at));
  collectGarbage();
  const residentBefore = residentOf([process.pid]);
  const holdings = new Holdings();
  const filled = fill(holdings, all);
  collectGarbage();
  const residentAfter = residentOf([process.pid]);
  const members = membersOf();
  const standing = new Standing(realWorld);
  const find = look(digest => holdings.find(digest, NOW).length);
  const rank = look(digest => holdersOf(holdings, members, standing, digest));
  const findings: LookupFindings = { residentBefore, residentAfter, ...filled, find, rank };
  process.stdout.write(`${JSON.stringify(findings)}\n`);
}

/**
 * Run by itself, with --expose-gc: fills the holdings of a whole cluster and looks digests up in them; prints one line of
 * JSON. Promises: statements go in as they do from the network, each parsed from its own bytes. A process of its own, so
 * that its memory is that of the holdings.
 */
import { createHash } from 'node:crypto';
import type { Digest, PeerId } from '../../src/oci/oci.ts';
import { encodeSigned, parseSigned, SIGNATURE_BYTES } from '../../src/peers/envelope.ts';
import { Holdings } from '../../src/peers/holdings.ts';
import type { Holding } from '../../src/peers/peers.ts';
import type { Root } from '../../src/proof/proof.ts';
import { cpuOf, percentile, residentOf } from './measure.ts';
import { distinct, zipf } from './zipf.ts';

const NODES = 1_000;
const DIGESTS_PER_NODE = 1_000;
const DIGESTS = 50_000;
const LOOKUPS = 200_000;
/** Lookups that only warm up. */
const WARM_LOOKUPS = 20_000;
const NOW = 1_800_000_000_000;
const VALID_MS = 60_000;
const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/** What the process found. */
export interface LookupFindings {
  /** MiB, before and with all holdings; garbage collected before each. */
  readonly residentBefore: number;
  readonly residentAfter: number;
  /** Milliseconds of one lookup. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Holders found in one lookup, on average. */
  readonly holders: number;
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

function look(holdings: Holdings): Pick<LookupFindings, 'p50' | 'p99' | 'max' | 'holders'> {
  const draws = zipf('lookups', DIGESTS);
  const times: number[] = [];
  let holders = 0;
  for (let at = -WARM_LOOKUPS; at < LOOKUPS; at++) {
    const digest = digestAt(draws.next().value);
    const began = performance.now();
    const found = holdings.find(digest, NOW);
    const took = performance.now() - began;
    if (at < 0) continue;
    times.push(took);
    holders += found.length;
  }
  // A lookup that finds nothing would be fast and worth nothing.
  if (holders < LOOKUPS) throw new Error(`${LOOKUPS} lookups found ${holders} holders in all`);
  const max = times.reduce((most, took) => Math.max(most, took), 0);
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99), max, holders: holders / LOOKUPS };
}

if (import.meta.main) {
  const all = Array.from({ length: DIGESTS }, (_, at) => holdingAt(at));
  collectGarbage();
  const residentBefore = residentOf([process.pid]);
  const holdings = new Holdings();
  const filled = fill(holdings, all);
  collectGarbage();
  const residentAfter = residentOf([process.pid]);
  const findings: LookupFindings = { residentBefore, residentAfter, ...filled, ...look(holdings) };
  process.stdout.write(`${JSON.stringify(findings)}\n`);
}

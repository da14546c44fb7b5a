/**
 * Run by itself: judges signatures that were never seen before, each once, as a pull does; prints one line of JSON. Promises:
 * every bundle is its own (key, certificate, log entry, signature), the policy was loaded before, and all of them hold: one
 * that is refused early would be fast and worth nothing.
 */
import type { Digest } from '../../src/oci/oci.ts';
import { type Candidate, openSigners, type Signers } from '../../src/trust/trust.ts';
import { keyPair, openSigstore, type Sigstore, type Witnesses } from '../support/sigstore.ts';
import { digestAt, key, keyless, SUBJECT } from '../support/sigstore-judging.ts';
import { annotationsOf, byKey, bytesOfJson, payloadOf, pemOf, statementOf } from '../support/sigstore-signing.ts';
import { percentile } from './measure.ts';

const SIGNATURES = 250;
/** Of a kind that only warm up: code, never bundles, is warm when a node judges. */
const WARM_SIGNATURES = 10;

/** Milliseconds of one judgement, and of CPU of its thread. */
export interface JudgeTimes {
  /** The very first of the process, with nothing compiled. */
  readonly first: number;
  readonly p50: number;
  readonly p99: number;
  readonly cpu50: number;
}

/** What the process found, by kind of signature. */
export type SignatureFindings = Readonly<Record<'key' | 'keyless' | 'rekor2' | 'legacy', JudgeTimes>>;

interface Made {
  readonly subject: Digest;
  readonly candidate: Candidate;
}

function judgeAll(signers: Signers, made: readonly Made[]): JudgeTimes {
  const [times, cpu]: [number[], number[]] = [[], []];
  for (const { candidate, subject } of made) {
    const before = process.threadCpuUsage();
    const began = performance.now();
    const { signed, reason } = signers.judge(candidate, subject, Date.now());
    times.push(performance.now() - began);
    const { user, system } = process.threadCpuUsage(before);
    cpu.push((user + system) / 1e3);
    if (signed.length !== 1) throw new Error(`a good signature was refused: ${reason}`);
  }
  const [warm, warmCpu] = [times.slice(WARM_SIGNATURES), cpu.slice(WARM_SIGNATURES)];
  return {
    first: times[0]!,
    p50: percentile(warm, 0.5),
    p99: percentile(warm, 0.99),
    cpu50: percentile(warmCpu, 0.5),
  };
}

async function makeAll(make: (subject: Digest) => Promise<Candidate>): Promise<Made[]> {
  const made: Made[] = [];
  for (let at = 0; at < SIGNATURES + WARM_SIGNATURES; at++) {
    const subject = digestAt(`image ${at}`);
    made.push({ subject, candidate: await make(subject) });
  }
  return made;
}

function makers(sigstore: Sigstore, pair: ReturnType<typeof keyPair>) {
  const bundled = async (subject: Digest, witnesses: Witnesses): Promise<Candidate> => {
    const signer = witnesses.length === 0 ? byKey(pair) : sigstore.keyless(SUBJECT);
    const bundle = await sigstore.statement(statementOf(subject), { signer, witnesses });
    return { format: 'bundle', bytes: bytesOfJson(bundle) };
  };
  return {
    key: (subject: Digest) => bundled(subject, []),
    keyless: (subject: Digest) => bundled(subject, ['rekor1']),
    rekor2: (subject: Digest) => bundled(subject, ['rekor2', 'tsa']),
    async legacy(subject: Digest): Promise<Candidate> {
      const payload = payloadOf(subject);
      const bundle = await sigstore.message(payload, { signer: sigstore.keyless(SUBJECT), witnesses: ['rekor1'] });
      return { format: 'legacy', payload, annotations: annotationsOf(bundle) };
    },
  };
}

if (import.meta.main) {
  const findings: Record<string, JudgeTimes> = {};
  const pair = keyPair();
  for (const name of ['key', 'keyless', 'rekor2', 'legacy'] as const) {
    // One sigstore a kind: its clock moves on with each entry, and its certificates begin at it.
    const sigstore = await openSigstore();
    const made = await makeAll(makers(sigstore, pair)[name]);
    const authority = name === 'key' ? key(pemOf(pair.publicKey)) : keyless();
    const roots = new Map([['root', bytesOfJson(sigstore.root())]]);
    findings[name] = judgeAll(openSigners(new Map([['authority', authority]]), roots), made);
    sigstore.close();
  }
  process.stdout.write(`${JSON.stringify(findings satisfies Record<string, JudgeTimes>)}\n`);
}

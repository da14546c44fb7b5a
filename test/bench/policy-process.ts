/**
 * Run by itself: `make FILE` writes a lock file of 100,000 pins; `load FILE`, with --expose-gc, loads a policy of 1,000
 * rules with those pins, decides by it, and prints one line of JSON. A process of its own for each, so that the memory of
 * the second is that of the policy.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { type Digest, parseReference, type Reference } from '../../src/oci/oci.ts';
import { loadPolicy } from '../../src/policy/parse.ts';
import { formatPins, type Pin } from '../../src/policy/pins.ts';
import type { Policy, Signed } from '../../src/policy/policy.ts';
import { percentile, residentOf } from './measure.ts';

const RULES = 1_000;
const PINS = 100_000;
const DECISIONS = 5_000;
/** Decisions that only warm up. */
const WARM_DECISIONS = 1_000;
const NOW = Date.UTC(2026, 10, 25);
const PEM = '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n';
const SIGNED: readonly Signed[] = [{ authority: 'a', format: 'bundle', signer: 'a' }];

/** What the process found. */
export interface PolicyFindings {
  /** Milliseconds to load the whole, and bytes of its lock file. */
  readonly loadMs: number;
  readonly pinsBytes: number;
  /** MiB, before and with the policy; garbage collected before each. */
  readonly residentBefore: number;
  readonly residentAfter: number;
  /** Milliseconds of one image: pulled, its tag resolved, its signatures asked for, admitted. */
  readonly decideMs50: number;
  readonly decideMs99: number;
}

const digestAt = (at: number): Digest => `sha256:${createHash('sha256').update(`pin ${at}`).digest('hex')}` as Digest;
const nameAt = (at: number): string => `registry.example/team-${at % RULES}/app-${at % 7_919}:1.${at}`;

const rules = Array.from(
  { length: RULES },
  (_, at) => `  - {name: r${at}, match: registry.example/team-${at}/${['**', '*'][at % 2]}, signatures: {anyOf: [a]}}`,
);
const TEXT = `apiVersion: pinnace.policy/v1
kind: MirrorPolicy
metadata: {name: bench, serial: 1, issuedAt: 2026-11-20T00:00:00Z}
registries: [registry.example]
authorities: {a: {key: {file: a.pub}}}
defaults: {pins: {require: true, files: [all.lock]}}
rules:
${rules.join('\n')}
`;

function lockFile(): Uint8Array {
  const pins: Pin[] = [];
  for (let at = 0; at < PINS; at += 1)
    pins.push({ reference: nameAt(at), digest: digestAt(at), note: 'alice 2026-11-20 release' });
  return Buffer.from(formatPins(1, pins));
}

function collectGarbage(): void {
  if (!globalThis.gc) throw new Error('run with --expose-gc');
  globalThis.gc();
  globalThis.gc();
}

function decide(policy: Policy, reference: Reference): boolean {
  const digest = policy.pin({ ...reference, tag: reference.tag! });
  return (
    digest !== undefined &&
    policy.pull(reference, NOW).allowed &&
    policy.needsSignatures(reference, digest, NOW) &&
    policy.admit(reference, digest, SIGNED, NOW).allowed
  );
}

function decisions(policy: Policy): Pick<PolicyFindings, 'decideMs50' | 'decideMs99'> {
  const times: number[] = [];
  for (let at = -WARM_DECISIONS; at < DECISIONS; at += 1) {
    const reference = parseReference(nameAt(((at + WARM_DECISIONS) * 7_907) % PINS));
    const began = performance.now();
    const allowed = decide(policy, reference);
    const took = performance.now() - began;
    if (!allowed) throw new Error('it was not allowed');
    if (at >= 0) times.push(took);
  }
  return { decideMs50: percentile(times, 0.5), decideMs99: percentile(times, 0.99) };
}

function measure(lock: string): PolicyFindings {
  const pins = readFileSync(lock);
  const files = new Map<string, Uint8Array>([
    ['all.lock', pins],
    ['a.pub', Buffer.from(PEM)],
  ]);
  collectGarbage();
  const residentBefore = residentOf([process.pid]);
  const began = performance.now();
  const policy = loadPolicy(TEXT, 'policy.yaml', files);
  const loadMs = performance.now() - began;
  collectGarbage();
  const residentAfter = residentOf([process.pid]);
  return { loadMs, pinsBytes: pins.length, residentBefore, residentAfter, ...decisions(policy) };
}

if (import.meta.main) {
  const [what, file = ''] = process.argv.slice(2);
  if (what === 'make') writeFileSync(file, lockFile());
  else process.stdout.write(`${JSON.stringify(measure(file))}\n`);
}

/**
 * Run by itself: judges signed images once, then asks again what was decided about them, as each later pull does; prints one
 * line of JSON. Promises: every verdict was reached by a signature under a policy of 1,000 rules, and none is reached anew
 * while it is measured.
 */
import { type AdmitRooms, type Named, rulingOn } from '../../src/mirror/admit.ts';
import { Admitted, Verdicts } from '../../src/mirror/mirror.ts';
import { parseReference } from '../../src/oci/oci.ts';
import { loadPolicy } from '../../src/policy/parse.ts';
import { openSigners } from '../../src/trust/trust.ts';
import { realWorld } from '../../src/world.ts';
import { memoryKeep } from '../support/cluster.ts';
import { Hub } from '../support/hub.ts';
import { MemoryAttachments, buildAttachment } from '../support/memory-attachments.ts';
import { memoryAudit } from '../support/memory-audit.ts';
import { keyPair, openSigstore } from '../support/sigstore.ts';
import { digestAt } from '../support/sigstore-judging.ts';
import { byKey, bytesOfJson, pemOf, statementOf } from '../support/sigstore-signing.ts';
import { percentile } from './measure.ts';

const RULES = 1_000;
/** One in each rule. */
const IMAGES = RULES;
const DECISIONS = 20_000;
/** Decisions that only warm up. */
const WARM_DECISIONS = 2_000;

/** Milliseconds of one decision. */
export interface DecisionTimes {
  readonly p50: number;
  readonly p99: number;
}

/** What the process found. */
export interface AdmissionFindings {
  /** The kept ruling alone, and with what policy says of the name before it: all that a pull decides. */
  readonly kept: DecisionTimes;
  readonly pulled: DecisionTimes;
}

const rules = Array.from(
  { length: RULES },
  (_, at) =>
    `  - {name: r${at}, match: registry.example/team-${at}/${['**', '*'][at % 2]}, signatures: {anyOf: [platform]}}`,
);
const TEXT = `apiVersion: pinnace.policy/v1
kind: MirrorPolicy
metadata: {name: bench, serial: 1, issuedAt: 2026-11-20T00:00:00Z}
registries: [registry.example]
authorities: {platform: {key: {file: platform.pub}}}
rules:
${rules.join('\n')}
`;
const IMAGE_NAMES: readonly Named[] = Array.from({ length: IMAGES }, (_, at) => ({
  ...parseReference(`registry.example/team-${at}/app:1.${at}`),
  digest: digestAt(`image ${at}`),
}));

/** Rooms in which each image has a signature, and nothing was judged yet; counts what is judged. */
async function openRooms(): Promise<{ readonly rooms: AdmitRooms; readonly judged: () => number }> {
  const sigstore = await openSigstore();
  const pair = keyPair();
  const policy = loadPolicy(TEXT, 'policy.yaml', new Map([['platform.pub', Buffer.from(pemOf(pair.publicKey))]]));
  const signers = openSigners(policy.authorities, policy.trustRoots);
  const attachments = new MemoryAttachments({ now: () => realWorld.now() });
  for (const { digest } of IMAGE_NAMES) {
    const bundle = await sigstore.statement(statementOf(digest), { signer: byKey(pair), witnesses: [] });
    const { artifact, contents } = buildAttachment(digest, bytesOfJson(bundle));
    await attachments.keep(artifact, contents);
  }
  sigstore.close();
  let judged = 0;
  const rooms = {
    world: realWorld,
    policy: () => policy,
    signers: () => ({
      id: signers.id,
      judge(...about: Parameters<typeof signers.judge>) {
        judged += 1;
        return signers.judge(...about);
      },
    }),
    attachments,
    verdicts: new Verdicts(),
    admitted: await Admitted.open(memoryKeep()),
    peers: new Hub().join('node'),
    audit: memoryAudit(),
    log: { info: () => undefined, warn: () => undefined },
    life: new AbortController().signal,
  };
  return { rooms, judged: () => judged };
}

async function timesOf(decide: (named: Named) => Promise<boolean>): Promise<DecisionTimes> {
  const times: number[] = [];
  for (let at = -WARM_DECISIONS; at < DECISIONS; at++) {
    const named = IMAGE_NAMES[((at + WARM_DECISIONS) * 617) % IMAGES]!;
    const began = performance.now();
    const allowed = await decide(named);
    const took = performance.now() - began;
    if (!allowed) throw new Error('it was not allowed');
    if (at >= 0) times.push(took);
  }
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

async function measure(): Promise<AdmissionFindings> {
  const { rooms, judged } = await openRooms();
  for (const named of IMAGE_NAMES) await rulingOn(rooms, named);
  const before = judged();
  const kept = await timesOf(async named => (await rulingOn(rooms, named)).allowed);
  const pulled = await timesOf(async named => {
    const byName = rooms.policy().pull(named, rooms.world.now());
    return byName.allowed && (await rulingOn(rooms, named)).allowed;
  });
  if (before !== IMAGES || judged() !== before) throw new Error(`${before} were judged, then ${judged() - before}`);
  return { kept, pulled };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await measure())}\n`);

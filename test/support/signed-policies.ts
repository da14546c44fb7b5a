/**
 * Signed policies of tests, made at run time: persons with keys, rosters that name them, bundles, and the policies of a node
 * under them. Everything is real but the clock and the disk, which are in memory.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import pino from 'pino';
import { openPolicies, type PolicySource } from '../../src/cli/policy-source.ts';
import type { OpenMembers } from '../../src/identity/members.ts';
import type { PolicyDemand } from '../../src/identity/policy-demand.ts';
import { issueRoster } from '../../src/identity/roster.ts';
import { replaceFile } from '../../src/store/disk.ts';
import { bundlePolicy, sealPolicy, signPolicy, unsealPolicy } from '../../src/trust/policy-bundle.ts';
import { packBundle } from '../../src/trust/policy-packing.ts';
import { makeCluster, memoryKeep, type TestCluster } from './cluster.ts';
import { type MemoryAudit, memoryAudit } from './memory-audit.ts';
import { MemoryDisk } from './memory-disk.ts';

/** Somebody who signs policies, by Ed25519 unless told otherwise. */
export const person = (kind: 'ed25519' | 'p256' = 'ed25519'): KeyObject =>
  kind === 'p256'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    : generateKeyPairSync('ed25519').privateKey;

/** How rosters name somebody. */
export const spkiOf = (key: KeyObject): Uint8Array =>
  new Uint8Array(createPublicKey(key).export({ type: 'spki', format: 'der' }));

export interface PolicyDraft {
  readonly serial: number;
  /** Team of `r.test` whose images are shared; so two policies of one serial can differ. */
  readonly shares?: string;
  readonly expiresAt?: string;
  readonly onExpiry?: 'freeze' | 'deny';
  readonly name?: string;
  /** Further lines. */
  readonly more?: string;
}

const ISSUED = '2026-01-01T00:00:00Z';
const EXPIRES = '2126-01-01T00:00:00Z';

/** The text of a policy. */
export const policyText = (draft: PolicyDraft): string => `apiVersion: pinnace.policy/v1
kind: MirrorPolicy
metadata:
  name: ${draft.name ?? 'prod'}
  serial: ${draft.serial}
  issuedAt: ${ISSUED}
  expiresAt: ${draft.expiresAt ?? EXPIRES}
  onExpiry: ${draft.onExpiry ?? 'freeze'}
registries: [r.test]
rules:
  - {name: team, match: r.test/${draft.shares ?? 'team'}/**, share: cluster, tags: {min: 1}}
${draft.more ?? ''}`;

/** A bundle of that policy, signed by all of `keys`; what it says of itself may be changed. */
export function bundleOf(
  cluster: string,
  draft: PolicyDraft,
  keys: readonly KeyObject[],
  change: Partial<Parameters<typeof bundlePolicy>[0]> = {},
): Uint8Array {
  let sealed = bundlePolicy({
    cluster,
    name: draft.name ?? 'prod',
    serial: draft.serial,
    issuedAt: Date.parse(ISSUED),
    expiresAt: Date.parse(draft.expiresAt ?? EXPIRES),
    policy: policyText(draft),
    files: new Map(),
    ...change,
  });
  for (const key of keys) sealed = unsealPolicy(signPolicy(sealed, key));
  return sealPolicy(sealed);
}

/** What a roster demands: one signature of all of these unless told otherwise, and unsigned policies count. */
export const demandOf = (keys: readonly KeyObject[], more: Partial<Omit<PolicyDemand, 'keys'>> = {}): PolicyDemand => ({
  keys: keys.map(spkiOf),
  threshold: 1,
  requireSigned: false,
  lowestSerial: 1,
  ...more,
});

/** A cluster whose nodes have policies. */
export interface PolicyStage {
  readonly cluster: TestCluster;
  /** The next roster, which demands that. */
  readonly roster: (demand?: PolicyDemand) => Promise<string>;
  /** A node at its first start, under the newest roster so far. */
  readonly node: (name: string, local?: string | Uint8Array) => Promise<PolicyNode>;
}

export interface PolicyNode {
  readonly members: OpenMembers;
  readonly policies: PolicySource;
  readonly audit: MemoryAudit;
  readonly disk: MemoryDisk;
  readonly marks: ReturnType<typeof memoryKeep>;
  readonly bundle: ReturnType<typeof memoryKeep>;
  /** Takes a roster, and waits until all was judged under it. */
  readonly under: (jwt: string) => Promise<void>;
  /** Replaces the policy file, and looks at it. */
  readonly write: (content: string | Uint8Array) => Promise<void>;
  /** The same node after a restart. */
  readonly again: () => Promise<PolicyNode>;
  /** Codes of the policies that were refused so far. */
  readonly refused: () => readonly string[];
  /** The team whose images are shared: which policy is in force. */
  readonly shares: () => string | undefined;
}

export const POLICY_FILE = '/etc/policy.yaml';
const TEAMS = ['team', 'other', 'third'];

export async function policyStage(demand?: PolicyDemand): Promise<PolicyStage> {
  const cluster = await makeCluster({ nodes: ['n1', 'n2', 'n3'] });
  let seq = 1;
  let newest: string | undefined;
  const roster = async (next?: PolicyDemand): Promise<string> => {
    seq += 1;
    const draft = { seq, issuedAt: cluster.world.now(), revoked: new Map<string, number>() };
    newest = await issueRoster(cluster.issuer, { ...draft, ...(next ? { policy: next } : {}) });
    return newest;
  };
  if (demand) await roster(demand);
  return {
    cluster,
    roster,
    async node(name, local) {
      const disk = new MemoryDisk();
      await disk.mkdir('/etc');
      if (local !== undefined) await replaceFile(disk, POLICY_FILE, Buffer.from(local as string));
      const keeps = { roster: memoryKeep(), marks: memoryKeep(), bundle: memoryKeep() };
      return start(cluster, name, disk, keeps, newest);
    },
  };
}

type Keeps = Readonly<Record<'roster' | 'marks' | 'bundle', ReturnType<typeof memoryKeep>>>;

async function start(
  cluster: TestCluster,
  name: string,
  disk: MemoryDisk,
  keeps: Keeps,
  newest: string | undefined,
): Promise<PolicyNode> {
  const members = await cluster.node(name).members({ roster: keeps.roster });
  if (newest) await members.offerRoster(newest);
  const { marks, bundle } = keeps;
  const file = POLICY_FILE;
  const policies = await openPolicies({
    disk,
    file,
    bundleKeep: bundle,
    marksKeep: marks,
    cluster: cluster.id,
    members,
  });
  const audit = memoryAudit();
  await policies.recordIn(audit, pino({ level: 'silent' }));
  return {
    members,
    policies,
    audit,
    disk,
    marks,
    bundle,
    async under(jwt) {
      await members.offerRoster(jwt);
      await policies.settled();
    },
    async write(content) {
      await replaceFile(disk, file, Buffer.from(content as string));
      await policies.look();
    },
    again: () => start(cluster, name, disk, keeps, undefined),
    refused: () => audit.of('policy.refused').map(({ code }) => code),
    shares: () =>
      TEAMS.find(team => policies.now().rule('r.test' as never, `${team}/app` as never).share !== undefined),
  };
}

/** A bundle as it goes from node to node. */
export const packed = (bytes: Uint8Array): Promise<Uint8Array> => packBundle(bytes);

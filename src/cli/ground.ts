/**
 * What a node stands on before it speaks to anybody: its state folder, its identity, its records, its stores. Each state
 * file has one owner, named here. Refuses to know stories and networks.
 */
import { join } from 'node:path';
import type { Audit } from '../audit/audit.ts';
import { type AuditOptions, openAudit } from '../audit/journal.ts';
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import { openMembers, type OpenMembers } from '../identity/members.ts';
import { type OpenSelf, openSelf } from '../identity/self.ts';
import type { Wires } from '../peers/peers-node.ts';
import { type Disk, journalAt, readSecret, realDisk } from '../store/disk.ts';
import { openAttachments, type OpenAttachments } from '../store/attachments.ts';
import { openHashes } from '../store/hashes.ts';
import { openLayout } from '../store/layout.ts';
import { openSpool } from '../store/spool.ts';
import type { Hashes, Spool, Store } from '../store/store.ts';
import { openEvidence } from '../trust/evidence.ts';
import { openOrigins } from '../trust/origin.ts';
import type { EvidenceBook, OriginBook } from '../trust/trust.ts';
import type { World } from '../world.ts';
import { ATTACHMENTS_DIR, type Config, LAYOUT_DIR } from './config.ts';
import type { Log } from './log.ts';
import { openPolicies, type PolicySource } from './policy-source.ts';
import { type StateFolder, stateFolder } from './state-folder.ts';

/** Where a node meets the machine; a simulated cluster brings others. */
export interface Edges {
  readonly disk: Disk;
  /** The machine's network unless given. */
  readonly wires?: Wires;
}

export interface Ground {
  readonly config: Config;
  readonly world: World;
  readonly log: Log;
  readonly life: AbortSignal;
  readonly edges: Edges;
  readonly self: OpenSelf;
  readonly members: OpenMembers;
  readonly audit: Audit;
  readonly store: Store;
  readonly spool: Spool;
  readonly hashes: Hashes;
  readonly attachments: OpenAttachments;
  readonly evidence: EvidenceBook;
  readonly origins: OriginBook;
  readonly policy: PolicySource;
  /** Set while bytes move for others, so that hashing makes way. */
  readonly traffic: { busy: () => boolean };
  readonly state: StateFolder;
}

/** Opens everything that a node keeps. @throws TOKEN_INVALID, STATE_*, FILE_UNREADABLE, SECRET_EXPOSED */
export async function layGround(
  config: Config,
  world: World,
  log: Log,
  life: AbortSignal,
  edges: Edges = { disk: realDisk },
): Promise<Ground> {
  const { disk } = edges;
  await disk.mkdir(config.stateDir);
  const state = stateFolder(disk, config.stateDir);
  const { at, keep, opening } = state;
  const self = await opening(() => openSelfOf(config, disk, state, world));
  if (self.name !== config.node)
    throw new MirrorError(
      'CONFIG_INVALID',
      `${config.tokenFile} is the token of ${self.name}, but this node is ${config.node}`,
    );
  const keeps = { rosterKeep: keep('roster.jwt'), credentialsKeep: keep('credentials.json') };
  const members = await opening(() => openMembers({ self, ...keeps, world, signal: life }));
  const policy = await opening(() =>
    openPolicies({
      disk,
      file: config.policyFile,
      bundleKeep: keep('policy.bundle'),
      marksKeep: keep('policy.json'),
      cluster: self.cluster.id,
      members,
    }),
  );
  const audit = await openLog(disk, at('audit.jsonl'), {
    world,
    policyHash: () => policy.now().hash,
    node: self.name,
    signal: life,
  });
  const traffic = { busy: () => false };
  return {
    config,
    world,
    log,
    life,
    edges,
    self,
    members,
    audit,
    policy,
    traffic,
    state,
    store: await openStore(config, disk, world, log),
    spool: await openSpool(disk, at('spool'), config.spool.maxBytes, world),
    hashes: await openHashes(disk, at('proofs'), world, { busy: () => traffic.busy() }),
    attachments: await openAttachments(disk, join(config.stateDir, ATTACHMENTS_DIR), world),
    evidence: await opening(() => openEvidence({ keep: keep('evidence.json') })),
    origins: await opening(() => openOrigins({ keep: keep('origins.json'), world })),
  };
}

/** Who this node is, by its token. @throws with the token's path what is wrong with it */
async function openSelfOf({ tokenFile }: Config, disk: Disk, { keep }: StateFolder, world: World): Promise<OpenSelf> {
  const token = Buffer.from(await readSecret(disk, tokenFile))
    .toString()
    .trim();
  try {
    return await openSelf({ token, start: keep('start.json'), world });
  } catch (error) {
    const { code, message } = asMirrorError(error, 'TOKEN_INVALID', 'not read');
    if (hasCode(error, 'STATE_INVALID', 'STATE_NEWER', 'FILE_UNREADABLE')) throw error;
    throw new MirrorError(code, `${tokenFile}: ${message}`, { cause: error });
  }
}

async function openLog(disk: Disk, path: string, settings: Omit<AuditOptions, 'journal' | 'tail'>): Promise<Audit> {
  try {
    const tail = (maxBytes: number): Promise<Uint8Array> => endOfFile(disk, path, maxBytes);
    return await openAudit({ ...settings, journal: journalAt(disk, path), tail });
  } catch (error) {
    if (!hasCode(error, 'STATE_INVALID', 'STATE_NEWER')) throw error;
    throw new MirrorError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}

async function openStore({ store, stateDir }: Config, disk: Disk, world: World, log: Log): Promise<Store> {
  if (store.kind === 'layout') return openLayout(disk, join(stateDir, LAYOUT_DIR), world);
  // gRPC is a third of the memory of an idle node: only who needs it has it.
  const { createContainerdStore } = await import('../store/containerd.ts');
  return createContainerdStore({ ...store, world, log });
}

/** The last bytes of a file, at most `maxBytes`; none where it is absent. */
async function endOfFile(disk: Disk, path: string, maxBytes: number): Promise<Uint8Array> {
  const file = await disk.openRead(path);
  if (!file) return new Uint8Array(0);
  try {
    const { size } = await file.facts();
    const bytes = new Uint8Array(Math.min(size, maxBytes));
    return bytes.subarray(0, await file.read(bytes, size - bytes.length));
  } finally {
    await file.close();
  }
}

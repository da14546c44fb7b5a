/**
 * Where a node's policy comes from: the file of its configuration, the bundle that it kept, what an operator drops, what
 * other nodes send. Promises: all are judged by the same rules, one after the other, and again whenever the file or the roster
 * changes. Refuses to know the rules (policy-standing.ts). Spec: policy/POLICY.md, "Bundles".
 */
import type { Audit } from '../audit/audit.ts';
import { hasCode, MirrorError } from '../errors.ts';
import type { Members, Policies } from '../identity/identity.ts';
import type { Policy } from '../policy/policy.ts';
import type { Disk } from '../store/disk.ts';
import { packBundle, unpackBundle } from '../trust/policy-packing.ts';
import type { Keep, World } from '../world.ts';
import type { Log } from './log.ts';
import { PolicyFile, type ReadPolicy } from './policy-files.ts';
import { judgeBundle, loadWhole, signersOf } from './policy-judge.ts';
import { PolicyMarks } from './policy-marks.ts';
import { PolicyStanding } from './policy-standing.ts';

/** How often the policy's files are looked at, in milliseconds. */
const POLL_MS = 2_000;
/** What records name as the file of a bundle that came from a peer. */
const FROM_PEERS = 'another node';

export interface PolicySourceOptions {
  readonly disk: Disk;
  /** The policy or bundle of the configuration. */
  readonly file: string;
  /** The bundle in force, packed. */
  readonly bundleKeep: Keep;
  /** The highest serials that were in force. */
  readonly marksKeep: Keep;
  /** The cluster's id. */
  readonly cluster: string;
  readonly members: Pick<Members, 'roster' | 'onChange' | 'joinPolicies'>;
}

/** Where the policy in force came from, for a person. */
export interface PolicyFrom {
  /** Undefined where none ever was. */
  readonly file?: string;
  /** Ids of the keys that signed it. */
  readonly signers: readonly string[];
  /** Why what came after it is not in force. */
  readonly refused?: string;
}

/** Opens the policies of a node, and puts in force what is good. @throws STATE_INVALID, STATE_NEWER, FILE_UNREADABLE of a state file */
export async function openPolicies(options: PolicySourceOptions): Promise<PolicySource> {
  const source = new PolicySource(options, await PolicyMarks.open(options.marksKeep));
  await source.begin();
  return source;
}

export class PolicySource implements Policies {
  readonly #options: PolicySourceOptions;
  readonly #standing: PolicyStanding;
  readonly #file: PolicyFile;
  readonly #listeners: (() => void)[] = [];
  #log: Log | undefined;
  /** The roster under which all was judged last. */
  #roster = '';
  #turn: Promise<unknown> = Promise.resolve();

  /** Nothing is in force yet; use `openPolicies`. */
  constructor(options: PolicySourceOptions, marks: PolicyMarks) {
    const { disk, file, bundleKeep, members } = options;
    this.#options = options;
    this.#file = new PolicyFile(disk, file);
    this.#standing = new PolicyStanding({
      marks,
      bundleKeep,
      demand: () => members.roster.policy,
      changed: () => this.#listeners.forEach(listener => listener()),
    });
  }

  /** What is in force now. */
  now(): Policy {
    return this.#standing.policy;
  }

  /** Why this node has no good policy; undefined where it has one. */
  trouble(): string | undefined {
    return this.#standing.trouble;
  }

  /** Where the policy in force came from. */
  about(): PolicyFrom {
    const { bundle, current, refused } = this.#standing;
    const signers = bundle ? signersOf(bundle.sealed, this.#options.members.roster.policy) : [];
    return { ...(current ? { file: current.file } : {}), signers, ...(refused === undefined ? {} : { refused }) };
  }

  get policy(): Policies['policy'] {
    const { bundle } = this.#standing;
    return bundle && { serial: bundle.policy.serial, bytes: bundle.packed };
  }

  async offer(packed: Uint8Array): Promise<boolean> {
    const known = this.policy?.bytes;
    if (known && Buffer.from(known).equals(packed)) return false;
    // In turn, too: a peer may send many that are small until they are unpacked.
    return this.#inTurn(async () => this.#take(await unpackBundle(packed), FROM_PEERS, packed));
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Takes a bundle that an operator dropped. True when it is news and in force now. @throws BUNDLE_INVALID, POLICY_UNSIGNED,
   * POLICY_ROLLBACK, POLICY_INVALID, YAML_INVALID, PINS_INVALID, LIMIT_EXCEEDED, FILE_UNREADABLE, AUDIT_UNAVAILABLE
   */
  take(bytes: Uint8Array, file: string): Promise<boolean> {
    return this.#inTurn(() => this.#take(bytes, file));
  }

  /** Reads what was kept and what the file says; once. @throws STATE_INVALID, FILE_UNREADABLE of a state file */
  async begin(): Promise<void> {
    const { members } = this.#options;
    this.#roster = members.roster.jwt;
    await this.#inTurn(() => this.#readAll());
    members.joinPolicies(this);
    members.onChange(() => this.#newRoster());
  }

  /** Puts on record what happened so far, and from now on what happens. @throws AUDIT_UNAVAILABLE */
  async recordIn(audit: Audit, log: Log): Promise<void> {
    this.#log = log;
    await this.#inTurn(() => this.#standing.recordIn(audit, log));
  }

  /** Looks at the files now and then, until `life` ends. Never rejects. */
  async watch(world: Pick<World, 'sleep'>, life: AbortSignal): Promise<void> {
    for (;;) {
      await world.sleep(POLL_MS, life);
      if (life.aborted) return;
      await this.look().catch((error: unknown) => this.#later(error));
    }
  }

  /** Looks at the files once. @throws AUDIT_UNAVAILABLE, FILE_UNREADABLE of a state file */
  async look(): Promise<void> {
    if (await this.#file.changed()) await this.#inTurn(() => this.#readFile());
  }

  /** Resolves when what was begun is done. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  #later(error: unknown): void {
    this.#file.again();
    this.#log?.warn({ file: this.#options.file }, `the policy is looked at again: ${(error as Error).message}`);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** What a newer roster lets count no longer stops at once; then all is judged under it. */
  #newRoster(): void {
    const { jwt } = this.#options.members.roster;
    if (jwt === this.#roster) return;
    this.#roster = jwt;
    if (this.#standing.judgeAgain()) this.#inTurn(() => this.#readAll()).catch((error: unknown) => this.#later(error));
  }

  /** What was kept, where nothing is in force yet, and the file. @throws STATE_INVALID, FILE_UNREADABLE, AUDIT_UNAVAILABLE */
  async #readAll(): Promise<void> {
    const kept = this.#standing.current ? undefined : await this.#options.bundleKeep.read();
    if (kept) await this.#takeKept(kept);
    await this.#readFile();
  }

  async #takeKept(packed: Uint8Array): Promise<void> {
    const file = 'policy.bundle';
    try {
      await this.#take(await unpackBundle(packed), file, packed);
    } catch (error) {
      if (hasCode(error, 'FILE_UNREADABLE')) throw error;
      if (!hasCode(error, 'BUNDLE_INVALID')) return this.#standing.refuse(file, error);
      throw new MirrorError('STATE_INVALID', `the kept policy is damaged: remove it, other nodes send it again`, {
        cause: error,
      });
    }
  }

  /** Reads the file and settles what counts. @throws AUDIT_UNAVAILABLE, FILE_UNREADABLE of a state file */
  async #readFile(): Promise<void> {
    const { file } = this.#options;
    try {
      const read = await this.#read();
      if (read?.kind === 'bundle') await this.#take(read.bytes, file);
      if (read?.kind === 'text') this.#standing.keepLocal({ file, policy: loadWhole(read.text, file, read.files) });
    } catch (error) {
      if (hasCode(error, 'AUDIT_UNAVAILABLE', 'FILE_UNREADABLE')) throw error;
      await this.#standing.refuse(file, error);
    }
    await this.#standing.settle();
  }

  /** What the file says; undefined where it cannot be read, which is recorded. @throws AUDIT_UNAVAILABLE */
  async #read(): Promise<ReadPolicy | undefined> {
    try {
      return await this.#file.read();
    } catch (error) {
      await this.#standing.refuse(this.#options.file, error);
      return undefined;
    }
  }

  /** In turn. @throws as `take` */
  async #take(bytes: Uint8Array, file: string, packed?: Uint8Array): Promise<boolean> {
    const { cluster, members } = this.#options;
    const { policy, sealed } = judgeBundle(bytes, file, cluster, members.roster.policy);
    if (this.#standing.has(sealed.id)) return false;
    await this.#standing.take({ file, policy, sealed, packed: packed ?? (await packBundle(bytes)) });
    return true;
  }
}

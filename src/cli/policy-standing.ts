/**
 * The policy in force on a node, and what may follow it. Promises: nothing older comes back; what the roster lets count no
 * longer admits nothing new from that moment on; each policy is on disk and on record before it is in force, each refusal is
 * on record once. Refuses to know files, peers and turns: one call at a time. Spec: policy/POLICY.md, "Bundles".
 */
import type { Audit, Event } from '../audit/audit.ts';
import { asMirrorError, type Code, MirrorError } from '../errors.ts';
import type { PolicyDemand } from '../identity/policy-demand.ts';
import type { Policy } from '../policy/policy.ts';
import type { Keep } from '../world.ts';
import type { Log } from './log.ts';
import { frozen, noPolicy } from './policy-frozen.ts';
import { type Candidate, counts, judgeLoaded, signersOf } from './policy-judge.ts';
import type { PolicyMarks } from './policy-marks.ts';

/** Refusals that are remembered, so that each is told once. */
const TOLD_MAX = 64;
/** Characters of a key's id in records. */
const SIGNER_CHARS = 16;

/** A bundle with what goes to other nodes, as it is kept. */
export type Bundled = Candidate & { readonly sealed: NonNullable<Candidate['sealed']>; readonly packed: Uint8Array };
const isBundled = (candidate: Candidate | undefined): candidate is Bundled => candidate?.sealed !== undefined;

export interface StandingOptions {
  readonly marks: PolicyMarks;
  /** The bundle in force, packed. */
  readonly bundleKeep: Keep;
  /** What the roster in force demands. */
  readonly demand: () => PolicyDemand | undefined;
  /** Hears of each change of what is in force. */
  readonly changed: () => void;
}

export class PolicyStanding {
  readonly #options: StandingOptions;
  #current: Candidate | undefined;
  #policy: Policy = noPolicy();
  /** The last bundle that was in force. */
  #bundle: Bundled | undefined;
  /** The last unsigned policy that the file said. */
  #local: Candidate | undefined;
  #trouble: string | undefined = 'no policy was read yet';
  /** What was refused since the policy in force came. */
  #refused: { readonly code: Code; readonly said: string } | undefined;
  /** What was refused and is on record, by its text. */
  readonly #told = new Set<string>();
  #audit: Audit | undefined;
  #log: Log | undefined;
  /** What happened before there was a log. */
  readonly #early: Event[] = [];
  /** Signatures are over all of a bundle: what was judged last is not judged again. */
  #judged: { candidate: Candidate; demand: PolicyDemand | undefined; counts: boolean } | undefined;

  constructor(options: StandingOptions) {
    this.#options = options;
  }

  /** What is in force now. */
  get policy(): Policy {
    return this.#policy;
  }

  /** The candidate that is in force, frozen or not; undefined where there never was one. */
  get current(): Candidate | undefined {
    return this.#current;
  }

  /** Why there is no good policy; undefined where there is one. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** What was refused while the policy in force stays, for a person; that an unsigned file counts not beside a bundle is no news. */
  get refused(): string | undefined {
    if (!this.#current || (this.bundle && this.#refused?.code === 'POLICY_UNSIGNED')) return undefined;
    return this.#refused?.said;
  }

  /** True while what was in force admits nothing new. */
  get isFrozen(): boolean {
    return this.#current !== undefined && this.#policy !== this.#current.policy;
  }

  /** The bundle in force; undefined where none is. */
  get bundle(): Bundled | undefined {
    return isBundled(this.#current) && !this.isFrozen ? this.#current : undefined;
  }

  /** Puts on record what happened so far, and from now on what happens. @throws AUDIT_UNAVAILABLE */
  async recordIn(audit: Audit, log: Log): Promise<void> {
    for (let event = this.#early.shift(); event; event = this.#early.shift()) await audit.record(event);
    this.#audit = audit;
    this.#log = log;
    if (this.#trouble) log.warn({}, `not ready: ${this.#trouble}`);
  }

  /** Another roster may be in force: what it lets count no longer stops at once. True where all is to be settled again. */
  judgeAgain(): boolean {
    const current = this.#current;
    if (!current) return true;
    const stands = this.#counts(current);
    if (!stands && !this.isFrozen) this.#freeze(current);
    return stands === this.isFrozen || !stands;
  }

  /** Keeps what an unsigned file says, where it may come into force. @throws POLICY_UNSIGNED, POLICY_ROLLBACK */
  keepLocal(candidate: Candidate): void {
    // Beside a bundle that counts its serial means nothing, unless the roster takes signed ones only.
    if (this.#options.demand()?.requireSigned || !this.#standing()) this.#admissible(candidate);
    this.#local = candidate;
  }

  /** True where a bundle with that content counts already. */
  has(id: string): boolean {
    return this.#standing()?.sealed.id === id;
  }

  /** Puts a bundle in force that was judged. @throws POLICY_ROLLBACK, POLICY_UNSIGNED, FILE_UNREADABLE, AUDIT_UNAVAILABLE */
  async take(bundle: Bundled): Promise<void> {
    this.#admissible(bundle);
    await this.#enforce(bundle);
  }

  /** Refuses what is older than what was in force, or does not count. @throws BUNDLE_INVALID, POLICY_UNSIGNED, POLICY_ROLLBACK */
  #admissible(candidate: Candidate): void {
    judgeLoaded(candidate, this.#options.demand());
    this.#options.marks.judge(candidate);
  }

  /** Puts in force what counts now: the bundle, else what the file said, else nothing new. @throws FILE_UNREADABLE, AUDIT_UNAVAILABLE */
  async settle(): Promise<void> {
    const good = this.#standing() ?? (await this.#unsigned());
    if (good) return good === this.#current && !this.isFrozen ? undefined : this.#enforce(good);
    if (this.#current && !this.isFrozen) this.#freeze(this.#current);
  }

  /** Says once what was refused; the last good policy stays. @throws AUDIT_UNAVAILABLE */
  async refuse(file: string, error: unknown): Promise<void> {
    const { code, message } = asMirrorError(error, 'POLICY_INVALID', file);
    const said = message.includes(file) ? message : `${file}: ${message}`;
    if (!this.#current) this.#trouble = said;
    this.#refused = { code, said };
    if (this.#told.has(said)) return;
    const stays = this.#current ? 'the last good policy stays in force' : 'no policy is in force';
    this.#log?.warn({ file, code }, `${said}; ${stays}`);
    await this.#record({ event: 'policy.refused', file, code });
    if (this.#told.size >= TOLD_MAX) this.#told.clear();
    this.#told.add(said);
  }

  /** The last bundle, where it counts. */
  #standing(): Bundled | undefined {
    return this.#bundle && this.#counts(this.#bundle) ? this.#bundle : undefined;
  }

  #counts(candidate: Candidate): boolean {
    const demand = this.#options.demand();
    if (this.#judged?.candidate !== candidate || this.#judged.demand !== demand)
      this.#judged = { candidate, demand, counts: counts(candidate, demand) };
    return this.#judged.counts;
  }

  /** The unsigned policy that counts: what the file said last, else what was in force. */
  async #unsigned(): Promise<Candidate | undefined> {
    for (const candidate of [this.#local, this.#current]) {
      if (!candidate || candidate.sealed) continue;
      try {
        this.#admissible(candidate);
        return candidate;
      } catch (error) {
        await this.refuse(candidate.file, error);
      }
    }
    return undefined;
  }

  /** On disk, on record, in force. @throws FILE_UNREADABLE, AUDIT_UNAVAILABLE */
  async #enforce(next: Candidate): Promise<void> {
    const { marks, bundleKeep, changed } = this.#options;
    const { policy, sealed, file } = next;
    if (isBundled(next) && next.packed !== this.#bundle?.packed) await bundleKeep.write(next.packed);
    await marks.raise(next);
    const { hash, serial } = policy;
    const signers = sealed && signersOf(sealed, this.#options.demand()).map(id => id.slice(0, SIGNER_CHARS));
    await this.#record({
      event: 'policy.loaded',
      file,
      hash,
      serial,
      ...(signers ? { signers: signers.join(' ') } : {}),
    });
    // A roster that came meanwhile has the last word.
    if (!this.#counts(next))
      throw new MirrorError('POLICY_UNSIGNED', `${file}: another roster came, and it counts no more`);
    this.#current = next;
    if (isBundled(next)) this.#bundle = next;
    this.#policy = policy;
    this.#trouble = undefined;
    this.#refused = undefined;
    this.#told.clear();
    this.#log?.info({ file, serial }, `the policy ${policy.name} ${serial} is in force`);
    changed();
  }

  #freeze({ policy }: Candidate): void {
    this.#policy = frozen(policy);
    this.#trouble = `the policy ${policy.name} ${policy.serial} holds no longer under the roster in force`;
    this.#options.changed();
  }

  async #record(event: Event): Promise<void> {
    if (this.#audit) await this.#audit.record(event);
    else this.#early.push(event);
  }
}

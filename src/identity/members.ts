/**
 * Who the others are. Promises: nobody counts whom the issuer that counts does not name; the highest roster ever seen is in
 * force, also after a restart; under an expired one whom it knows stays and nobody new comes. Order of judgement: proof of
 * the credential, its holder, its time, the roster's time, revocation. Refuses to know transport. Spec: IDENTITY.md.
 */
import { hasCode, MirrorError } from '../errors.ts';
import type { Node, PeerId } from '../oci/oci.ts';
import { CLOCK_SKEW_MS, type World } from '../world.ts';
import { type Proved, proveCredential } from './credential.ts';
import { epochOf } from './handover.ts';
import type { Members, Policies } from './identity.ts';
import { isProved, newestRoster } from './kept-roster.ts';
import { Known, MEMBERS_MAX } from './known.ts';
import { readCredentials } from './members-file.ts';
import { Keeping, type KeepingOptions } from './members-keeping.ts';
import { issuersOf, type Roster, readRoster, revokes, under } from './roster.ts';
import type { OpenSelf } from './self.ts';
import { claimedIssuer, urnOf } from './signed.ts';

export interface MembersOptions extends KeepingOptions {
  readonly self: Pick<OpenSelf, 'cluster' | 'peer' | 'roster' | 'lowestSeq' | 'credential' | 'node' | 'renew'>;
  readonly world: Pick<World, 'now' | 'sleep'>;
}

/** Opens what is known of the cluster. @throws STATE_INVALID, STATE_NEWER, FILE_UNREADABLE */
export async function openMembers(options: MembersOptions): Promise<OpenMembers> {
  const roster = await newestRoster(options.self, options.rosterKeep);
  const members = new OpenMembers(options, roster);
  for (const jwt of await readCredentials(options.credentialsKeep)) await members.remember(jwt);
  await members.remember(options.self.credential());
  return members;
}

const namesOf = (roster: Roster): readonly string[] =>
  issuersOf(roster).map(key => Buffer.from(key).toString('base64url'));

type Listener = Parameters<Members['onChange']>[0];

export class OpenMembers implements Members {
  readonly #options: MembersOptions;
  readonly #known = new Known();
  readonly #listeners: Listener[] = [];
  #roster: Roster;
  /** Whose credentials count under it, base64url, the newest first; looked at for each holder of a content. */
  #issuers: readonly string[];
  /** The newest `iat` that the issuer was seen to set; the clock is not believed below it. */
  #floor: number;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #keeping: Keeping;
  #policies: Policies | undefined;

  /** Knows nobody yet; use `openMembers`. */
  constructor(options: MembersOptions, roster: Roster) {
    this.#options = options;
    this.#roster = roster;
    this.#issuers = namesOf(roster);
    this.#floor = roster.issuedAt;
    this.#keeping = new Keeping(options, {
      roster: () => this.#roster.jwt,
      credentials: () => [...this.credentials().values()],
      inTurn: work => this.#inTurn(work),
    });
  }

  get roster(): Roster {
    return this.#roster;
  }

  async admit(credential: string, peer: PeerId): Promise<Node> {
    try {
      const proved = await this.#prove(credential, peer);
      this.#judge(proved);
      this.#take(proved);
      return this.node(peer) ?? proved.node;
    } catch (error) {
      // It may have been renewed while it was away: what counts is what the issuer said last of this key.
      const known = this.#mayHaveEnded(credential, error) ? this.node(peer) : undefined;
      if (known) return known;
      throw error;
    }
  }

  node(peer: PeerId): Node | undefined {
    const entry = this.#known.get(peer);
    return entry && this.#holds(entry) ? entry.node : undefined;
  }

  nodes(): readonly Node[] {
    return [...this.#known.entries()].filter(entry => this.#holds(entry)).map(({ node }) => node);
  }

  /** How many of the known hold a credential by the newest issuer that the roster names. */
  byNewestIssuer(): number {
    const [newest] = this.#issuers;
    return [...this.#known.entries()].filter(entry => entry.issuer === newest && this.#holds(entry)).length;
  }

  credentials(): ReadonlyMap<PeerId, string> {
    return new Map([...this.#known.entries()].map(({ node, jwt }) => [node.peer, jwt]));
  }

  /** As the port says; `credentials` by its issuers are put in force with it, so that whom they name is not cut off. */
  async offerRoster(jwt: string, credentials: readonly string[] = []): Promise<boolean> {
    return this.#inTurn(() => this.#force(jwt, credentials));
  }

  async offerCredential(jwt: string): Promise<boolean> {
    // A roster that came before it may name the issuer that signed it.
    await this.#turn;
    const proved = await this.#prove(jwt);
    this.#judge(proved);
    return this.#take(proved);
  }

  onChange(listener: Listener): void {
    this.#listeners.push(listener);
  }

  get policy(): Policies['policy'] {
    return this.#policies?.policy;
  }

  async offerPolicy(bytes: Uint8Array): Promise<boolean> {
    return (await this.#policies?.offer(bytes)) ?? false;
  }

  joinPolicies(policies: Policies): void {
    this.#policies = policies;
    policies.onChange(() => this.#tell([], []));
  }

  /** Takes a credential from this node's own disk or token, and leaves it where it does not hold any more. */
  async remember(jwt: string): Promise<void> {
    try {
      const proved = await this.#prove(jwt);
      if (this.#stands(proved)) this.#take(proved);
    } catch {
      // Kept by an older version or for another cluster: its owner shows a good one when it comes.
    }
  }

  /** Resolves when what is known is on disk. */
  async settled(): Promise<void> {
    await this.#turn;
    await this.#keeping.settled();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #now(): number {
    return Math.max(this.#options.world.now(), this.#floor);
  }

  #prove(jwt: string, peer?: PeerId, roster = this.#roster): Promise<Proved> {
    return proveCredential(jwt, this.#options.self.cluster.id, roster, peer);
  }

  /** A thief of an issuer's key may have given it one by a key that nobody here ever followed: it says this cluster, too. */
  #mayHaveEnded(credential: string, error: unknown): boolean {
    if (hasCode(error, 'CREDENTIAL_INVALID')) return claimedIssuer(credential) === urnOf(this.#options.self.cluster.id);
    return hasCode(error, 'CREDENTIAL_EXPIRED', 'CREDENTIAL_REVOKED');
  }

  /** True where the roster in force leaves a credential standing, whatever the time. */
  #stands({ node, issuer }: Proved): boolean {
    return this.#issuers.includes(issuer) && !revokes(this.#roster, node);
  }

  #holds(entry: Proved): boolean {
    return this.#now() <= entry.node.expiresAt + CLOCK_SKEW_MS && this.#stands(entry);
  }

  #judge(proved: Proved): void {
    const { node } = proved;
    const now = this.#now();
    if (now > node.expiresAt + CLOCK_SKEW_MS)
      throw new MirrorError('CREDENTIAL_EXPIRED', `the credential of ${node.name} has expired: renew it`);
    if (now > this.#roster.expiresAt + CLOCK_SKEW_MS && !this.#known.get(node.peer))
      throw new MirrorError(
        'ROSTER_EXPIRED',
        `roster ${this.#roster.seq} has expired: nobody new, run \`pinnace roster sign\``,
      );
    if (!this.#stands(proved))
      throw new MirrorError(
        'CREDENTIAL_REVOKED',
        `roster ${this.#roster.seq} takes back the credential of ${node.name}`,
      );
  }

  #take(proved: Proved): boolean {
    const { node, jwt } = proved;
    if (this.#known.get(node.peer)?.jwt === jwt) return false;
    this.#makeRoom();
    const { news, replaced } = this.#known.take(proved);
    if (!news) return false;
    this.#floor = Math.max(this.#floor, node.issuedAt);
    if (node.peer === this.#options.self.peer) this.#options.self.renew(jwt, node);
    this.#keeping.changed();
    this.#tell(replaced === undefined ? [] : [replaced], [node]);
    return true;
  }

  /** Whose credential expired or was taken back makes room for others, but only where there is none. */
  #makeRoom(): void {
    const entries = [...this.#known.entries()];
    if (entries.length < MEMBERS_MAX) return;
    for (const entry of entries) if (!this.#holds(entry)) this.#known.drop(entry.node.peer);
  }

  async #force(jwt: string, credentials: readonly string[]): Promise<boolean> {
    if (jwt === this.#roster.jwt) {
      await this.#keeping.keepUnwritten();
      return false;
    }
    const offered = await this.#readOffered(jwt);
    if (offered.seq <= this.#roster.seq)
      throw new MirrorError('ROSTER_ROLLBACK', `roster ${offered.seq} is offered, but ${this.#roster.seq} is in force`);
    const fresh = await this.#proveAll(credentials, offered);
    const before = this.nodes();
    // Who stole an issuer's key may have dated what he signed as he liked.
    const recovered = epochOf(offered.seq) > epochOf(this.#roster.seq);
    this.#floor = recovered ? offered.issuedAt : Math.max(this.#floor, offered.issuedAt);
    this.#roster = offered;
    this.#issuers = namesOf(offered);
    for (const entry of this.#known.entries()) if (!this.#stands(entry)) this.#known.drop(entry.node.peer);
    const accepted = this.#takeAll(fresh);
    const revoked = before.filter(({ peer }) => !this.#known.get(peer)).map(({ peer }) => peer);
    this.#keeping.changed();
    // In force before it is on disk: a full disk must not let a revoked node stay.
    this.#tell(revoked, accepted);
    await this.#keeping.keepRoster();
    return true;
  }

  /** @throws ROSTER_INVALID, ROSTER_ROLLBACK where only an issuer before the one that rules can have signed it */
  async #readOffered(jwt: string): Promise<Roster> {
    const { cluster } = this.#options.self;
    try {
      return await readRoster(jwt, under(cluster, this.#roster));
    } catch (error) {
      if (!hasCode(error, 'ROSTER_INVALID') || !(await isProved(jwt, cluster))) throw error;
      throw new MirrorError('ROSTER_ROLLBACK', 'the roster that is offered is by an issuer that was replaced');
    }
  }

  /** Those that a roster leaves standing; the rest is offered one by one, and refused with a code each. */
  async #proveAll(credentials: readonly string[], roster: Roster): Promise<readonly Proved[]> {
    const proved: Proved[] = [];
    for (const jwt of credentials) {
      const one = await this.#prove(jwt, undefined, roster).catch(() => undefined);
      if (one) proved.push(one);
    }
    return proved;
  }

  #takeAll(fresh: readonly Proved[]): readonly Node[] {
    return fresh.flatMap(proved => {
      const { node, jwt } = proved;
      try {
        if (!this.#holds(proved) || !this.#known.take(proved).news) return [];
      } catch (error) {
        if (error instanceof MirrorError) return [];
        throw error;
      }
      if (node.peer === this.#options.self.peer) this.#options.self.renew(jwt, node);
      return [node];
    });
  }

  #tell(revoked: readonly PeerId[], accepted: readonly Node[]): void {
    for (const listener of this.#listeners) listener(revoked, accepted);
  }
}

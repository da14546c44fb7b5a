/**
 * Who the others are. Promises: nobody counts whom the issuer's key does not name; the highest roster ever seen is in
 * force, also after a restart; under an expired one whom it knows stays and nobody new comes. Order of judgement: proof of
 * the credential, its holder, its time, the roster's time, revocation. Refuses to know transport.
 */
import { MirrorError } from '../errors.ts';
import type { Node, PeerId } from '../oci/oci.ts';
import { CLOCK_SKEW_MS, type Keep, type World } from '../world.ts';
import { readCredential } from './credential.ts';
import { type Cluster, type Members } from './identity.ts';
import { Known, MEMBERS_MAX } from './known.ts';
import { readCredentials, writeCredentials } from './members-file.ts';
import { type Roster, readRoster, revokes } from './roster.ts';
import type { OpenSelf } from './self.ts';

/** How long new credentials may wait to be written, in milliseconds: a whole cluster that joins costs a few writes. */
const FLUSH_MS = 1000;

export interface MembersOptions {
  readonly self: Pick<OpenSelf, 'cluster' | 'peer' | 'roster' | 'lowestSeq' | 'credential' | 'node' | 'renew'>;
  /** The roster in force, as a JWT. */
  readonly rosterKeep: Keep;
  /** The newest credential of each member. */
  readonly credentialsKeep: Keep;
  readonly world: Pick<World, 'now' | 'sleep'>;
  /** The daemon's life. */
  readonly signal: AbortSignal;
}

/** Opens what is known of the cluster. @throws STATE_INVALID, STATE_NEWER, FILE_UNREADABLE */
export async function openMembers(options: MembersOptions): Promise<OpenMembers> {
  const roster = await newestRoster(options);
  const members = new OpenMembers(options, roster);
  for (const jwt of await readCredentials(options.credentialsKeep)) await members.remember(jwt);
  await members.remember(options.self.credential());
  return members;
}

async function newestRoster({ self, rosterKeep }: MembersOptions): Promise<Roster> {
  const bytes = await rosterKeep.read();
  const kept = bytes && (await readKept(bytes, self.cluster));
  if (kept && kept.seq >= self.roster.seq) return kept;
  // The token's may be newer; another token, with an older one, may come after it.
  await rosterKeep.write(Buffer.from(self.roster.jwt));
  return self.roster;
}

async function readKept(bytes: Uint8Array, cluster: Cluster): Promise<Roster> {
  try {
    return await readRoster(Buffer.from(bytes).toString(), cluster);
  } catch (error) {
    const text = 'the kept roster is damaged or of another cluster: put the newest roster.jwt in its place';
    throw new MirrorError('STATE_INVALID', text, { cause: error });
  }
}

export class OpenMembers implements Members {
  readonly #options: MembersOptions;
  readonly #cluster: Cluster;
  readonly #known = new Known();
  readonly #listeners: ((revoked: readonly PeerId[]) => void)[] = [];
  #roster: Roster;
  /** True while the roster in force could not be written. */
  #unwritten = false;
  /** The newest `iat` that the issuer was seen to set; the clock is not believed below it. */
  #floor: number;
  #turn: Promise<unknown> = Promise.resolve();
  #dirty = false;
  #flushing: Promise<void> | undefined;

  /** Knows nobody yet; use `openMembers`. */
  constructor(options: MembersOptions, roster: Roster) {
    this.#options = options;
    this.#cluster = options.self.cluster;
    this.#roster = roster;
    this.#floor = roster.issuedAt;
  }

  get roster(): Roster {
    return this.#roster;
  }

  async admit(credential: string, peer: PeerId): Promise<Node> {
    const node = await readCredential(credential, this.#cluster, peer);
    this.#judge(node);
    this.#take(credential, node);
    return this.node(node.peer) ?? node;
  }

  node(peer: PeerId): Node | undefined {
    const node = this.#known.get(peer)?.node;
    return node && this.#holds(node) ? node : undefined;
  }

  nodes(): readonly Node[] {
    return [...this.#known.entries()].map(({ node }) => node).filter(node => this.#holds(node));
  }

  credentials(): ReadonlyMap<PeerId, string> {
    return new Map([...this.#known.entries()].map(({ node, jwt }) => [node.peer, jwt]));
  }

  async offerRoster(jwt: string): Promise<boolean> {
    const offered = await readRoster(jwt, this.#cluster);
    const turn = this.#turn.then(() => this.#force(offered));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async offerCredential(jwt: string): Promise<boolean> {
    const node = await readCredential(jwt, this.#cluster);
    this.#judge(node);
    return this.#take(jwt, node);
  }

  onChange(listener: (revoked: readonly PeerId[]) => void): void {
    this.#listeners.push(listener);
  }

  /** Takes a credential from this node's own disk or token, and leaves it where it does not hold any more. */
  async remember(jwt: string): Promise<void> {
    try {
      const node = await readCredential(jwt, this.#cluster);
      if (!revokes(this.#roster, node)) this.#take(jwt, node);
    } catch {
      // Kept by an older version or for another cluster: its owner shows a good one when it comes.
    }
  }

  /** Resolves when what is known is on disk. */
  async settled(): Promise<void> {
    await this.#turn;
    await this.#flushing;
  }

  #now(): number {
    return Math.max(this.#options.world.now(), this.#floor);
  }

  #holds(node: Node): boolean {
    return this.#now() <= node.expiresAt + CLOCK_SKEW_MS && !revokes(this.#roster, node);
  }

  #judge(node: Node): void {
    const now = this.#now();
    if (now > node.expiresAt + CLOCK_SKEW_MS)
      throw new MirrorError('CREDENTIAL_EXPIRED', `the credential of ${node.name} has expired: give it a new token`);
    if (now > this.#roster.expiresAt + CLOCK_SKEW_MS && !this.#known.get(node.peer))
      throw new MirrorError(
        'ROSTER_EXPIRED',
        `roster ${this.#roster.seq} has expired: nobody new, run \`pinnace roster sign\``,
      );
    if (revokes(this.#roster, node))
      throw new MirrorError(
        'CREDENTIAL_REVOKED',
        `roster ${this.#roster.seq} takes back the credential of ${node.name}`,
      );
  }

  #take(jwt: string, node: Node): boolean {
    if (this.#known.get(node.peer)?.jwt === jwt) return false;
    this.#makeRoom();
    const { news, replaced } = this.#known.take({ jwt, node });
    if (!news) return false;
    this.#floor = Math.max(this.#floor, node.issuedAt);
    if (node.peer === this.#options.self.peer) this.#options.self.renew(jwt, node);
    this.#flush();
    this.#tell(replaced === undefined ? [] : [replaced]);
    return true;
  }

  /** Whose credential expired or was taken back makes room for others, but only where there is none. */
  #makeRoom(): void {
    const entries = [...this.#known.entries()];
    if (entries.length < MEMBERS_MAX) return;
    for (const { node } of entries) if (!this.#holds(node)) this.#known.drop(node.peer);
  }

  async #force(offered: Roster): Promise<boolean> {
    if (offered.jwt === this.#roster.jwt) {
      if (this.#unwritten) await this.#keepRoster();
      return false;
    }
    if (offered.seq <= this.#roster.seq)
      throw new MirrorError('ROSTER_ROLLBACK', `roster ${offered.seq} is offered, but ${this.#roster.seq} is in force`);
    const before = this.nodes();
    this.#roster = offered;
    this.#floor = Math.max(this.#floor, offered.issuedAt);
    const revoked = before.filter(node => revokes(offered, node)).map(node => node.peer);
    for (const { node } of this.#known.entries()) if (revokes(offered, node)) this.#known.drop(node.peer);
    // In force before it is on disk: a full disk must not let a revoked node stay.
    this.#tell(revoked);
    await this.#keepRoster();
    return true;
  }

  async #keepRoster(): Promise<void> {
    this.#unwritten = true;
    await this.#options.rosterKeep.write(Buffer.from(this.#roster.jwt));
    this.#unwritten = false;
  }

  #tell(revoked: readonly PeerId[]): void {
    for (const listener of this.#listeners) listener(revoked);
  }

  #flush(): void {
    this.#dirty = true;
    this.#flushing ??= this.#write().finally(() => {
      this.#flushing = undefined;
    });
  }

  async #write(): Promise<void> {
    while (this.#dirty) {
      await this.#options.world.sleep(FLUSH_MS, this.#options.signal);
      this.#dirty = false;
      try {
        await writeCredentials(this.#options.credentialsKeep, [...this.credentials().values()]);
      } catch {
        // What could not be kept is shown again by its owner; a full disk must not end the cluster.
        return;
      }
    }
  }
}

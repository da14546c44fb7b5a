/**
 * What follows when the cluster's members change. Promises: whom the issuer shut out loses its links at once, recorded
 * first, and also where the record fails; a new roster, new credentials and a new policy bundle go round. Refuses to judge
 * any of them.
 */
import type { PeerId } from '../oci/oci.ts';
import type { World } from '../world.ts';
import { encodeItem } from './intake.ts';
import type { Log, Membership, RecordEvent } from './peers.ts';
import type { ControlWire } from './wire.ts';

/** Changes within this time are told together. */
const GATHER_MS = 100;
/** More new credentials at once are left to sync. */
const CREDENTIALS_AT_ONCE = 32;

export interface MemberWatchOptions {
  readonly world: World;
  readonly wire: ControlWire;
  readonly members: Membership;
  readonly record: RecordEvent;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Before the links of a peer are closed. */
  readonly shutOut: (peer: PeerId) => void;
  /** Sends an item round. */
  readonly news: (item: Uint8Array) => Promise<void>;
  /** Sends a policy bundle round, as an item. */
  readonly newPolicy: (item: Uint8Array) => Promise<void>;
}

export class MemberWatch {
  readonly #options: MemberWatchOptions;
  readonly #told = new Map<PeerId, string>();
  #roster: number;
  #recorded: number;
  #policy: number;
  #gathering = false;

  constructor(options: MemberWatchOptions) {
    this.#options = options;
    this.#roster = options.members.roster.seq;
    this.#recorded = this.#roster;
    this.#policy = options.members.policy?.serial ?? 0;
  }

  /** Begins to listen; what is known now is no news. */
  start(): void {
    const { wire, members, log } = this.#options;
    for (const [peer, jwt] of members.credentials()) this.#told.set(peer, jwt);
    // Whoever was shut out between its greeting and its link.
    wire.onLink(({ peer, address }, open) => {
      if (open && !members.node(peer)) void this.#tooLate(peer, address);
    });
    members.onChange(revoked => {
      this.#newRoster();
      for (const peer of revoked)
        this.#shutOut(peer).catch((error: unknown) => log('warn', `shutting out ${peer}: ${String(error)}`, { peer }));
      void this.#gather();
    });
  }

  /** Looks for a policy bundle that came meanwhile. */
  look(): void {
    if ((this.#options.members.policy?.serial ?? 0) > this.#policy) void this.#gather();
  }

  /** Closes links with peers whose credential ended meanwhile. Never rejects. */
  async check(): Promise<void> {
    this.look();
    const { wire, members, record, log } = this.#options;
    for (const { peer, address } of wire.links()) {
      if (members.node(peer)) continue;
      await record({ event: 'peer.refused', peer, address, code: 'CREDENTIAL_EXPIRED' }).catch((error: unknown) =>
        log('warn', `no record of ${peer}: ${String(error)}`),
      );
      await wire.disconnect(peer);
    }
  }

  /** Cuts the peer off at once: a disk that is slow to record it must not keep it connected. */
  async #shutOut(peer: PeerId): Promise<void> {
    const { wire, record, shutOut } = this.#options;
    shutOut(peer);
    const recorded = record({ event: 'peer.revoked', peer });
    await Promise.all([wire.disconnect(peer), recorded]);
  }

  /** Never rejects. */
  async #tooLate(peer: PeerId, address: string): Promise<void> {
    const { wire, record, log } = this.#options;
    const refused = { event: 'peer.refused', peer, address, code: 'CREDENTIAL_REVOKED' } as const;
    const unrecorded = (error: unknown): void => log('warn', `no record of ${peer}: ${String(error)}`);
    await Promise.all([wire.disconnect(peer), record(refused).catch(unrecorded)]);
  }

  #newRoster(): void {
    const { members, record, log } = this.#options;
    const { seq, expiresAt } = members.roster;
    if (seq <= this.#recorded) return;
    this.#recorded = seq;
    record({ event: 'roster.accepted', seq, expiresAt }).catch((error: unknown) =>
      log('warn', `no record of roster ${seq}: ${String(error)}`),
    );
  }

  async #gather(): Promise<void> {
    if (this.#gathering) return;
    this.#gathering = true;
    const { world, signal, members, news, newPolicy } = this.#options;
    await world.sleep(GATHER_MS, signal);
    this.#gathering = false;
    if (signal.aborted) return;
    if (members.roster.seq > this.#roster) {
      this.#roster = members.roster.seq;
      await news(encodeItem('roster', members.roster.jwt));
    }
    // After the roster, which says whose signatures count.
    const { policy } = members;
    if (policy && policy.serial > this.#policy) {
      this.#policy = policy.serial;
      await newPolicy(encodeItem('policy', policy.bytes));
    }
    const fresh = [...members.credentials()].filter(
      ([peer, jwt]) => this.#told.get(peer) !== jwt && members.node(peer),
    );
    for (const [peer, jwt] of fresh) this.#told.set(peer, jwt);
    for (const peer of this.#told.keys()) if (!members.node(peer)) this.#told.delete(peer);
    if (fresh.length <= CREDENTIALS_AT_ONCE) for (const [, jwt] of fresh) await news(encodeItem('credential', jwt));
  }
}

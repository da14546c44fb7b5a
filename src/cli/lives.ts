/**
 * What of a node's identity and policy ends, and what changes in the identity. Promises: what ends soon is said once a day while it does, in the
 * log and on record; each new issuer and each newer credential is on record as soon as it is in force. Refuses to judge
 * members. Spec: identity/IDENTITY.md, "Judging".
 */
import type { Event } from '../audit/audit.ts';
import { type Life, stageOf } from '../identity/lifetime.ts';
import { issuersOf } from '../identity/roster.ts';
import type { Ground } from './ground.ts';

/** How often it is looked at. */
const LOOK_MS = 3_600_000;
/** The same is said again after so long. */
const AGAIN_MS = 86_400_000;

/** What has a life; a policy need not have an end. */
export interface Lives {
  readonly roster: Life;
  readonly credential: Life;
  readonly policy?: Life;
}

/** Something that ends soon, or has ended. */
export interface Notice {
  readonly what: keyof Lives;
  readonly stage: 'ending' | 'ended';
  readonly expiresAt: number;
  /** What a person reads and does. */
  readonly text: string;
}

const iso = (at: number): string => new Date(at).toISOString();

const TEXTS: Readonly<Record<keyof Lives, Readonly<Record<Notice['stage'], (at: string) => string>>>> = {
  roster: {
    ending: at => `the roster ends ${at}: sign a new one with pinnace roster sign`,
    ended: at => `frozen: the roster ended ${at}, so no new node is admitted: sign a new one with pinnace roster sign`,
  },
  credential: {
    ending: at => `this node's credential ends ${at}: make a new one with pinnace credential renew`,
    ended: at => `this node's credential ended ${at}, so it is shut out: make a new one with pinnace credential renew`,
  },
  policy: {
    ending: at => `the policy ends ${at}: bring one with a higher serial`,
    ended: at => `the policy ended ${at}, so nothing new is admitted: bring one with a higher serial`,
  },
};

/** What ends soon or has ended at `now`, in milliseconds since 1970. */
export function noticesOf(lives: Lives, now: number): readonly Notice[] {
  return (['roster', 'credential', 'policy'] as const).flatMap(what => {
    const life = lives[what];
    const stage = life ? stageOf(life, now) : 'good';
    if (!life || stage === 'good') return [];
    return [{ what, stage, expiresAt: life.expiresAt, text: TEXTS[what][stage](iso(life.expiresAt)) }];
  });
}

/** Whose lives are looked at. */
type Living = Pick<Ground, 'members' | 'self'> & { readonly policy: Pick<Ground['policy'], 'now' | 'trouble'> };
type LifeRooms = Living & Pick<Ground, 'audit' | 'log' | 'world' | 'life'>;

/** The lives of a node that runs. */
export function livesOf({ members, self, policy }: Living): Lives {
  const { issuedAt, expiresAt } = policy.now();
  // One that the roster lets count no longer is told as a trouble, and its end is not its own.
  const ends = expiresAt === undefined || policy.trouble() ? {} : { policy: { issuedAt, expiresAt } };
  return { roster: members.roster, credential: self.node(), ...ends };
}

/** Says what ends until the daemon's life does. Never rejects. */
export async function watchLives(rooms: LifeRooms): Promise<void> {
  const { world, life, log } = rooms;
  const told = new Map<string, number>();
  while (!life.aborted) {
    const now = world.now();
    for (const { what, stage, expiresAt, text } of noticesOf(livesOf(rooms), now)) {
      const key = `${what} ${stage} ${expiresAt}`;
      const before = told.get(key);
      if (before !== undefined && Math.abs(now - before) < AGAIN_MS) continue;
      told.set(key, now);
      log.warn({ what, expiresAt: iso(expiresAt) }, text);
      void record(rooms, { event: 'identity.expiring', what, stage, expiresAt });
    }
    await world.sleep(LOOK_MS, life);
  }
}

/** Records new issuers and newer credentials from now on. */
export function recordChanges(rooms: LifeRooms): void {
  const { members, self, log } = rooms;
  const key = (raw: Uint8Array): string => Buffer.from(raw).toString('base64url');
  const issuers = (): string => issuersOf(members.roster).map(key).join();
  let last = issuers();
  members.onChange((revoked, accepted) => {
    const { seq, signer, next } = members.roster;
    if (issuers() !== last) {
      last = issuers();
      log.info({ seq }, next ? 'the roster names the next issuer' : 'another issuer counts from now on');
      void record(rooms, { event: 'issuer.changed', seq, issuer: key(signer), ...(next ? { next: key(next) } : {}) });
    }
    for (const { peer, name, expiresAt } of accepted)
      void record(rooms, { event: 'credential.accepted', peer, node: name, expiresAt });
    if (revoked.includes(self.peer))
      log.warn(
        { peer: self.peer, code: 'CREDENTIAL_REVOKED' },
        `roster ${seq} shuts this node out: renew its credential, or give it a new token`,
      );
  });
}

/** It is in force already; a full disk must not undo it. */
async function record({ audit, log }: LifeRooms, event: Event): Promise<void> {
  await audit.record(event).catch((error: unknown) => log.warn({}, `no record of ${event.event}: ${String(error)}`));
}

/** What a node says of itself: made of what the rooms know, for `status`, `tags list` and the debug bundle. */
import { stageOf, WARN_LIFE } from '../identity/lifetime.ts';
import type { Roster } from '../identity/roster.ts';
import { formatReference, type PeerId } from '../oci/oci.ts';
import type { Rooms } from '../mirror/mirror.ts';
import type { TagStatement } from '../peers/peers.ts';
import type { Config } from './config.ts';
import { type Lives, noticesOf } from './lives.ts';
import type { PolicyFrom } from './policy-source.ts';

export interface Status {
  readonly node: string;
  readonly peer: string;
  readonly ready: boolean;
  readonly reason?: string;
  readonly cluster: string;
  readonly roster: {
    readonly seq: number;
    readonly expiresAt: string;
    /** No new node is admitted: the roster has ended. */
    readonly frozen: boolean;
    /** Public key, base64url. */
    readonly issuer: string;
    /** The issuer that is named next, and how many nodes hold a credential by it. */
    readonly next?: { readonly issuer: string; readonly nodes: number };
  };
  readonly credentialExpiresAt: string;
  readonly mirror: string;
  /** The policy in force, where there is one. */
  readonly policy?: {
    readonly name: string;
    readonly serial: number;
    readonly file: string;
    readonly hash: string;
    /** The ids of the keys that signed it. */
    readonly signers: readonly string[];
  };
  readonly holdings: { readonly contents: number; readonly bytes: number };
  readonly spool: { readonly usedBytes: number; readonly maxBytes: number };
  readonly peers: readonly {
    readonly name: string;
    readonly peer: string;
    readonly connected: boolean;
    readonly address?: string;
    readonly holdings: number;
    readonly lanes: number;
    readonly shunnedUntil?: string;
  }[];
  readonly fetches: readonly {
    readonly digest: string;
    readonly size: number;
    readonly checked: number;
    readonly watermark: number;
    readonly from: string;
  }[];
  readonly pulls: readonly {
    readonly reference: string;
    readonly digest: string;
    readonly bytes: number;
    readonly from: string;
    readonly startedAt: string;
    readonly outcome?: string;
  }[];
  readonly warnings: readonly string[];
}

const TAG_WARNINGS_MAX = 20;

const iso = (at: number): string => new Date(at).toISOString();

/** What the daemon knows beside the rooms of the stories. */
export interface Facts {
  readonly rooms: Rooms;
  readonly config: Config;
  readonly node: string;
  readonly peer: PeerId;
  readonly cluster: string;
  readonly roster: () => Pick<Roster, 'seq' | 'signer' | 'next'>;
  readonly lives: () => Lives;
  /** How many nodes hold a credential by the newest issuer that the roster names. */
  readonly byNewestIssuer: () => number;
  readonly holdings: () => { readonly contents: number; readonly bytes: number };
  readonly policyFrom: () => PolicyFrom;
  readonly notReady: () => string | undefined;
  /** False where this node's own credential was taken back or has expired. */
  readonly counts: () => boolean;
}

export function statusOf(facts: Facts): Status {
  const { rooms, config } = facts;
  const reason = facts.notReady();
  const policy = policyOf(facts);
  return {
    node: facts.node,
    peer: facts.peer,
    ready: reason === undefined,
    ...(reason === undefined ? {} : { reason }),
    cluster: facts.cluster,
    roster: rosterOf(facts),
    credentialExpiresAt: iso(facts.lives().credential.expiresAt),
    mirror: config.mirror.listen,
    ...(policy ? { policy } : {}),
    holdings: facts.holdings(),
    spool: { usedBytes: rooms.spool.used, maxBytes: config.spool.maxBytes },
    peers: rooms.peers.status().map(({ node, shunnedUntil, ...rest }) => ({
      name: node.name,
      peer: node.peer,
      ...rest,
      ...(shunnedUntil === undefined ? {} : { shunnedUntil: iso(shunnedUntil) }),
    })),
    fetches: rooms.fetches
      .list()
      .map(({ digest, size, checked, watermark, source }) => ({ digest, size, checked, watermark, from: source })),
    pulls: rooms.pulls.recent().map(({ reference, digest, bytes, from, startedAt, outcome }) => ({
      reference,
      digest,
      bytes,
      from,
      startedAt: iso(startedAt),
      ...(outcome === undefined ? {} : { outcome }),
    })),
    warnings: warningsOf(facts),
  };
}

function rosterOf(facts: Facts): Status['roster'] {
  const { seq, signer, next } = facts.roster();
  const life = facts.lives().roster;
  const key = (raw: Uint8Array): string => Buffer.from(raw).toString('base64url');
  return {
    seq,
    expiresAt: iso(life.expiresAt),
    frozen: stageOf(life, facts.rooms.world.now()) === 'ended',
    issuer: key(signer),
    ...(next ? { next: { issuer: key(next), nodes: facts.byNewestIssuer() } } : {}),
  };
}

function policyOf({ rooms, policyFrom }: Facts): Status['policy'] {
  const { name, serial, hash } = rooms.policy();
  const { file, signers } = policyFrom();
  return file === undefined ? undefined : { name, serial, file, hash, signers };
}

function warningsOf(facts: Facts): string[] {
  const notices = noticesOf(facts.lives(), facts.rooms.world.now());
  const { refused } = facts.policyFrom();
  const ended = notices.some(({ what, stage }) => what === 'credential' && stage === 'ended');
  return [
    ...notices.map(({ text }) => text),
    ...(refused === undefined ? [] : [`refused, and the last good policy stays in force: ${refused}`]),
    ...(facts.counts() || ended
      ? []
      : [
          'this node is shut out: its credential was revoked or is by an issuer that was replaced; renew it, or give it a new token',
        ]),
    ...cloneWarnings(facts),
    ...aloneWarning(facts),
    ...tagWarnings(facts),
  ];
}

function cloneWarnings({ rooms }: Facts): string[] {
  return rooms.peers
    .clones()
    .map(
      ({ node, start, other, at }) =>
        `${node.name} runs twice: starts ${other} and ${start} signed with one key, last told ${iso(at)}; revoke it and give it a new token`,
    );
}

function aloneWarning({ rooms, config }: Facts): string[] {
  const { bootstrap } = config.peers;
  if (!bootstrap.length || rooms.peers.status().some(({ connected }) => connected)) return [];
  return [`no other node is connected; the log says what became of ${bootstrap.join(', ')}`];
}

/** Tags that nobody renews any more and whose last statements end soon. */
function tagWarnings({ rooms }: Facts): string[] {
  const now = rooms.world.now();
  const byName = new Map<string, TagStatement[]>();
  for (const tag of [...rooms.stated.list(), ...rooms.peers.statedTags()]) {
    const name = formatReference(tag.reference);
    byName.set(name, [...(byName.get(name) ?? []), tag]);
  }
  const warnings: string[] = [];
  for (const [name, tags] of byName) {
    const { reference } = tags[0]!;
    const { tags: rule } = rooms.policy().rule(reference.registry, reference.repository);
    if (rooms.policy().pin(reference) || rule.by !== 'statements' || warnings.length >= TAG_WARNINGS_MAX) continue;
    const ends = endOf(tags, rule.min) + rule.keepMs;
    if (ends > now && ends - now < rule.keepMs * WARN_LIFE)
      warnings.push(`${name} is decided until ${iso(ends)}: pinnace tags adopt it on a node that holds the image`);
  }
  return warnings;
}

/** When the last digest that `min` nodes state was renewed by the last of as many; ms since 1970. */
function endOf(tags: readonly TagStatement[], min: number): number {
  const renewed = new Map<string, number[]>();
  for (const { digest, renewedAt } of tags) renewed.set(digest, [...(renewed.get(digest) ?? []), renewedAt]);
  return Math.max(0, ...[...renewed.values()].map(times => times.sort((a, b) => b - a)[min - 1] ?? 0));
}

/** What this node and others state of tags. */
export function tagsOf({ rooms, node }: Facts): object {
  const own = rooms.stated.list().map(tag => ({ ...tag, node }));
  const others = rooms.peers.statedTags().map(tag => ({ ...tag, node: tag.node.name }));
  const tags = [...own, ...others].map(tag => ({
    reference: formatReference(tag.reference),
    digest: tag.digest,
    node: tag.node,
    observedAt: iso(tag.observedAt),
    renewedAt: iso(tag.renewedAt),
  }));
  return { tags: tags.sort((a, b) => (a.reference < b.reference ? -1 : 1)) };
}

/** What a node says of itself: made of what the rooms know, for `status`, `tags list` and the debug bundle. */
import { formatReference, type PeerId } from '../oci/oci.ts';
import type { Rooms } from '../mirror/mirror.ts';
import type { TagStatement } from '../peers/peers.ts';
import type { Config } from './config.ts';

export interface Status {
  readonly node: string;
  readonly peer: string;
  readonly ready: boolean;
  readonly reason?: string;
  readonly cluster: string;
  readonly roster: { readonly seq: number; readonly expiresAt: string };
  readonly credentialExpiresAt: string;
  readonly mirror: string;
  readonly policy: string;
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

/** Fewer than this share of a life left is worth a warning. */
const WARN_LIFE = 0.3;
const TAG_WARNINGS_MAX = 20;
const ROSTER_LIFE_MS = 90 * 86_400_000;
const CREDENTIAL_LIFE_MS = 365 * 86_400_000;

const iso = (at: number): string => new Date(at).toISOString();

/** What the daemon knows beside the rooms of the stories. */
export interface Facts {
  readonly rooms: Rooms;
  readonly config: Config;
  readonly node: string;
  readonly peer: PeerId;
  readonly cluster: string;
  readonly roster: () => { readonly seq: number; readonly expiresAt: number };
  readonly credentialExpiresAt: () => number;
  readonly holdings: () => { readonly contents: number; readonly bytes: number };
  readonly notReady: () => string | undefined;
  /** False where this node's own credential was taken back or has expired. */
  readonly counts: () => boolean;
}

export function statusOf(facts: Facts): Status {
  const { rooms, config } = facts;
  const reason = facts.notReady();
  const roster = facts.roster();
  return {
    node: facts.node,
    peer: facts.peer,
    ready: reason === undefined,
    ...(reason === undefined ? {} : { reason }),
    cluster: facts.cluster,
    roster: { seq: roster.seq, expiresAt: iso(roster.expiresAt) },
    credentialExpiresAt: iso(facts.credentialExpiresAt()),
    mirror: config.mirror.listen,
    policy: `${config.policyFile} (${rooms.policy().hash.slice(0, 12)})`,
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

function warningsOf(facts: Facts): string[] {
  const now = facts.rooms.world.now();
  const due = (expiresAt: number, life: number): boolean => expiresAt - now < life * WARN_LIFE;
  const roster = facts.roster().expiresAt;
  const credential = facts.credentialExpiresAt();
  return [
    ...(due(roster, ROSTER_LIFE_MS) ? [`the roster ends ${iso(roster)}: sign a new one with pinnace roster sign`] : []),
    ...(due(credential, CREDENTIAL_LIFE_MS) ? [`this node's credential ends ${iso(credential)}`] : []),
    ...(facts.counts()
      ? []
      : ['this node is shut out: its credential was revoked or has expired; give it a new token']),
    ...aloneWarning(facts),
    ...tagWarnings(facts),
  ];
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
    const rule = rooms.policy().tag(tags[0]!.reference);
    if (rule.by !== 'statements' || warnings.length >= TAG_WARNINGS_MAX) continue;
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

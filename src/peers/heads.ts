/**
 * Heads: where a node's table stands, so that two nodes find out what each lacks. Promises: bounded, one encoding, and an
 * item is sent only to whom it is news. Refuses to know streams. Spec: PROTOCOL.md, "Sync".
 */
import { MirrorError } from '../errors.ts';
import { type PeerId, parsePeerId } from '../oci/oci.ts';
import { encodeSigned } from './envelope.ts';
import { encodeItem } from './intake.ts';
import type { Membership } from './peers.ts';
import { count, Shape, string, tuple } from './shape.ts';
import { SIGNERS_MAX, type Table } from './table.ts';

/** Bytes of encoded heads. */
export const HEADS_MAX_BYTES = 1 << 20;
/** An item about to end is not sent: it would end on the way. */
const ENDING_MS = 5_000;
const SYNC_VERSION = 1;

interface Mark {
  readonly start: number;
  readonly seq: number;
}

export interface Head {
  /** `iat` of the credential, ms since 1970; 0: none. */
  readonly credential: number;
  readonly node?: Mark | undefined;
  readonly holdings?: { readonly start: number; readonly state: number; readonly head: number } | undefined;
  readonly tags?: Mark | undefined;
}

export interface Heads {
  readonly roster: number;
  readonly peers: ReadonlyMap<PeerId, Head>;
}

/** Where this node stands. */
export function headsOf(members: Membership, table: Table): Heads {
  const peers = new Map<PeerId, Head>();
  for (const { peer, issuedAt } of members.nodes()) {
    if (peers.size >= SIGNERS_MAX) break;
    const [node, tags] = [table.nodes.get(peer)?.header, table.tags.get(peer)?.header];
    peers.set(peer, { credential: issuedAt, node, holdings: table.holdings.mark(peer), tags });
  }
  return { roster: members.roster.seq, peers };
}

export function encodeHeads({ roster, peers }: Heads): Uint8Array {
  const mark = (m: Mark | undefined): unknown => (m ? [m.start, m.seq] : 0);
  const rows = [...peers].map(([peer, head]) => [
    peer,
    head.credential,
    mark(head.node),
    head.holdings ? [head.holdings.start, head.holdings.state, head.holdings.head] : 0,
    mark(head.tags),
  ]);
  return Buffer.from(JSON.stringify({ sync: SYNC_VERSION, roster, peers: rows }));
}

/** Reads a peer's heads. @throws STATEMENT_INVALID */
export function parseHeads(bytes: Uint8Array): Heads {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw new MirrorError('STATEMENT_INVALID', 'heads are not JSON', { cause: error });
  }
  const shape = new Shape(value, 'heads');
  if (shape.count('sync') !== SYNC_VERSION) throw new MirrorError('STATEMENT_INVALID', 'heads of another version');
  const peers = new Map<PeerId, Head>();
  for (const row of shape.list('peers', SIGNERS_MAX)) {
    const [peer, credential, node, holdings, tags] = tuple(row, 5, 'a head');
    peers.set(peerId(string(peer, 'peer')), {
      credential: count(credential, 'credential'),
      node: parseMark(node),
      holdings: parseHoldings(holdings),
      tags: parseMark(tags),
    });
  }
  const heads = { roster: shape.count('roster'), peers };
  if (Buffer.compare(encodeHeads(heads), bytes) !== 0)
    throw new MirrorError('STATEMENT_INVALID', 'heads are not written in the one way');
  return heads;
}

/** Items that `theirs` lacks, made one by one as they are asked for. Nothing of what `to` signed itself. */
export function* lacking(
  members: Membership,
  table: Table,
  theirs: Heads,
  to: PeerId,
  now: number,
): Generator<Uint8Array> {
  if (members.roster.seq > theirs.roster) yield encodeItem('roster', members.roster.jwt);
  const credentials = members.credentials();
  // Its own too: it may have been renewed while it was away.
  for (const { peer, issuedAt } of members.nodes()) {
    const jwt = credentials.get(peer);
    if (jwt !== undefined && issuedAt > (theirs.peers.get(peer)?.credential ?? 0)) yield encodeItem('credential', jwt);
  }
  const nodes = members.nodes().filter(node => node.peer !== to);
  for (const kind of ['node', 'tags'] as const)
    for (const { peer } of nodes) {
      const record = (kind === 'node' ? table.nodes : table.tags).get(peer);
      if (record && record.header.notAfter > now + ENDING_MS && newer(record.header, theirs.peers.get(peer)?.[kind]))
        yield encodeItem('statement', record.bytes);
    }
  for (const { peer } of nodes) {
    if ((table.holdings.mark(peer)?.notAfter ?? 0) <= now + ENDING_MS) continue;
    for (const signed of table.holdings.lacking(peer, theirs.peers.get(peer)?.holdings))
      yield encodeItem('statement', encodeSigned(signed));
  }
}

const newer = (mine: Mark, theirs: Mark | undefined): boolean =>
  !theirs || mine.start > theirs.start || (mine.start === theirs.start && mine.seq > theirs.seq);

function peerId(text: string): PeerId {
  try {
    return parsePeerId(text);
  } catch (error) {
    throw new MirrorError('STATEMENT_INVALID', 'a head of nobody', { cause: error });
  }
}

function parseMark(value: unknown): Mark | undefined {
  if (value === 0) return undefined;
  const [start, seq] = tuple(value, 2, 'a mark');
  return { start: count(start, 'start'), seq: count(seq, 'seq') };
}

function parseHoldings(value: unknown): Head['holdings'] {
  if (value === 0) return undefined;
  const [start, state, head] = tuple(value, 3, 'a mark of holdings');
  return { start: count(start, 'start'), state: count(state, 'state'), head: count(head, 'head') };
}

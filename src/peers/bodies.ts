/**
 * What statements say, by kind. Promises: a parsed body is well formed, bounded and sorted where order carries no
 * meaning, so that one content has one encoding. Refuses to know envelopes. Spec: PROTOCOL.md, "Statements".
 */
import { MirrorError } from '../errors.ts';
import { type Digest, formatReference, parseDigest, parsePeerId, type PeerId, parseTagReference } from '../oci/oci.ts';
import { CONTENT_MAX_BYTES, parseRoot } from '../proof/proof.ts';
import { parseAddress } from './address.ts';
import type { Holding, TagStatement } from './peers.ts';
import { count, Shape, string, tuple } from './shape.ts';

/** Addresses in a node record. */
export const ADDRESSES_MAX = 8;
/** Digests in a snapshot, and in what one reader alone is told. */
export const HOLDINGS_MAX = 16_384;
/** Additions, and drops, in a delta; its bytes are the narrower bound. */
export const DELTA_MAX = 1024;
/** Tags that one node states. */
export const TAGS_MAX = 4096;

export type Kind = 'node' | 'holdings' | 'holdings-delta' | 'holdings-head' | 'tags' | 'limited';

export interface Bodies {
  readonly node: { readonly addresses: readonly string[]; readonly lanePort: number };
  readonly holdings: { readonly entries: readonly Holding[] };
  readonly 'holdings-delta': {
    readonly after: number;
    readonly add: readonly Holding[];
    readonly drop: readonly Digest[];
  };
  readonly 'holdings-head': { readonly of: number };
  readonly tags: { readonly tags: readonly TagStatement[] };
  readonly limited: { readonly audience: PeerId; readonly entries: readonly Holding[] };
}

export type Body = { [K in Kind]: { readonly kind: K; readonly body: Bodies[K] } }[Kind];

/** Below zero, zero or above as `a` stands before, with or after `b`, by UTF-16 units. */
export const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The plain value that stands in JSON. */
export function encodeBody(of: Body): unknown {
  switch (of.kind) {
    case 'node':
      return { addresses: of.body.addresses, lanePort: of.body.lanePort };
    case 'holdings':
      return { entries: of.body.entries.map(encodeHolding) };
    case 'holdings-delta':
      return { after: of.body.after, add: of.body.add.map(encodeHolding), drop: of.body.drop };
    case 'holdings-head':
      return { of: of.body.of };
    case 'tags':
      return { tags: of.body.tags.map(t => [formatReference(t.reference), t.digest, t.observedAt, t.renewedAt]) };
    case 'limited':
      return { audience: of.body.audience, entries: of.body.entries.map(encodeHolding) };
  }
}

/** Reads the value of `body`. @throws STATEMENT_INVALID, or the code of a word in it */
export function parseBody(kind: Kind, value: unknown): Body {
  const shape = new Shape(value, kind);
  switch (kind) {
    case 'node':
      return { kind, body: parseNodeRecord(shape) };
    case 'holdings':
      return { kind, body: { entries: parseHoldings(shape.list('entries', HOLDINGS_MAX)) } };
    case 'holdings-delta': {
      const drop = shape.list('drop', DELTA_MAX).map(item => parseDigest(string(item, 'drop')));
      ascending(drop, 'drop');
      return { kind, body: { after: shape.count('after'), add: parseHoldings(shape.list('add', DELTA_MAX)), drop } };
    }
    case 'holdings-head':
      return { kind, body: { of: shape.count('of') } };
    case 'tags': {
      const tags = shape.list('tags', TAGS_MAX).map(parseTag);
      ascending(
        tags.map(tag => formatReference(tag.reference)),
        'tags',
      );
      return { kind, body: { tags } };
    }
    case 'limited': {
      const audience = parsePeerId(shape.string('audience'));
      return { kind, body: { audience, entries: parseHoldings(shape.list('entries', HOLDINGS_MAX)) } };
    }
  }
}

/** In the order in which statements name them. */
export const sortedHoldings = (holdings: readonly Holding[]): Holding[] =>
  [...holdings].sort((a, b) => order(a.digest, b.digest));

/** Whether both say the same of one digest. */
export const sameHolding = (a: Holding, b: Holding | undefined): boolean => a.size === b?.size && a.root === b.root;

const encodeHolding = (holding: Holding): unknown => [holding.digest, holding.size, holding.root];

function parseHoldings(items: readonly unknown[]): Holding[] {
  const holdings = items.map(item => {
    const [digest, size, root] = tuple(item, 3, 'a holding');
    const bytes = count(size, 'size');
    if (bytes > CONTENT_MAX_BYTES) throw new MirrorError('STATEMENT_INVALID', `a content of ${bytes} bytes`);
    return { digest: parseDigest(string(digest, 'digest')), size: bytes, root: parseRoot(string(root, 'root')) };
  });
  ascending(
    holdings.map(holding => holding.digest),
    'holdings',
  );
  return holdings;
}

function parseNodeRecord(shape: Shape): Bodies['node'] {
  const addresses = shape.list('addresses', ADDRESSES_MAX).map(item => string(item, 'address'));
  for (const address of addresses) parseAddress(address);
  const lanePort = shape.count('lanePort');
  if (lanePort > 65_535) throw new MirrorError('STATEMENT_INVALID', `${lanePort} is not a port`);
  return { addresses, lanePort };
}

function parseTag(item: unknown): TagStatement {
  const [reference, digest, observedAt, renewedAt] = tuple(item, 4, 'a tag');
  return {
    reference: parseTagReference(string(reference, 'reference')),
    digest: parseDigest(string(digest, 'digest')),
    observedAt: count(observedAt, 'observedAt'),
    renewedAt: count(renewedAt, 'renewedAt'),
  };
}

function ascending(keys: readonly string[], what: string): void {
  for (let i = 1; i < keys.length; i++)
    if (order(keys[i - 1]!, keys[i]!) >= 0)
      throw new MirrorError('STATEMENT_INVALID', `${what} are not sorted, or stand twice`);
}

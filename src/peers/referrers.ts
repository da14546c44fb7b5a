/**
 * What a node says it has about a digest, as it travels. Promises: bounded, sorted, each once, and one list has one
 * encoding. Refuses to know whether any of it is there. Spec: PROTOCOL.md, "Questions".
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { parseDigest } from '../oci/oci.ts';
import { order } from './bodies.ts';
import { type Referrer, REFERRERS_MAX } from './peers.ts';
import { count, Shape, string, tuple } from './shape.ts';

/** Bytes of an encoded list. */
export const REFERRERS_MAX_BYTES = 8 << 10;
/** Bytes of one artifact's manifest. */
const MANIFEST_MAX_BYTES = 1 << 20;

const BONDS = ['subject', 'sig', 'att'] as const;

const keyOf = ({ digest, bond }: Referrer): string => `${digest} ${bond}`;
const fits = ({ size }: Referrer): boolean => Number.isSafeInteger(size) && size >= 1 && size <= MANIFEST_MAX_BYTES;

/** The first REFERRERS_MAX that can be told, sorted. */
export function encodeReferrers(referrers: readonly Referrer[]): Uint8Array {
  const unique = new Map(referrers.filter(fits).map(one => [keyOf(one), one]));
  const told = [...unique].slice(0, REFERRERS_MAX).sort((a, b) => order(a[0], b[0]));
  return Buffer.from(JSON.stringify({ referrers: told.map(([, { digest, bond, size }]) => [digest, bond, size]) }));
}

/** Reads a peer's list; nothing in it is proved. @throws FRAME_INVALID */
export function parseReferrers(frame: Uint8Array): readonly Referrer[] {
  try {
    if (frame.length > REFERRERS_MAX_BYTES) throw new MirrorError('FRAME_INVALID', `${frame.length} bytes`);
    const shape = new Shape(JSON.parse(Buffer.from(frame).toString('utf8')), 'referrers');
    const referrers = shape.list('referrers', REFERRERS_MAX).map(parseReferrer);
    if (Buffer.compare(encodeReferrers(referrers), frame) !== 0)
      throw new MirrorError('FRAME_INVALID', 'not written in the one way');
    return referrers;
  } catch (error) {
    const { message } = asMirrorError(error, 'FRAME_INVALID', 'no list of referrers');
    throw new MirrorError('FRAME_INVALID', `a list of referrers: ${message}`, { cause: error });
  }
}

function parseReferrer(item: unknown): Referrer {
  const [digest, named, size] = tuple(item, 3, 'a referrer');
  const bond = BONDS.find(one => one === named);
  if (!bond) throw new MirrorError('FRAME_INVALID', 'a bond of no known kind');
  return { bond, digest: parseDigest(string(digest, 'digest')), size: count(size, 'size') };
}

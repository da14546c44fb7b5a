/**
 * Artifacts about a digest, from nodes that hold it: fetched by digest, hashed, read. Promises: taken in turn from each
 * node, so that what one offers, however much, hides nothing of another; bounded in number, bytes and time. Refuses to know
 * what an artifact shows.
 */
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import { algorithmOf, type Artifact, type Digest, digestOf, parseArtifact } from '../oci/oci.ts';
import { type Holder, type Referrer, REFERRERS_MAX } from '../peers/peers.ts';
import { ATTACHMENT_MAX_BYTES, type Bond } from '../store/store.ts';
import { within } from '../world.ts';
import type { Rooms } from './rooms.ts';
import { type Bonded, bondedKey } from './verdicts.ts';

/** Artifacts that are taken from all nodes for one digest, and nodes that are asked. REFERRERS_MAX bounds each of them. */
export const ARTIFACTS_MAX = 256;
export const SOURCES_MAX = 32;
/** The search for artifacts about one digest ends after so many ms; a client waits 12 s for a manifest. */
export const SEARCH_MS = 8_000;
/** One artifact, or one answer about what there is, is waited for so many ms. */
const ONE_MS = 2_000;

/** An artifact whose bytes all have their digests. */
export interface Fetched {
  readonly subject: Digest;
  readonly bond: Bond;
  readonly digest: Digest;
  readonly manifest: Uint8Array;
  readonly artifact: Artifact;
  readonly contents: ReadonlyMap<Digest, Uint8Array>;
}

type SearchRooms = Pick<Rooms, 'world' | 'peers' | 'log' | 'life'>;

/**
 * Artifacts about `subject`: the first of each node that holds it, then the second of each, and so on; those that `known`
 * says are not fetched. One that a node lists and does not bring is asked of the next that lists it. A node that keeps us
 * waiting is not asked for more. Ends by itself after SEARCH_MS.
 */
export async function* artifactsAt(
  rooms: SearchRooms,
  subject: Digest,
  known: (artifact: Bonded) => boolean,
): AsyncGenerator<Fetched> {
  const until = rooms.world.monotonic() + SEARCH_MS;
  const holders = rooms.peers.holders(subject).slice(0, SOURCES_MAX);
  const sources = await Promise.all(holders.map(holder => offersOf(rooms, holder, subject)));
  const had = new Set<string>();
  let left = ARTIFACTS_MAX;
  while (left > 0 && rooms.world.monotonic() < until && !rooms.life.aborted) {
    const round = new Map<string, Promise<Fetched | undefined>>();
    for (const source of sources) {
      if (round.size >= left) break;
      const referrer = nextOf(
        source,
        key => round.has(key),
        one => had.has(bondedKey(one)) || known(one),
      );
      if (referrer) round.set(bondedKey(referrer), fetchOne(rooms, source, subject, referrer));
    }
    if (!round.size) return;
    left -= round.size;
    for (const fetched of await Promise.all(round.values()))
      if (fetched) {
        had.add(bondedKey(fetched));
        yield fetched;
      }
  }
}

/** What to ask a node for now: not what is here, nor what another is asked for just now, which may yet be asked of it. */
function nextOf(
  source: Source,
  underWay: (key: string) => boolean,
  isHere: (referrer: Referrer) => boolean,
): Referrer | undefined {
  source.offers = source.offers.filter(one => !isHere(one));
  const at = source.offers.findIndex(one => !underWay(bondedKey(one)));
  return at < 0 ? undefined : source.offers.splice(at, 1)[0];
}

/** A node, and what it offers and was not asked for yet. */
interface Source {
  readonly holder: Holder;
  offers: Referrer[];
}

async function offersOf(rooms: SearchRooms, holder: Holder, subject: Digest): Promise<Source> {
  try {
    const offers = await inTime(rooms, subject, signal => rooms.peers.referrers(holder.node.peer, subject, signal));
    return { holder, offers: offers.slice(0, REFERRERS_MAX) };
  } catch (error) {
    told(rooms, holder, subject, error);
    return { holder, offers: [] };
  }
}

const inTime = <T>(
  { world, life }: SearchRooms,
  digest: Digest,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> => within(world, ONE_MS, life, 'TIMED_OUT', `artifacts about ${digest}`, work);

/** Reads an artifact whole; undefined, and a line for a person, where the node brings something else. */
async function fetchOne(
  rooms: SearchRooms,
  source: Source,
  subject: Digest,
  { bond, digest, size }: Referrer,
): Promise<Fetched | undefined> {
  const { holder } = source;
  try {
    return await inTime(rooms, subject, async signal => {
      const manifest = await read(rooms, holder, digest, size, signal);
      const artifact = parseArtifact(manifest);
      const parts = [artifact.config, ...artifact.layers];
      const total = parts.reduce((sum, part) => sum + part.size, size);
      if (total > ATTACHMENT_MAX_BYTES)
        throw new MirrorError('LIMIT_EXCEEDED', `${digest}: an artifact of ${total} bytes`);
      if (bond === 'subject' && artifact.subject?.digest !== subject)
        throw new MirrorError('MANIFEST_INVALID', `${digest} is about another digest than ${subject}`);
      const contents = new Map<Digest, Uint8Array>();
      for (const part of parts)
        if (!contents.has(part.digest))
          contents.set(part.digest, await read(rooms, holder, part.digest, part.size, signal));
      return { subject, bond, digest, manifest, artifact, contents };
    });
  } catch (error) {
    // A node that lets us wait once would let us wait each time.
    if (hasCode(error, 'TIMED_OUT')) source.offers = [];
    told(rooms, holder, subject, error);
    return undefined;
  }
}

/** A small content of a node, in memory. @throws CONTENT_TRUNCATED, DIGEST_MISMATCH, LIMIT_EXCEEDED and what lanes throw */
async function read(
  { peers }: SearchRooms,
  { node }: Holder,
  digest: Digest,
  size: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (size > ATTACHMENT_MAX_BYTES) throw new MirrorError('LIMIT_EXCEEDED', `${digest}: ${size} bytes of an artifact`);
  const bytes = new Uint8Array(size);
  let at = 0;
  if (size > 0)
    for await (const chunk of peers.read(node.peer, digest, 0, size, signal)) {
      bytes.set(chunk.bytes, at);
      at += chunk.bytes.length;
      chunk.release();
    }
  if (at !== size) throw new MirrorError('CONTENT_TRUNCATED', `${node.name} ended ${digest} at byte ${at} of ${size}`);
  if (digestOf(bytes, algorithmOf(digest)) !== digest)
    throw new MirrorError('DIGEST_MISMATCH', `${node.name} gave other bytes as ${digest}`);
  return bytes;
}

function told({ log }: SearchRooms, { node }: Holder, subject: Digest, error: unknown): void {
  const { code, message } = asMirrorError(error, 'PEER_UNREACHABLE', `artifacts about ${subject} at ${node.name}`);
  log.info({ peer: node.peer, node: node.name, digest: subject, code }, message);
}

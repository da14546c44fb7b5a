/**
 * What a peer gets: content in the closure of an image that policy shares, opened from the store; everything else is
 * absent, and whether it exists is not told. Promises: judged and recorded before the first byte; a transfer that began
 * keeps its open file, and ends whole unless another policy ends it.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import type { Digest, Node } from '../oci/oci.ts';
import { type Gift, type Giver, REFERRERS_MAX } from '../peers/peers.ts';
import type { Content } from '../store/store.ts';
import type { Rooms } from './rooms.ts';

/** A digest that a peer doubts is hashed again at most once in so many ms. */
const DOUBT_MS = 600_000;
const DOUBTS_MAX = 1024;

type ServeRooms = Pick<
  Rooms,
  'world' | 'store' | 'hashes' | 'attachments' | 'verdicts' | 'catalogue' | 'audit' | 'log' | 'life'
>;

/** The giver's side; `gone` is called with a content that turned out corrupt and must be withdrawn. */
export function serving(rooms: ServeRooms, gone: (digest: Digest) => void): Giver {
  const doubted = new Map<Digest, number>();
  return {
    give: (node, digest, offset, length) => give(rooms, node, digest, offset, length),
    async proof(node, digest) {
      const proof = rooms.catalogue.sharers(digest, node).length ? await rooms.hashes.known(digest) : undefined;
      if (!proof) return refuse(rooms, node, digest);
      await rooms.audit.record({ event: 'serve.proof', peer: node.peer, digest });
      return proof;
    },
    async referrers(node, subject) {
      if (!rooms.catalogue.sharers(subject, node).length) return [];
      const all = rooms.attachments.of(subject).map(({ bond, manifest: { digest, size } }) => ({ bond, digest, size }));
      // However much lies beside it, what was of use here is told first.
      const useful = all.filter(one => rooms.verdicts.isUseful(one, subject));
      return [...new Set([...useful, ...all])].slice(0, REFERRERS_MAX);
    },
    doubt(node, digest) {
      const now = rooms.world.monotonic();
      if (!rooms.catalogue.sharers(digest, node).length || now < (doubted.get(digest) ?? 0)) return;
      for (const oldest of doubted.keys()) if (doubted.size >= DOUBTS_MAX) doubted.delete(oldest);
      doubted.set(digest, now + DOUBT_MS);
      void hashAgain(rooms, node, digest, gone);
    },
  };
}

async function refuse(rooms: ServeRooms, node: Node, digest: Digest): Promise<never> {
  await rooms.audit.record({ event: 'serve.refused', peer: node.peer, digest, code: 'NOT_SHARED' });
  throw new MirrorError('CONTENT_ABSENT', `${digest} is not here for ${node.name}`);
}

/** True where an image or an attachment of one, shared with the node, has the digest. */
const mayHave = ({ catalogue, attachments }: ServeRooms, node: Node, digest: Digest): boolean =>
  catalogue.sharers(digest, node).length > 0 ||
  attachments.owners(digest).some(({ subject }) => catalogue.sharers(subject, node).length > 0);

async function openFor(rooms: ServeRooms, node: Node, digest: Digest): Promise<Content | undefined> {
  if (!mayHave(rooms, node, digest)) return undefined;
  return (await rooms.store.open(digest)) ?? rooms.attachments.open(digest);
}

async function give(rooms: ServeRooms, node: Node, digest: Digest, offset: number, length: number): Promise<Gift> {
  const { judgedBy } = rooms.catalogue;
  const content = await openFor(rooms, node, digest);
  if (!content || offset + length > content.size) {
    await content?.close();
    return refuse(rooms, node, digest);
  }
  const id = Buffer.from(rooms.world.random(8)).toString('hex');
  try {
    await rooms.audit.record({ event: 'serve.started', id, peer: node.peer, digest, offset, length });
  } catch (error) {
    await content.close();
    throw error;
  }
  return {
    read(into, position) {
      // Another policy may have ended it.
      if (rooms.catalogue.judgedBy !== judgedBy && !mayHave(rooms, node, digest))
        throw new MirrorError('CONTENT_ABSENT', `${digest} is not shared with ${node.name} any more`);
      return content.read(into, position);
    },
    async done(bytes) {
      await content.close();
      await rooms.audit.record({ event: 'serve.ended', id, peer: node.peer, digest, bytes });
    },
  };
}

/** A peer says that bytes of `digest` did not fit: the disk may have rotted under a true root. */
async function hashAgain(rooms: ServeRooms, node: Node, digest: Digest, gone: (digest: Digest) => void): Promise<void> {
  try {
    const content = await rooms.store.open(digest);
    if (!content) return;
    try {
      await rooms.hashes.again(content, rooms.life);
    } finally {
      await content.close();
    }
    rooms.log.info({ peer: node.peer, digest }, `${node.name} doubted ${digest}; it was hashed again and is whole`);
  } catch (error) {
    const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', `hashing ${digest} again`);
    rooms.log.warn({ peer: node.peer, digest, code }, message);
    gone(digest);
    if (code === 'STORE_CORRUPT') await recordCorrupt(rooms, digest, message);
  }
}

/** Withdrawing does not wait for it: what cannot be recorded is at least no longer told. */
async function recordCorrupt({ audit, log }: ServeRooms, digest: Digest, detail: string): Promise<void> {
  try {
    await audit.record({ event: 'store.corrupt', digest, detail });
  } catch (error) {
    log.warn({ digest, code: asMirrorError(error, 'AUDIT_UNAVAILABLE', digest).code }, detail);
  }
}

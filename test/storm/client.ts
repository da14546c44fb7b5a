/**
 * A containerd in a storm: pulls an image through a node's mirror as the real one does: the manifest, the config, then the
 * layers side by side; after a cut it asks for the rest, and gives up at "not here". Promises: each byte is compared with
 * the truth in the moment in which it is handed over.
 */
import { asMirrorError, type Code, hasCode, MirrorError } from '../../src/errors.ts';
import { pull } from '../../src/mirror/mirror.ts';
import { type Digest, parseRequest } from '../../src/oci/oci.ts';
import type { StoryImage } from '../mirror/story-image.ts';
import { isTrue } from './pictures.ts';
import type { StormNode } from './storm-node.ts';

/** Bytes that it takes at once. */
const TAKE_BYTES = 1 << 20;
/** How often it asks for one content. */
const TRIES_MAX = 6;

/** What happens while it pulls. */
export interface Witness {
  /** A request is asked, by tag or by digest. */
  readonly asked: (what: string, by: 'tag' | 'digest') => Asked;
  /** Bytes were handed over that are not those of the content. */
  readonly untrue: (digest: Digest, offset: number) => void;
}

/** A request, as it is seen. */
export interface Asked {
  /** Its headers came. */
  answered(): void;
  /** Its first byte came, of the content of that digest. */
  handed(digest: Digest): void;
  ended(): void;
}

export interface PullOutcome {
  readonly whole: boolean;
  /** Why not. */
  readonly code?: Code;
}

export async function pullThrough(
  node: StormNode,
  image: StoryImage,
  by: 'tag' | 'digest',
  witness: Witness,
): Promise<PullOutcome> {
  try {
    const what = by === 'tag' ? (image.reference.tag ?? '') : image.target.digest;
    const bytes = await take(node, image, image.target.digest, `manifests/${what}`, witness);
    if (!isTrue(image, image.target.digest, 0, bytes))
      throw new MirrorError('DIGEST_MISMATCH', `${image.name} became another image`);
    const blob = (digest: Digest): Promise<Buffer> => take(node, image, digest, `blobs/${digest}`, witness);
    await blob(image.config.digest);
    await Promise.all(image.layers.map(({ digest }) => blob(digest)));
    return { whole: true };
  } catch (error) {
    return { whole: false, code: asMirrorError(error, 'CONTENT_ABSENT', image.name).code };
  }
}

/** One content, in as many requests as it takes. @throws CONTENT_ABSENT and what the mirror says */
async function take(
  node: StormNode,
  image: StoryImage,
  digest: Digest,
  path: string,
  witness: Witness,
): Promise<Buffer> {
  const parts: Buffer[] = [];
  let at = 0;
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    let begun = false;
    const by = path === `manifests/${image.reference.tag}` ? 'tag' : 'digest';
    const request = witness.asked(`${node.name} ${path} from ${at}`, by);
    try {
      const { rooms } = node.running ?? {};
      if (!rooms) throw new MirrorError('PEER_UNREACHABLE', `${node.name} is down`);
      const { registry, repository } = image.reference;
      const range = at > 0 ? `bytes=${at}-` : undefined;
      const { body } = await pull(rooms, parseRequest('GET', `/v2/${repository}/${path}?ns=${registry}`, range));
      request.answered();
      if (!body) throw new MirrorError('CONTENT_ABSENT', 'no body');
      // A whole answer to a range begins at the start again.
      if (body.start !== at) parts.splice(0);
      at = body.start;
      while (at < body.end) {
        const limit = await body.upTo(at);
        if (limit === undefined) break;
        const into = Buffer.alloc(Math.min(TAKE_BYTES, limit - at));
        const read = await body.read(into, at);
        if (read === 0) break;
        const piece = into.subarray(0, read);
        if (!begun) request.handed(digest);
        begun = true;
        if (path.startsWith('blobs/') && !isTrue(image, digest, at, piece)) witness.untrue(digest, at);
        parts.push(piece);
        at += read;
      }
      await body.close(at);
      if (at === body.end) return Buffer.concat(parts);
    } catch (error) {
      // A range that does not lie whole here is absent; from the start it may be had.
      if (!(hasCode(error, 'CONTENT_ABSENT') && at > 0 && tries === 0)) throw error;
    } finally {
      request.ended();
    }
  }
  throw new MirrorError('CONTENT_ABSENT', `${digest} was cut ${TRIES_MAX} times`);
}

/**
 * One blob of containerd's content store, opened as a file for reading. Promises: the file stays readable until it is
 * closed, whatever containerd removes meanwhile; never written to. Refuses to know gRPC.
 */
import { join } from 'node:path';
import { MirrorError } from '../errors.ts';
import { algorithmOf, type Digest, hexOf } from '../oci/oci.ts';
import { type Disk, openContent } from './disk.ts';
import type { Content } from './store.ts';

/** Where the content store under `root` keeps a blob; a well-formed digest makes a path inside it. */
export const blobPath = (root: string, digest: Digest): string =>
  join(root, 'blobs', algorithmOf(digest), hexOf(digest));

/**
 * Opens the blob of `size` bytes; undefined where there is no such file. Its bytes were not hashed.
 * @throws STORE_CORRUPT where the file has another size, FILE_UNREADABLE
 */
export async function openBlob(disk: Disk, root: string, digest: Digest, size: number): Promise<Content | undefined> {
  const path = blobPath(root, digest);
  const content = await openContent(disk, path, digest);
  if (!content) return undefined;
  if (content.size === size) return whole(content, path);
  await content.close();
  throw new MirrorError(
    'STORE_CORRUPT',
    `${path} has ${content.size} bytes, but containerd recorded ${size}: remove the image and pull it again`,
  );
}

/** A content whose file must keep its size while it is read. */
function whole(content: Content, path: string): Content {
  const { digest, size, stamp } = content;
  return {
    digest,
    size,
    stamp,
    close: () => content.close(),
    async read(into, position) {
      const wanted = Math.max(0, Math.min(into.length, size - position));
      const count = await content.read(into.subarray(0, wanted), position);
      if (count === wanted) return count;
      throw new MirrorError('STORE_CORRUPT', `${path} ended at ${position + count} of its ${size} bytes`);
    },
  };
}

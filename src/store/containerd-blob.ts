/**
 * One blob of containerd's content store, opened as a file for reading. Promises: the file stays readable until it is
 * closed, whatever containerd removes meanwhile; never written to. Refuses to know gRPC.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { MirrorError } from '../errors.ts';
import { algorithmOf, type Digest, hexOf } from '../oci/oci.ts';
import type { Content } from './store.ts';

/** Where the content store under `root` keeps a blob; a well-formed digest makes a path inside it. */
export const blobPath = (root: string, digest: Digest): string =>
  join(root, 'blobs', algorithmOf(digest), hexOf(digest));

/**
 * Opens the blob of `size` bytes; undefined where there is no such file.
 * @throws STORE_CORRUPT where the file has another size or is no file, FILE_UNREADABLE
 */
export async function openBlob(root: string, digest: Digest, size: number): Promise<Content | undefined> {
  const path = blobPath(root, digest);
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { ino, size: found, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
    if (found !== BigInt(size))
      throw new MirrorError(
        'STORE_CORRUPT',
        `${path} has ${found} bytes, but containerd recorded ${size}: remove the image and pull it again`,
      );
    return contentOf(file, path, digest, size, `${ino}-${found}-${mtimeNs}-${ctimeNs}`);
  } catch (error) {
    await file?.close();
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    if (error instanceof MirrorError) throw error;
    throw new MirrorError('FILE_UNREADABLE', `cannot open ${path}: ${(error as Error).message}`, { cause: error });
  }
}

function contentOf(file: FileHandle, path: string, digest: Digest, size: number, stamp: string): Content {
  return {
    digest,
    size,
    stamp,
    async read(into, position) {
      let done = 0;
      const wanted = Math.min(into.length, Math.max(0, size - position));
      while (done < wanted) {
        const { bytesRead } = await file.read(into, done, wanted - done, position + done);
        if (bytesRead === 0)
          throw new MirrorError('STORE_CORRUPT', `${path} ended at ${position + done} of its ${size} bytes`);
        done += bytesRead;
      }
      return done;
    },
    close: () => file.close(),
  };
}

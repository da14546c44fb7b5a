/** Contents as files: what spool and layout hand out for reading. Refuses to know whether the bytes have the digest. */
import type { Digest } from '../oci/oci.ts';
import type { Disk, OpenFile } from './disk-port.ts';
import type { Content } from './store.ts';

/** A content read from an open file, whose bytes nobody hashed; `closed` is called once, when it is closed. */
export async function contentOf(
  digest: Digest,
  file: OpenFile,
  closed: () => void = () => undefined,
): Promise<Content> {
  let open = true;
  const close = async (): Promise<void> => {
    if (!open) return;
    open = false;
    await file.close().finally(closed);
  };
  try {
    const { size, stamp } = await file.facts();
    return { digest, size, stamp, close, read: (into, position) => file.read(into, position) };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens the file at `path` as the content `digest`; undefined where it is absent. @throws FILE_UNREADABLE */
export async function openContent(disk: Disk, path: string, digest: Digest): Promise<Content | undefined> {
  const file = await disk.openRead(path);
  return file && contentOf(digest, file);
}

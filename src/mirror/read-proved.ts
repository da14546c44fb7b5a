/** Small contents, read whole and hashed before anybody parses them. Promises: bounded memory. */
import { MirrorError } from '../errors.ts';
import { algorithmOf, digestOf } from '../oci/oci.ts';
import type { Content } from '../store/store.ts';

/** The bytes of `content`, which have its digest; it is closed. @throws STORE_CORRUPT, MANIFEST_TOO_LARGE, FILE_UNREADABLE */
export async function readProved(content: Content, maxBytes: number): Promise<Uint8Array> {
  try {
    if (content.size > maxBytes)
      throw new MirrorError(
        'MANIFEST_TOO_LARGE',
        `${content.digest} has ${content.size} bytes; at most ${maxBytes} are read`,
      );
    const bytes = new Uint8Array(content.size);
    for (let at = 0; at < bytes.length; ) {
      const read = await content.read(bytes.subarray(at), at);
      if (read === 0) throw new MirrorError('STORE_CORRUPT', `${content.digest}: the file ends at byte ${at}`);
      at += read;
    }
    if (digestOf(bytes, algorithmOf(content.digest)) !== content.digest)
      throw new MirrorError('STORE_CORRUPT', `${content.digest}: the bytes on this disk have another digest`);
    return bytes;
  } finally {
    await content.close();
  }
}

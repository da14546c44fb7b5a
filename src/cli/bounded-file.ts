/** Files that a command is given. Promises: of bounded size and UTF-8 where text is asked for; what is wrong is said with the path. */
import { asMirrorError, MirrorError } from '../errors.ts';
import { closeAfter, readWhole, realDisk } from '../store/disk.ts';
import { utf8Of } from './policy-files.ts';

/** The bytes of a file, a link to one included. @throws FILE_UNREADABLE where it is absent or larger than `maxBytes` */
export async function readBytes(path: string, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const file = await realDisk.openRead(path, 'follow').catch((error: unknown) => {
    throw asMirrorError(error, 'FILE_UNREADABLE', `cannot read ${path}`);
  });
  if (!file) throw new MirrorError('FILE_UNREADABLE', `there is no file ${path}`);
  return closeAfter(file, () => readWhole(file, path, maxBytes));
}

/** The text of a file. @throws FILE_UNREADABLE as `readBytes`, and where it is not UTF-8 */
export const readText = async (path: string, maxBytes: number): Promise<string> =>
  utf8Of(await readBytes(path, maxBytes), path);

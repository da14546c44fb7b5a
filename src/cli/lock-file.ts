/**
 * A lock file on the operator's disk. Promises: replaced whole, its serial up by one at every change, notes kept; what did
 * not change is not written. Spec: policy/POLICY.md, "Pins".
 */
import { chmod } from 'node:fs/promises';
import { MirrorError } from '../errors.ts';
import { formatPins, type LockFile, parsePins, type Pin, PINS_MAX_BYTES } from '../policy/pins.ts';
import { realDisk, replaceFile } from '../store/disk.ts';
import { readBytes } from './bounded-file.ts';
import { writeNew } from './cluster-folder.ts';

/** Pins are no secret: nodes of another user read them. */
const MODE = 0o644;

/** Reads a lock file. @throws PINS_INVALID, FILE_UNREADABLE */
export const readLock = async (file: string): Promise<LockFile> =>
  parsePins(await readBytes(file, PINS_MAX_BYTES), file);

/** Writes the first serial of a new lock file. @throws FILE_EXISTS, PINS_INVALID, FILE_UNREADABLE */
export async function writeFirst(file: string, pins: readonly Pin[]): Promise<number> {
  await writeNew(file, formatPins(1, pins));
  await chmod(file, MODE);
  return 1;
}

/** Replaces the pins of a lock file under its next serial, and answers with that. @throws PINS_INVALID, FILE_UNREADABLE */
export async function writeNext(file: string, before: LockFile, pins: readonly Pin[]): Promise<number> {
  const now = await readLock(file);
  if (now.serial !== before.serial)
    throw new MirrorError(
      'FILE_EXISTS',
      `${file} was changed meanwhile, to serial ${now.serial}: run the command again`,
    );
  const mode = (await realDisk.facts(file))?.mode ?? MODE;
  const serial = before.serial + 1;
  await replaceFile(realDisk, file, Buffer.from(formatPins(serial, pins)));
  await chmod(file, mode & 0o777);
  return serial;
}

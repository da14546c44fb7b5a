/** The file of known credentials: {version, credentials: [JWT…]}, JSON. Each is proved again when it is read. */
import { MirrorError } from '../errors.ts';
import { Fields } from '../yaml.ts';
import type { Keep } from '../world.ts';
import { MEMBERS_MAX } from './known.ts';

const VERSION = 1;
const WHAT = 'the file of known credentials';

/** The credentials that were kept, none of them proved. @throws STATE_INVALID, STATE_NEWER, FILE_UNREADABLE */
export async function readCredentials(keep: Keep): Promise<readonly string[]> {
  const bytes = await keep.read();
  if (!bytes) return [];
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString());
  } catch (error) {
    throw new MirrorError('STATE_INVALID', `${WHAT} is damaged: remove it, nodes show theirs again`, { cause: error });
  }
  const fields = new Fields(json, `${WHAT}: `, 'STATE_INVALID');
  if (fields.integer('version', { min: 1, max: Number.MAX_SAFE_INTEGER }) > VERSION)
    throw new MirrorError('STATE_NEWER', `${WHAT} is of a newer version of Pinnace`);
  return fields.strings('credentials').slice(0, MEMBERS_MAX);
}

/** @throws FILE_UNREADABLE */
export const writeCredentials = (keep: Keep, credentials: readonly string[]): Promise<void> =>
  keep.write(Buffer.from(`${JSON.stringify({ version: VERSION, credentials })}\n`));

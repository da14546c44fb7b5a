/**
 * The token that containerd shows at the mirror's door, where the operator wants one. Promises: it is read once, at the
 * start; a client without it is refused as if nothing were here; how long that takes says nothing of the token; it stands
 * in no message. Refuses to know what is asked for.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { MirrorError } from '../errors.ts';
import type { Door } from '../http/registry.ts';
import { type Disk, readSecret } from '../store/disk.ts';

const TOKEN_MIN_CHARS = 16;
const TOKEN_MAX_CHARS = 512;
/** Printable, without blanks: what may stand in a header and in hosts.toml alike. */
const TOKEN = new RegExp(`^[!-~]{${TOKEN_MIN_CHARS},${TOKEN_MAX_CHARS}}$`);
const BEARER = /^bearer +/i;

/** Digests are of one length, whatever a client sends: that is what can be compared in constant time. */
const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

/**
 * What lets those clients in that send `Authorization: Bearer TOKEN` with the token in the secret file `path`.
 * @throws SECRET_EXPOSED, FILE_UNREADABLE, TOKEN_INVALID
 */
export async function tokenDoor(disk: Disk, path: string): Promise<Door['authorize']> {
  const token = Buffer.from(await readSecret(disk, path))
    .toString()
    .trim();
  if (!TOKEN.test(token))
    throw new MirrorError(
      'TOKEN_INVALID',
      `${path} must hold one client token: ${TOKEN_MIN_CHARS} to ${TOKEN_MAX_CHARS} printable characters without blanks`,
    );
  const expected = digestOf(token);
  return async ({ headers }) => {
    const said = typeof headers.authorization === 'string' ? headers.authorization : '';
    const shown = BEARER.test(said) ? said.replace(BEARER, '') : '';
    if (!timingSafeEqual(digestOf(shown), expected))
      throw new MirrorError('CLIENT_UNAUTHORIZED', 'the client shows no token of this mirror');
  };
}

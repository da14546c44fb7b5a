/** The client token: which files hold one, and which header lets a client in. */
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { tokenDoor } from '../../src/cli/client-token.ts';
import { hasCode } from '../../src/errors.ts';
import { realDisk } from '../../src/store/disk.ts';

const TOKEN = 'a-Token_of.32+characters/at=all!';

void describe('a client token', () => {
  let dir: string;
  let file: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pinnace-client-token-'));
    file = join(dir, 'client-token');
  });
  after(() => rm(dir, { recursive: true }));
  const door = async (text: string, mode = 0o600): ReturnType<typeof tokenDoor> => {
    await writeFile(file, text);
    await chmod(file, mode);
    return tokenDoor(realDisk, file);
  };

  void it('of 16 to 512 printable characters is taken, with or without a newline after it', async () => {
    for (const text of ['x'.repeat(16), 'x'.repeat(512), TOKEN, `${TOKEN}\n`]) {
      const authorize = await door(text);
      await authorize({ headers: { authorization: `Bearer ${text.trim()}` } });
    }
  });

  void it('that is too short, too long, two, or holds what no header may is refused, and is not told', async () => {
    for (const text of [
      '',
      '\n',
      'x'.repeat(15),
      'x'.repeat(513),
      `${TOKEN}\n${TOKEN}`,
      `${TOKEN} x`,
      `${TOKEN}\u00e9`,
      `\u0000${TOKEN}`,
    ])
      await assert.rejects(
        door(text),
        error => hasCode(error, 'TOKEN_INVALID') && error.message.includes(file) && !error.message.includes(TOKEN),
        JSON.stringify(text),
      );
  });

  void it('that others can read, or that is not there, is refused at the start', async () => {
    await assert.rejects(door(TOKEN, 0o640), error => hasCode(error, 'SECRET_EXPOSED'));
    await assert.rejects(tokenDoor(realDisk, join(dir, 'none')), error => hasCode(error, 'FILE_UNREADABLE'));
  });

  void it('lets in who shows it whole, and nobody else', async () => {
    const authorize = await door(TOKEN);
    for (const scheme of ['Bearer', 'bearer', 'BEARER'])
      await authorize({ headers: { authorization: `${scheme} ${TOKEN}` } });
    const shown = [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      TOKEN,
      `Basic ${TOKEN}`,
      `Bearer ${TOKEN}x`,
      `Bearer ${TOKEN.slice(0, -1)}`,
      `Bearer ${TOKEN.toUpperCase()}`,
      `Bearer ${TOKEN} ${TOKEN}`,
      `Bearer${TOKEN}`,
      `xBearer ${TOKEN}`,
      [`Bearer ${TOKEN}`],
    ];
    for (const authorization of shown)
      await assert.rejects(
        authorize({ headers: { authorization } }),
        error => hasCode(error, 'CLIENT_UNAUTHORIZED') && !error.message.includes(TOKEN),
        String(authorization),
      );
  });
});

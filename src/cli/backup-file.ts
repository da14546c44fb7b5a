/**
 * The file of a backup. Promises: sealed under a passphrase unless the caller said otherwise, and bound to its cluster; what
 * is opened is whole and was not changed. Refuses to know what the files in it are. Spec: identity/IDENTITY.md, "Backups";
 * RFC 7914 (scrypt), NIST SP 800-38D (GCM).
 */
import { createCipheriv, createDecipheriv, createHash, scrypt } from 'node:crypto';
import { MirrorError } from '../errors.ts';
import { isClusterId, PASSPHRASE_MIN_CHARS } from '../identity/issuer.ts';
import type { World } from '../world.ts';
import { Fields } from '../yaml.ts';

/** The largest backup, in bytes. */
export const BACKUP_MAX_BYTES = 16 << 20;
const VERSION = 1;
const CIPHER = 'aes-256-gcm';
const [KEY_BYTES, SALT_BYTES, IV_BYTES, TAG_BYTES] = [32, 16, 12, 16];
/** 128 MiB and some tenths of a second for each passphrase that is tried. */
const SCRYPT = { N: 2 ** 17, r: 8, p: 1, maxmem: 2 ** 28 };

/** Files by name. */
export type Files = ReadonlyMap<string, Uint8Array>;

const keyOf = (passphrase: string, salt: Uint8Array): Promise<Buffer> =>
  new Promise((done, failed) =>
    scrypt(passphrase, salt, KEY_BYTES, SCRYPT, (error, key) => (error ? failed(error) : done(key))),
  );
const binding = (cluster: string): Buffer => Buffer.from(`pinnace/backup/${VERSION}\n${cluster}`);
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The text of a backup; not sealed without a passphrase. @throws PASSPHRASE_WRONG where it is too short, LIMIT_EXCEEDED */
export async function sealBackup(
  cluster: string,
  files: Files,
  passphrase: string | undefined,
  world: Pick<World, 'random'>,
): Promise<string> {
  const content = Buffer.from(
    JSON.stringify(Object.fromEntries([...files].map(([name, bytes]) => [name, base64(bytes)]))),
  );
  const text = `${JSON.stringify(await sealed(cluster, content, passphrase, world))}\n`;
  if (text.length > BACKUP_MAX_BYTES)
    throw new MirrorError('LIMIT_EXCEEDED', `the backup would have ${text.length} bytes, at most ${BACKUP_MAX_BYTES}`);
  return text;
}

async function sealed(
  cluster: string,
  content: Uint8Array,
  passphrase: string | undefined,
  world: Pick<World, 'random'>,
): Promise<object> {
  if (passphrase === undefined)
    return { backup: VERSION, cluster, sealed: false, digest: digestOf(content), data: base64(content) };
  if (passphrase.length < PASSPHRASE_MIN_CHARS)
    throw new MirrorError('PASSPHRASE_WRONG', `a passphrase needs at least ${PASSPHRASE_MIN_CHARS} characters`);
  const [salt, iv] = [world.random(SALT_BYTES), world.random(IV_BYTES)];
  const cipher = createCipheriv(CIPHER, await keyOf(passphrase, salt), iv).setAAD(binding(cluster));
  const data = Buffer.concat([cipher.update(content), cipher.final(), cipher.getAuthTag()]);
  return { backup: VERSION, cluster, sealed: true, salt: base64(salt), iv: base64(iv), data: base64(data) };
}

/**
 * What is in a backup; `passphrase` is asked for only where it is sealed. @throws PASSPHRASE_WRONG (or it was changed),
 * STATE_INVALID, STATE_NEWER
 */
export async function openBackup(
  text: string,
  passphrase: () => Promise<string>,
): Promise<{ readonly cluster: string; readonly files: Files; readonly sealed: boolean }> {
  const fields = new Fields(parse(text), 'the backup: ', 'STATE_INVALID');
  if (fields.integer('backup', { min: 1, max: Number.MAX_SAFE_INTEGER }) > VERSION)
    throw new MirrorError('STATE_NEWER', 'the backup is of a newer version of Pinnace');
  const cluster = fields.string('cluster');
  if (!isClusterId(cluster)) fields.fail('cluster', 'must be 32 hex digits');
  const isSealed = fields.boolean('sealed', true);
  const content = isSealed ? await unsealed(fields, cluster, await passphrase()) : wholeContent(fields);
  fields.end();
  return { cluster, files: filesOf(content), sealed: isSealed };
}

function parse(text: string): unknown {
  if (text.length > BACKUP_MAX_BYTES)
    throw new MirrorError('STATE_INVALID', `the backup is larger than ${BACKUP_MAX_BYTES} bytes`);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new MirrorError('STATE_INVALID', 'the file is no backup, or it is damaged', { cause: error });
  }
}

const bytesOf = (fields: Fields, name: string): Buffer => Buffer.from(fields.string(name), 'base64');

async function unsealed(fields: Fields, cluster: string, passphrase: string): Promise<Uint8Array> {
  const [salt, iv, data] = [bytesOf(fields, 'salt'), bytesOf(fields, 'iv'), bytesOf(fields, 'data')];
  if (salt.length !== SALT_BYTES || iv.length !== IV_BYTES || data.length < TAG_BYTES)
    throw new MirrorError('STATE_INVALID', 'the backup is damaged');
  const cipher = createDecipheriv(CIPHER, await keyOf(passphrase, salt), iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(binding(cluster)).setAuthTag(data.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([cipher.update(data.subarray(0, -TAG_BYTES)), cipher.final()]);
  } catch (error) {
    throw new MirrorError('PASSPHRASE_WRONG', 'the passphrase does not open the backup, or it was changed', {
      cause: error,
    });
  }
}

function wholeContent(fields: Fields): Uint8Array {
  const data = bytesOf(fields, 'data');
  if (digestOf(data) !== fields.string('digest')) fields.fail('data', 'is not what was backed up');
  return data;
}

function filesOf(content: Uint8Array): Files {
  const json = parse(Buffer.from(content).toString());
  if (json === null || typeof json !== 'object') throw new MirrorError('STATE_INVALID', 'the backup holds no files');
  const entries = Object.entries(json);
  if (entries.some(([, data]) => typeof data !== 'string'))
    throw new MirrorError('STATE_INVALID', 'the backup holds something else than files');
  return new Map(entries.map(([name, data]) => [name, new Uint8Array(Buffer.from(data as string, 'base64'))]));
}

/**
 * Passphrases: from a file that only its owner can read, or typed on a terminal without echo. Promises: never from argv or
 * the environment, and never printed.
 */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { MirrorError } from '../errors.ts';
import { isSealed } from '../identity/issuer.ts';
import { readSecret, realDisk } from '../store/disk.ts';
import type { Io } from './command.ts';

export const PASSPHRASE_OPTIONS = { 'passphrase-file': { type: 'string' } } as const;
export const PASSPHRASE_USAGE =
  '  --passphrase-file F  the passphrase of the issuer’s key (0600); asked for on a terminal where it is left out';

type Values = Readonly<Record<string, unknown>>;

async function fromFile(file: string): Promise<string> {
  const text = Buffer.from(await readSecret(realDisk, file)).toString();
  const [line = '', ...more] = text.replace(/\n$/, '').split('\n');
  if (!line || more.length) throw new MirrorError('PASSPHRASE_WRONG', `${file} must hold one line`);
  return line;
}

async function typed(prompt: string, io: Io): Promise<string> {
  if (!process.stdin.isTTY || !io.terminal)
    throw new MirrorError('USAGE', 'there is no terminal to type a passphrase on: give --passphrase-file');
  io.err(prompt);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await lines.question('', { signal: io.signal });
  } catch (error) {
    throw new MirrorError('STOPPED', 'no passphrase was typed', { cause: error });
  } finally {
    lines.close();
    io.err('\n');
  }
}

/** The passphrase that opens a key file; undefined where it is under none. @throws PASSPHRASE_WRONG, SECRET_EXPOSED, USAGE */
export const passphraseFor =
  (values: Values, io: Io) =>
  (pem: string): Promise<string | undefined> =>
    isSealed(pem) ? readPassphrase(values, io, 'the key') : Promise.resolve(undefined);

/** The passphrase of `what`. @throws PASSPHRASE_WRONG, SECRET_EXPOSED, USAGE */
export const readPassphrase = (values: Values, io: Io, what: string): Promise<string> => {
  const file = values['passphrase-file'];
  return typeof file === 'string' ? fromFile(file) : typed(`Passphrase of ${what}: `, io);
};

/** A passphrase for `what`; undefined for --no-passphrase. @throws PASSPHRASE_WRONG, SECRET_EXPOSED, USAGE */
export async function newPassphrase(
  values: Values,
  io: Io,
  what = 'issuer and recovery key',
): Promise<string | undefined> {
  const file = values['passphrase-file'];
  if (values['no-passphrase'] === true) {
    if (file === undefined) return undefined;
    throw new MirrorError('USAGE', 'give --no-passphrase or --passphrase-file, not both');
  }
  if (typeof file === 'string') return fromFile(file);
  const first = await typed(`New passphrase for ${what}: `, io);
  if ((await typed('The same again: ', io)) === first) return first;
  throw new MirrorError('PASSPHRASE_WRONG', 'the two passphrases differ');
}

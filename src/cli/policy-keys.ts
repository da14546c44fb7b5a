/**
 * The keys of those who sign policies: what a roster is told of them, and the files in which they are. Promises: Ed25519 and
 * P-256 alone; a private key is read from a file of its owner alone. Spec: identity/IDENTITY.md, "Who signs policies".
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { MirrorError } from '../errors.ts';
import { isSealed, KEY_FILE_MAX_BYTES } from '../identity/issuer.ts';
import { maySignPolicies, type PolicyDemand, policyKeyOf } from '../identity/policy-demand.ts';
import { closeAfter, readSecret, readWhole, realDisk } from '../store/disk.ts';
import type { AskPassphrase } from './cluster-folder.ts';

/** The options by which a roster is told whose policies count. */
export const DEMAND_OPTIONS = {
  'policy-key': { type: 'string', multiple: true },
  'policy-threshold': { type: 'string' },
  'require-signed-policy': { type: 'boolean' },
  'allow-unsigned-policy': { type: 'boolean' },
  'lowest-policy-serial': { type: 'string' },
  'no-policy-keys': { type: 'boolean' },
} as const;
export const DEMAND_USAGE = `  --policy-key FILE    a public key (PEM, Ed25519 or P-256) whose signature on a policy counts; several: give it again.
                       These replace all that counted before; what no option names stays as it was
  --policy-threshold N so many of them must have signed (at first 1)
  --require-signed-policy   no unsigned policy counts, whatever a node's files say
  --allow-unsigned-policy   unsigned ones count again where there is no signed one (at first so)
  --lowest-policy-serial N  no policy below it counts (at first 1)
  --no-policy-keys     no signature counts any more, and nothing is demanded`;

type Values = Readonly<Record<string, unknown>>;
type Change = (before: PolicyDemand | undefined) => PolicyDemand | undefined;

const usage = (text: string): MirrorError => new MirrorError('USAGE', text);

/** A whole number from `min` on in an option; undefined where it is not given. @throws USAGE */
export function numberIn(values: Values, option: string, min: number): number | undefined {
  const text = values[option];
  if (text === undefined) return undefined;
  const number = typeof text === 'string' && /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= min) return number;
  throw usage(`--${option} must be a whole number from ${min} on`);
}

/** What the options change of a roster's demand; undefined where they say nothing of it. @throws USAGE, FILE_UNREADABLE, STATE_INVALID */
export async function demandChange(values: Values): Promise<Change | undefined> {
  const given = Object.keys(DEMAND_OPTIONS).filter(option => values[option] !== undefined && values[option] !== false);
  if (!given.length) return undefined;
  if (values['no-policy-keys'] === true) {
    if (given.length > 1) throw usage('give --no-policy-keys alone: nothing is demanded after it');
    return () => undefined;
  }
  const [signed, unsigned] = [values['require-signed-policy'] === true, values['allow-unsigned-policy'] === true];
  if (signed && unsigned) throw usage('give --require-signed-policy or --allow-unsigned-policy, not both');
  const files = values['policy-key'] as readonly string[] | undefined;
  const keys = files && (await Promise.all(files.map(readPolicyKey)));
  const threshold = numberIn(values, 'policy-threshold', 1);
  const lowestSerial = numberIn(values, 'lowest-policy-serial', 1);
  return before => {
    const all = keys ?? before?.keys;
    if (!all) throw usage('the roster names no key for policies yet: give --policy-key');
    const next = {
      keys: all,
      threshold: threshold ?? before?.threshold ?? 1,
      requireSigned: signed || (!unsigned && (before?.requireSigned ?? false)),
      lowestSerial: lowestSerial ?? before?.lowestSerial ?? 1,
    };
    if (next.threshold > all.length)
      throw usage(`${next.threshold} of ${all.length} keys cannot sign: give --policy-threshold`);
    return next;
  };
}

/** What a roster demands of policies, for --json. */
export const demandJson = (demand: PolicyDemand | undefined, idOf: (key: Uint8Array) => string): object =>
  demand ? { policy: { ...demand, keys: demand.keys.map(idOf) } } : {};

async function readKeyFile(path: string): Promise<string> {
  const file = await realDisk.openRead(path, 'follow');
  if (!file) throw new MirrorError('FILE_UNREADABLE', `there is no file ${path}`);
  return Buffer.from(await closeAfter(file, () => readWhole(file, path, KEY_FILE_MAX_BYTES))).toString();
}

/** The public key in a file (PEM), as SubjectPublicKeyInfo. @throws FILE_UNREADABLE, STATE_INVALID where it is none that may sign */
export async function readPolicyKey(path: string): Promise<Uint8Array> {
  const pem = await readKeyFile(path);
  if (!/^-----BEGIN PUBLIC KEY-----$/m.test(pem) || /PRIVATE/.test(pem))
    throw new MirrorError('STATE_INVALID', `${path} is not a public key in PEM`);
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (error) {
    throw new MirrorError('STATE_INVALID', `${path} is not a public key in PEM`, { cause: error });
  }
  if (!maySignPolicies(key)) throw new MirrorError('STATE_INVALID', `${path} is not an Ed25519 or P-256 key`);
  return policyKeyOf(key, path);
}

/** The private key in a file (PEM, 0600). @throws FILE_UNREADABLE, SECRET_EXPOSED, PASSPHRASE_WRONG, STATE_INVALID */
export async function readSigningKey(path: string, ask: AskPassphrase): Promise<KeyObject> {
  const pem = Buffer.from(await readSecret(realDisk, path)).toString();
  if (/-----BEGIN ENCRYPTED (?:SIGSTORE|COSIGN) /.test(pem))
    throw new MirrorError(
      'STATE_INVALID',
      `${path} is in a form of cosign's own: openssl genpkey makes keys for policies`,
    );
  const passphrase = await ask(pem);
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem', ...(passphrase === undefined ? {} : { passphrase }) });
  } catch (error) {
    if (isSealed(pem))
      throw new MirrorError('PASSPHRASE_WRONG', `${path}: the passphrase does not open it`, { cause: error });
    throw new MirrorError('STATE_INVALID', `${path} is not a private key in PEM`, { cause: error });
  }
  if (!maySignPolicies(key)) throw new MirrorError('STATE_INVALID', `${path} is not an Ed25519 or P-256 key`);
  return key;
}

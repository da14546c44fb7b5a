/**
 * Signed policies: a DSSE envelope over a policy and its files. Promises: one spelling, bounded sizes; signatures are checked
 * before the payload is read; each key counts once, and a signature that names a key that counts and is not by it spoils
 * all. Refuses to know what a policy says, and whose keys count. Spec: policy/POLICY.md, "Bundles"; DSSE v1.
 */
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { asMirrorError, MirrorError } from '../errors.ts';
import { Fields } from '../yaml.ts';

export const POLICY_PAYLOAD_TYPE = 'application/vnd.pinnace.policy.v1+json';
/** The largest envelope, in bytes. */
export const BUNDLE_MAX_BYTES = 32 << 20;
/** The most signatures in one. */
export const BUNDLE_SIGNATURES_MAX = 16;
/** The latest time that a payload may name, in milliseconds since 1970. */
const TIME_MAX_MS = 2 ** 50;

const HEAD = '{"payload":"';
const MIDDLE = `","payloadType":"${POLICY_PAYLOAD_TYPE}","signatures":[`;
const TAIL = ']}';
/** An Ed25519 signature has 64 bytes, one by P-256 at most 72. */
const SIGNATURE = /^\{"keyid":"([0-9a-f]{64})","sig":"([A-Za-z0-9+/]{4,96}={0,2})"\}$/;
const SIGNATURE_MAX_CHARS = 200;

/** What persons sign: a policy, and the files that it names by the paths that it writes. */
export interface BundledPolicy {
  /** The id of the cluster for which it is. */
  readonly cluster: string;
  readonly name: string;
  readonly serial: number;
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly policy: string;
  readonly files: ReadonlyMap<string, string>;
}

/** A bundle of well-formed bytes, of which nothing was proved yet. */
export interface SealedPolicy {
  readonly payload: Uint8Array;
  /** SHA-256 of the payload, hex: the same for whoever signed it. */
  readonly id: string;
  /** Sorted by key, each key once. */
  readonly signatures: readonly { readonly keyid: string; readonly sig: Uint8Array }[];
}

/** True where a file is a bundle and not YAML. */
export const looksLikeBundle = (bytes: Uint8Array): boolean =>
  Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, HEAD.length)).toString('latin1') === HEAD;

const refusal = (why: string, cause?: unknown): MirrorError =>
  new MirrorError('BUNDLE_INVALID', `policy bundle: ${why}`, { cause });
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');

/** The bytes of canonical base64. @throws BUNDLE_INVALID */
function fromBase64(text: string, what: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw refusal(`its ${what} is not canonical base64`);
  return bytes;
}

/** Takes an envelope apart; nothing of it is proved. @throws BUNDLE_INVALID for all but the one spelling */
export function unsealPolicy(bytes: Uint8Array): SealedPolicy {
  if (bytes.length > BUNDLE_MAX_BYTES) throw refusal(`larger than ${BUNDLE_MAX_BYTES} bytes`);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  const end = text.indexOf('"', HEAD.length);
  if (!text.startsWith(HEAD) || !text.startsWith(MIDDLE, end) || !text.endsWith(TAIL))
    throw refusal(`is not an envelope of ${POLICY_PAYLOAD_TYPE} in its one spelling`);
  const list = text.slice(end + MIDDLE.length, -TAIL.length);
  if (list.length > BUNDLE_SIGNATURES_MAX * SIGNATURE_MAX_CHARS) throw refusal('has too many signatures');
  const signatures = list.split(/(?<=\}),(?=\{)/).map(readSignature);
  if (signatures.length > BUNDLE_SIGNATURES_MAX) throw refusal(`has more than ${BUNDLE_SIGNATURES_MAX} signatures`);
  if (signatures.some(({ keyid }, at) => at > 0 && keyid <= signatures[at - 1]!.keyid))
    throw refusal('its signatures are not sorted by key, each key once');
  const payload = fromBase64(text.slice(HEAD.length, end), 'payload');
  return { payload, id: sha256(payload), signatures };
}

function readSignature(text: string): SealedPolicy['signatures'][number] {
  const [, keyid, sig] = SIGNATURE.exec(text) ?? [];
  if (keyid === undefined || sig === undefined) throw refusal('a signature is not {keyid, sig} in its one spelling');
  return { keyid, sig: fromBase64(sig, 'signature') };
}

/** The bytes of an envelope. */
export function sealPolicy({ payload, signatures }: Pick<SealedPolicy, 'payload' | 'signatures'>): Uint8Array {
  const list = signatures.map(({ keyid, sig }) => `{"keyid":"${keyid}","sig":"${base64(sig)}"}`);
  return Buffer.from(`${HEAD}${base64(payload)}${MIDDLE}${list.join(',')}${TAIL}`, 'latin1');
}

/** What a signature is over, by DSSE v1. */
const preAuthentication = (payload: Uint8Array): Uint8Array =>
  Buffer.concat([
    Buffer.from(`DSSEv1 ${POLICY_PAYLOAD_TYPE.length} ${POLICY_PAYLOAD_TYPE} ${payload.length} `),
    payload,
  ]);

/** How a bundle names a key: the SHA-256, hex, of its SubjectPublicKeyInfo. */
export const keyIdOf = (spki: Uint8Array): string => sha256(spki);

const algorithmOf = (key: KeyObject): string | null => (key.asymmetricKeyType === 'ec' ? 'sha256' : null);

/**
 * The ids of those of `keys` (SubjectPublicKeyInfo, Ed25519 or P-256) that signed. @throws BUNDLE_INVALID where a signature
 * names one of them and is not by it
 */
function policySigners({ payload, signatures }: SealedPolicy, keys: readonly Uint8Array[]): readonly string[] {
  const counting = new Map(keys.map(key => [keyIdOf(key), key]));
  const signed = signatures.filter(({ keyid }) => counting.has(keyid));
  const bytes = signed.length ? preAuthentication(payload) : payload;
  for (const { keyid, sig } of signed) {
    const key = createPublicKey({ key: Buffer.from(counting.get(keyid)!), format: 'der', type: 'spki' });
    if (!verify(algorithmOf(key), bytes, key, sig)) throw refusal(`the signature that names key ${keyid} is not by it`);
  }
  return signed.map(({ keyid }) => keyid);
}

/** Proves that `threshold` of `keys` signed; answers with the ids of those that did. @throws BUNDLE_INVALID, POLICY_UNSIGNED */
export function provePolicy(
  sealed: SealedPolicy,
  { keys, threshold }: { readonly keys: readonly Uint8Array[]; readonly threshold: number },
): readonly string[] {
  const signers = policySigners(sealed, keys);
  if (signers.length < threshold)
    throw new MirrorError('POLICY_UNSIGNED', `signed by ${signers.length} keys that count, ${threshold} are needed`);
  return signers;
}

/** Reads what a bundle carries; prove it before. @throws BUNDLE_INVALID for all but the one spelling */
export function readBundled({ payload }: Pick<SealedPolicy, 'payload'>): BundledPolicy {
  const read = payloadFrom(payload);
  if (!Buffer.from(formatBundled(read)).equals(payload)) throw refusal('its payload is another spelling of the same');
  return read;
}

function payloadFrom(payload: Uint8Array): BundledPolicy {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload));
  } catch (error) {
    throw refusal(asMirrorError(error, 'BUNDLE_INVALID', 'its payload is not JSON').message, error);
  }
  const fields = new Fields(json, 'policy bundle: ', 'BUNDLE_INVALID');
  const time = { min: 0, max: TIME_MAX_MS };
  const read = {
    cluster: fields.string('cluster'),
    name: fields.string('name'),
    serial: fields.integer('serial', { min: 1, max: Number.MAX_SAFE_INTEGER }),
    issuedAt: fields.integer('issuedAt', time),
    expiresAt: fields.integer('expiresAt', time),
    policy: fields.string('policy'),
    files: readFiles(fields),
  };
  fields.end();
  for (const text of [read.policy, ...read.files.keys(), ...read.files.values()])
    if (!text.isWellFormed()) throw refusal('has text that is no Unicode');
  return read;
}

function readFiles(fields: Fields): ReadonlyMap<string, string> {
  const files = fields.fields('files') ?? fields.fail('files', 'must be a mapping');
  return new Map(
    files.keys().map(path => {
      const text = files.take(path);
      return typeof text === 'string' ? [path, text] : files.fail(path, 'must be a text');
    }),
  );
}

/** The payload of a policy: JSON, keys sorted, no white space. */
function formatBundled({ files, ...rest }: BundledPolicy): string {
  const paths = [...files.keys()].sort();
  const texts = paths.map(path => `${JSON.stringify(path)}:${JSON.stringify(files.get(path))}`);
  const { cluster, expiresAt, issuedAt, name, policy, serial } = rest;
  const [head, tail] = [
    { cluster, expiresAt },
    { issuedAt, name, policy, serial },
  ].map(part => JSON.stringify(part).slice(1, -1));
  return `{${head},"files":{${texts.join(',')}},${tail}}`;
}

/** A policy that nobody signed yet. */
export function bundlePolicy(policy: BundledPolicy): SealedPolicy {
  const payload = Buffer.from(formatBundled(policy));
  return { payload, id: sha256(payload), signatures: [] };
}

/** The envelope with one signature more, by a private Ed25519 or P-256 key; who signed already signs anew. @throws BUNDLE_INVALID */
export function signPolicy({ payload, signatures }: SealedPolicy, key: KeyObject): Uint8Array {
  const publicKey = createPublicKey({ key: createPublicKey(key).export({ format: 'jwk' }), format: 'jwk' });
  const keyid = keyIdOf(publicKey.export({ type: 'spki', format: 'der' }));
  const sig = sign(algorithmOf(key), preAuthentication(payload), key);
  const all = [...signatures.filter(one => one.keyid !== keyid), { keyid, sig }];
  if (all.length > BUNDLE_SIGNATURES_MAX) throw refusal(`would have more than ${BUNDLE_SIGNATURES_MAX} signatures`);
  return sealPolicy({ payload, signatures: all.sort((a, b) => (a.keyid < b.keyid ? -1 : 1)) });
}

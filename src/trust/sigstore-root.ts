/**
 * Trust roots: whose certificates, logs and timestamps count. Promises: a root in use is complete. Every log, certificate
 * authority and timestamp authority says since when it counts, keys are of the kind that is stated and strong enough, and
 * a log's id is that of its key. The library fills what is missing with "for ever". Spec: sigstore protobuf-specs,
 * sigstore_trustroot.proto (TrustedRoot).
 */
import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import {
  type CertificateAuthority,
  HashAlgorithm,
  PublicKeyDetails,
  type TimeRange,
  type TransparencyLogInstance,
  TrustedRoot,
} from '@sigstore/protobuf-specs';
import { type TrustMaterial, toTrustMaterial } from '@sigstore/verify';
import { MirrorError } from '../errors.ts';
import { checkDer } from './sigstore-der.ts';
import { refusing } from './sigstore-refusal.ts';
import { own } from './sigstore-statement.ts';

const ROOT_MAX_BYTES = 1 << 20;
const RSA_MIN_BITS = 2048;
const RSA_MAX_BITS = 8192;
const OID_TIME_STAMPING = '1.3.6.1.5.5.7.3.8';
const MEDIA_TYPES: ReadonlySet<string> = new Set([
  'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
  'application/vnd.dev.sigstore.trustedroot.v0.1+json',
  'application/vnd.dev.sigstore.trustedroot+json;version=0.2',
  'application/vnd.dev.sigstore.trustedroot.v0.2+json',
]);

/** What a public key is, as far as its strength goes: its curve, or its type. */
export function kindOfKey(key: KeyObject): string {
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'ec') return namedCurve ?? 'ec';
  if (key.asymmetricKeyType !== 'rsa') return key.asymmetricKeyType ?? 'none';
  return modulusLength >= RSA_MIN_BITS && modulusLength <= RSA_MAX_BITS ? 'rsa' : `rsa of ${modulusLength} bits`;
}

const KINDS: ReadonlyMap<PublicKeyDetails, string> = new Map([
  [PublicKeyDetails.PKIX_ECDSA_P256_SHA_256, 'prime256v1'],
  [PublicKeyDetails.PKIX_ECDSA_P384_SHA_384, 'secp384r1'],
  [PublicKeyDetails.PKIX_ED25519, 'ed25519'],
  [PublicKeyDetails.PKCS1_RSA_PKCS1V5, 'rsa'],
  [PublicKeyDetails.PKIX_RSA_PKCS1V5, 'rsa'],
  [PublicKeyDetails.PKIX_RSA_PKCS1V15_2048_SHA256, 'rsa'],
  [PublicKeyDetails.PKIX_RSA_PKCS1V15_3072_SHA256, 'rsa'],
  [PublicKeyDetails.PKIX_RSA_PKCS1V15_4096_SHA256, 'rsa'],
]);
const CERTIFICATE_KINDS: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1', 'ed25519', 'rsa']);

function wrong(why: string): never {
  throw new MirrorError('POLICY_INVALID', why);
}

function checkValidity(range: TimeRange | undefined, what: string): void {
  const start = range?.start?.getTime() ?? Number.NaN;
  if (Number.isNaN(start)) wrong(`${what} does not say since when it counts (validFor.start)`);
  if (range?.end === undefined) return;
  if (!(range.end.getTime() >= start)) wrong(`${what} counts until before it counts (validFor)`);
}

/** The ids that a log with that key may have: by its key (RFC 6962, Rekor v1), or by name and key (C2SP signed-note, Rekor v2). */
function idsOf(key: KeyObject, baseUrl: string): Buffer[] {
  const spki = key.export({ type: 'spki', format: 'der' });
  const ids = [createHash('sha256').update(spki).digest()];
  if (key.asymmetricKeyType !== 'ed25519') return ids;
  const { host } = new URL(baseUrl);
  const raw = spki.subarray(-32);
  return [...ids, createHash('sha256').update(`${host}\n`).update(Buffer.of(1)).update(raw).digest()];
}

function checkLog(log: TransparencyLogInstance, what: string): void {
  const { publicKey, logId, checkpointKeyId } = log;
  if (log.hashAlgorithm !== HashAlgorithm.SHA2_256) wrong(`${what} does not hash with SHA-256`);
  if (!publicKey?.rawBytes || !logId) return wrong(`${what} has no key or no id`);
  checkValidity(publicKey.validFor, what);
  const kind = KINDS.get(publicKey.keyDetails) ?? wrong(`${what} has a key of an unknown kind`);
  const type = publicKey.keyDetails === PublicKeyDetails.PKCS1_RSA_PKCS1V5 ? 'pkcs1' : 'spki';
  const key = createPublicKey({ key: publicKey.rawBytes, format: 'der', type });
  if (kindOfKey(key) !== kind) wrong(`${what} has a key of another kind than it states: ${kindOfKey(key)}`);
  if (!idsOf(key, log.baseUrl).some(id => id.equals(logId.keyId))) wrong(`${what} has an id that is not its key's`);
  if (checkpointKeyId && !logId.keyId.equals(checkpointKeyId.keyId)) wrong(`${what} has two ids`);
}

function certificatesOf(authority: CertificateAuthority, what: string): X509Certificate[] {
  checkValidity(authority.validFor, what);
  const certificates = authority.certChain?.certificates ?? [];
  checkDer(certificates.map(({ rawBytes }) => rawBytes));
  const chain = certificates.map(({ rawBytes }) => new X509Certificate(rawBytes));
  if (chain.length === 0) wrong(`${what} has no certificate`);
  for (const { publicKey } of chain)
    if (!CERTIFICATE_KINDS.has(kindOfKey(publicKey)))
      wrong(`${what} has a key that does not do: ${kindOfKey(publicKey)}`);
  return chain;
}

function checkSigners(authority: CertificateAuthority, what: string): void {
  if (!certificatesOf(authority, what).every(({ ca }) => ca)) wrong(`${what} has a certificate that is no authority's`);
}

function checkTimestamps(authority: CertificateAuthority, what: string): void {
  const [leaf, ...rest] = certificatesOf(authority, what);
  if (!leaf?.keyUsage?.includes(OID_TIME_STAMPING)) wrong(`${what} does not begin with a certificate for timestamps`);
  if (!rest.every(({ ca }) => ca)) wrong(`${what} has a certificate that is no authority's`);
}

function checked(bytes: Uint8Array): TrustMaterial {
  if (bytes.length > ROOT_MAX_BYTES) wrong(`has ${bytes.length} bytes, at most ${ROOT_MAX_BYTES}`);
  const json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  for (const list of ['tlogs', 'ctlogs', 'certificateAuthorities', 'timestampAuthorities'])
    if (!Array.isArray(own(json, list) ?? [])) wrong(`${list} is no list`);
  const root = TrustedRoot.fromJSON(json);
  if (!MEDIA_TYPES.has(root.mediaType)) wrong('is not a trusted_root.json of a known version (mediaType)');
  root.tlogs.forEach((log, at) => checkLog(log, `tlogs[${at}]`));
  root.ctlogs.forEach((log, at) => checkLog(log, `ctlogs[${at}]`));
  root.certificateAuthorities.forEach((one, at) => checkSigners(one, `certificateAuthorities[${at}]`));
  root.timestampAuthorities.forEach((one, at) => checkTimestamps(one, `timestampAuthorities[${at}]`));
  return toTrustMaterial(root);
}

/** What a `trusted_root.json` makes trusted: complete, in every part. @throws POLICY_INVALID */
export function parseTrustRoot(name: string, bytes: Uint8Array): TrustMaterial {
  try {
    return refusing(
      why => new MirrorError('POLICY_INVALID', why),
      'cannot be read',
      () => checked(bytes),
    );
  } catch (error) {
    throw new MirrorError('POLICY_INVALID', `trust root ${name}: ${(error as Error).message}`, { cause: error });
  }
}

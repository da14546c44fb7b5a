/**
 * Sigstore bundles, from bytes. Promises: of one of four known versions, with one signature, one key or certificate, and
 * no more and nothing longer than can be judged in time; nothing of it is believed yet. Refuses whatever leaves open what
 * is meant. Spec: sigstore protobuf-specs, sigstore_bundle.proto.
 */
import { createHash } from 'node:crypto';
import { type Bundle, bundleFromJSON } from '@sigstore/bundle';
import { HashAlgorithm } from '@sigstore/protobuf-specs';
import { type SignedEntity, toSignedEntity } from '@sigstore/verify';
import { checkDer } from './sigstore-der.ts';
import { malformed, refusing, untrusted } from './sigstore-refusal.ts';
import { CANDIDATE_MAX_BYTES, type Fields, objectIn, own } from './sigstore-statement.ts';

const MEDIA_TYPES: ReadonlySet<unknown> = new Set([
  'application/vnd.dev.sigstore.bundle+json;version=0.1',
  'application/vnd.dev.sigstore.bundle+json;version=0.2',
  'application/vnd.dev.sigstore.bundle+json;version=0.3',
  'application/vnd.dev.sigstore.bundle.v0.3+json',
]);
const ENTRIES_MAX = 16;
const CERTIFICATES_MAX = 16;
/** Bytes of one certificate, timestamp or signature. */
const PART_MAX_BYTES = 32 << 10;
const CHECKPOINT_MAX_CHARACTERS = 16 << 10;
/** Digests in a proof: a tree of 2^64 leaves has no more. */
const HASHES_MAX = 64;
const NUMBER = /^\d{1,16}$/;

/** A bundle, as the library verifies it, with the bytes that its signature is over where it does not hold them itself. */
export interface Offer {
  readonly format: 'bundle' | 'legacy';
  readonly bundle: Bundle;
  readonly entity: SignedEntity;
  readonly message?: Buffer;
}

/** A bundle whose certificate and timestamps are parsed, too. @throws BUNDLE_INVALID */
export function offerOf(format: Offer['format'], bundle: Bundle, message?: Buffer): Offer {
  const entity = refusing(malformed, 'the bundle', () => toSignedEntity(bundle, message));
  return { format, bundle, entity, ...(message ? { message } : {}) };
}

/** The bundle that `json` is, of a known version and bounded. @throws BUNDLE_INVALID */
export function bundleFrom(json: Fields): Bundle {
  if (!MEDIA_TYPES.has(own(json, 'mediaType'))) throw malformed('the bundle is of an unknown version');
  exactlyOne(json, ['messageSignature', 'dsseEnvelope'], 'signature');
  const material = own(json, 'verificationMaterial');
  exactlyOne(material, ['publicKey', 'x509CertificateChain', 'certificate'], 'key');
  const bundle = refusing(malformed, 'the bundle', () => bundleFromJSON(json));
  refusing(malformed, 'the bundle', () => checkSizes(bundle));
  return bundle;
}

/** The bundle that `bytes` spell, with `artifact` for one whose signature is over the content itself. @throws BUNDLE_INVALID, SIGNATURE_UNTRUSTED */
export function parseBundle(bytes: Uint8Array, artifact: Uint8Array | undefined): Offer {
  if (bytes.length > CANDIDATE_MAX_BYTES) throw malformed(`the bundle has ${bytes.length} bytes`);
  const bundle = bundleFrom(objectIn(bytes, 'the bundle'));
  if (bundle.content.$case === 'dsseEnvelope') return offerOf('bundle', bundle);
  if (!artifact) throw malformed('the bundle signs content that is not at hand');
  const { messageDigest } = bundle.content.messageSignature;
  const name = HASHES.get(messageDigest.algorithm);
  if (name === undefined) throw malformed('the bundle has a digest of an unknown kind');
  if (!createHash(name).update(artifact).digest().equals(messageDigest.digest))
    throw untrusted('the bundle signs other content');
  return offerOf('bundle', bundle, Buffer.from(artifact));
}

const HASHES: ReadonlyMap<HashAlgorithm, string> = new Map([
  [HashAlgorithm.SHA2_256, 'sha256'],
  [HashAlgorithm.SHA2_384, 'sha384'],
  [HashAlgorithm.SHA2_512, 'sha512'],
]);

function exactlyOne(holder: unknown, keys: readonly string[], what: string): void {
  const found = keys.filter(key => own(holder, key) !== undefined && own(holder, key) !== null);
  if (found.length !== 1) throw malformed(`the bundle has ${found.length} of one ${what}`);
}

function atMost(value: number | undefined, limit: number, what: string): void {
  if (value !== undefined && value > limit) throw malformed(`the bundle's ${what}: ${value}, at most ${limit}`);
}

function checkSizes(bundle: Bundle): void {
  const { tlogEntries, timestampVerificationData, content } = bundle.verificationMaterial;
  const timestamps = timestampVerificationData?.rfc3161Timestamps ?? [];
  atMost(tlogEntries.length, ENTRIES_MAX, 'log entries');
  atMost(timestamps.length, ENTRIES_MAX, 'timestamps');
  for (const { signedTimestamp } of timestamps) atMost(signedTimestamp.length, PART_MAX_BYTES, 'timestamp');
  for (const entry of tlogEntries) checkEntry(entry);
  const chain = content.$case === 'x509CertificateChain' ? content.x509CertificateChain.certificates : [];
  atMost(chain.length, CERTIFICATES_MAX, 'certificates');
  const certificates = (content.$case === 'certificate' ? [content.certificate] : chain).map(one => one.rawBytes);
  for (const { length } of certificates) atMost(length, PART_MAX_BYTES, 'certificate');
  checkDer([...certificates.slice(0, 1), ...timestamps.map(one => one.signedTimestamp)]);
  if (bundle.content.$case === 'messageSignature')
    atMost(bundle.content.messageSignature.signature.length, PART_MAX_BYTES, 'signature');
  else if (bundle.content.dsseEnvelope.signatures.length !== 1) throw malformed('the envelope has not one signature');
}

function checkEntry(entry: Bundle['verificationMaterial']['tlogEntries'][number]): void {
  const { inclusionProof, integratedTime, logIndex } = entry;
  for (const number of [integratedTime, logIndex, inclusionProof?.logIndex ?? '0'])
    if (!NUMBER.test(number)) throw malformed('a log entry has a number that is none');
  atMost(inclusionProof?.hashes.length, HASHES_MAX, 'proof');
  atMost(inclusionProof?.checkpoint?.envelope.length, CHECKPOINT_MAX_CHARACTERS, 'checkpoint');
}

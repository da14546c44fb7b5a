/**
 * Cosign's older signatures (`.sig` and `.att` tags): a payload and the annotations of its layer, made into a bundle of
 * version 0.1, so that one function judges both. Promises: bounded; nothing is believed yet. A chain in the annotations is
 * not looked at: intermediate certificates are the trust root's. Spec: cosign SIGNATURE_SPEC.md; names as cosign writes them.
 */
import { createHash } from 'node:crypto';
import { bundleFrom, type Offer, offerOf } from './sigstore-bundle.ts';
import { malformed } from './sigstore-refusal.ts';
import { CANDIDATE_MAX_BYTES, type Fields, objectIn, own } from './sigstore-statement.ts';

const SIGNATURE = 'dev.cosignproject.cosign/signature';
const CERTIFICATE = 'dev.sigstore.cosign/certificate';
const BUNDLE = 'dev.sigstore.cosign/bundle';
const TIMESTAMP = 'dev.sigstore.cosign/rfc3161timestamp';
const MEDIA_TYPE = 'application/vnd.dev.sigstore.bundle+json;version=0.1';
const PEM = /^\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*$/;
const HEX = /^[a-f0-9]{64}$/;

/** Annotations by which a layer signs; whatever else stands there is not read. */
type Annotations = Readonly<Record<string, string>>;

/** The bundle that a layer of `payload` with `annotations` amounts to. @throws BUNDLE_INVALID */
export function parseLegacy(payload: Uint8Array, annotations: Annotations): Offer {
  const texts = [SIGNATURE, CERTIFICATE, BUNDLE, TIMESTAMP].map(name => textOf(annotations, name) ?? '');
  const size = texts.reduce((sum, text) => sum + text.length, payload.length);
  if (size > CANDIDATE_MAX_BYTES) throw malformed(`the signature has ${size} bytes`);
  const envelope = envelopeIn(payload);
  const bundle = bundleFrom({
    mediaType: MEDIA_TYPE,
    verificationMaterial: {
      ...keyOf(textOf(annotations, CERTIFICATE)),
      tlogEntries: entriesOf(textOf(annotations, BUNDLE)),
      timestampVerificationData: { rfc3161Timestamps: timestampsOf(textOf(annotations, TIMESTAMP)) },
    },
    ...(envelope ? { dsseEnvelope: envelope } : { messageSignature: signatureOf(payload, annotations) }),
  });
  return offerOf('legacy', bundle, envelope ? undefined : Buffer.from(payload));
}

function textOf(annotations: Annotations, name: string): string | undefined {
  const value = own(annotations, name);
  if (value !== undefined && typeof value !== 'string') throw malformed(`the annotation ${name} is no text`);
  return value === '' ? undefined : value;
}

/** The envelope of an attestation, whose layer is one; undefined for a plain signature. */
function envelopeIn(payload: Uint8Array): Fields | undefined {
  const value = objectIn(payload, 'the payload');
  return own(value, 'payloadType') === undefined ? undefined : value;
}

function signatureOf(payload: Uint8Array, annotations: Annotations): Fields {
  const signature = textOf(annotations, SIGNATURE);
  if (signature === undefined) throw malformed('the layer has no signature');
  const digest = createHash('sha256').update(payload).digest('base64');
  return { messageDigest: { algorithm: 'SHA2_256', digest }, signature };
}

function keyOf(certificate: string | undefined): Fields {
  if (certificate === undefined) return { publicKey: { hint: '' } };
  const rawBytes = PEM.exec(certificate)?.[1]?.replaceAll(/\s/g, '');
  if (rawBytes === undefined) throw malformed('the certificate is not one in PEM');
  return { x509CertificateChain: { certificates: [{ rawBytes }] } };
}

/** What the log said when it took the signature: a promise, never a proof. */
function entriesOf(text: string | undefined): Fields[] {
  if (text === undefined) return [];
  const said = objectIn(Buffer.from(text), "the log's bundle");
  const signedEntryTimestamp = own(said, 'SignedEntryTimestamp');
  const [body, logID] = ['body', 'logID'].map(key => own(own(said, 'Payload'), key));
  if (typeof signedEntryTimestamp !== 'string' || typeof body !== 'string' || typeof logID !== 'string')
    throw malformed("the log's bundle lacks a field");
  if (!HEX.test(logID)) throw malformed("the log's id is none");
  const [integratedTime, logIndex] = ['integratedTime', 'logIndex'].map(key => own(own(said, 'Payload'), key));
  if (!Number.isSafeInteger(integratedTime) || !Number.isSafeInteger(logIndex))
    throw malformed("the log's bundle has a number that is none");
  const entry = objectIn(Buffer.from(body, 'base64'), "the log's entry");
  return [
    {
      logIndex: String(logIndex),
      logId: { keyId: Buffer.from(logID, 'hex').toString('base64') },
      kindVersion: { kind: own(entry, 'kind'), version: own(entry, 'apiVersion') },
      integratedTime: String(integratedTime),
      inclusionPromise: { signedEntryTimestamp },
      canonicalizedBody: body,
    },
  ];
}

function timestampsOf(text: string | undefined): Fields[] {
  if (text === undefined) return [];
  const signedTimestamp = own(objectIn(Buffer.from(text), 'the timestamp'), 'SignedRFC3161Timestamp');
  if (typeof signedTimestamp !== 'string') throw malformed('the timestamp is none');
  return [{ signedTimestamp }];
}

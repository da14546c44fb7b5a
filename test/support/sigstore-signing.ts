/** What is signed and by whom, in the words of cosign: statements, payloads, annotations, and signers of every kind. */
import { type KeyObject, sign } from 'node:crypto';
import type { Signer } from '@sigstore/sign';
import type { Digest } from '../../src/oci/oci.ts';
import type { Leaf } from './sigstore-leaf.ts';

/** JSON of a bundle or a trust root, to be spoilt by tests. */
export type Json = Record<string, unknown>;
export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}
export const IN_TOTO = 'application/vnd.in-toto+json';

/** JSON as bytes. */
export const bytesOfJson = (json: unknown): Buffer => Buffer.from(JSON.stringify(json));

/** A statement about `digest`; cosign's plain signature unless another type is given. */
export const statementOf = (digest: Digest, predicateType?: string, predicate: unknown = {}): string =>
  JSON.stringify({
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: 'app', digest: { [digest.split(':')[0]!]: digest.split(':')[1] } }],
    predicateType: predicateType ?? 'https://sigstore.dev/cosign/sign/v1',
    predicate,
  });

/** Cosign's older payload about `digest`. */
export const payloadOf = (digest: string, type = 'cosign container image signature'): Buffer =>
  bytesOfJson({
    critical: {
      identity: { 'docker-reference': 'registry.example/app' },
      image: { 'docker-manifest-digest': digest },
      type,
    },
    optional: null,
  });

/** Signs by a certificate that is at hand. */
export const byLeaf = ({ pem, key }: Leaf): Signer => ({
  sign: data =>
    Promise.resolve({
      key: { $case: 'x509Certificate', certificate: pem },
      signature: sign('sha256', data, key),
    }),
});

/** Signs by a bare key, as `cosign sign --key` does. */
export const byKey = ({ privateKey, publicKey }: KeyPair, hash: string | null = 'sha256'): Signer => ({
  sign: data =>
    Promise.resolve({
      key: { $case: 'publicKey', publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(), hint: 'k' },
      signature: sign(hash, data, privateKey),
    }),
});

/** The annotations that cosign writes for a bundle whose signature is over its payload. */
export function annotationsOf(bundle: Json): Record<string, string> {
  const json = bundle as {
    messageSignature?: { signature: string };
    verificationMaterial: {
      certificate?: { rawBytes: string };
      x509CertificateChain?: { certificates: { rawBytes: string }[] };
      tlogEntries?: {
        logIndex: string;
        logId: { keyId: string };
        integratedTime: string;
        inclusionPromise: { signedEntryTimestamp: string };
        canonicalizedBody: string;
      }[];
      timestampVerificationData?: { rfc3161Timestamps?: { signedTimestamp: string }[] };
    };
  };
  const { x509CertificateChain, tlogEntries = [], timestampVerificationData } = json.verificationMaterial;
  const certificate = json.verificationMaterial.certificate ?? x509CertificateChain?.certificates[0];
  const [entry] = tlogEntries;
  const timestamp = timestampVerificationData?.rfc3161Timestamps?.[0]?.signedTimestamp;
  const annotations: Record<string, string> = {
    'dev.cosignproject.cosign/signature': json.messageSignature?.signature ?? '',
  };
  if (certificate)
    annotations['dev.sigstore.cosign/certificate'] =
      `-----BEGIN CERTIFICATE-----\n${certificate.rawBytes}\n-----END CERTIFICATE-----\n`;
  if (timestamp !== undefined)
    annotations['dev.sigstore.cosign/rfc3161timestamp'] = JSON.stringify({ SignedRFC3161Timestamp: timestamp });
  if (entry)
    annotations['dev.sigstore.cosign/bundle'] = JSON.stringify({
      SignedEntryTimestamp: entry.inclusionPromise.signedEntryTimestamp,
      Payload: {
        body: entry.canonicalizedBody,
        integratedTime: Number(entry.integratedTime),
        logIndex: Number(entry.logIndex),
        logID: Buffer.from(entry.logId.keyId, 'base64').toString('hex'),
      },
    });
  return annotations;
}

/** A public key in PEM. */
export const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();

/**
 * What the mock of Rekor does not do and real Rekor does: it keeps digests of what is signed, in the words of its entry
 * types, and version 2 promises no time.
 */
import { createHash } from 'node:crypto';
import type { initializeTLog } from '@sigstore/mock';
import type { TransparencyLogEntry } from '@sigstore/protobuf-specs';
import type { Json } from './sigstore-signing.ts';

type Log = Awaited<ReturnType<typeof initializeTLog>>;
const sha256 = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest();

/** Real Rekor v1 keeps digests of an envelope, where the mock keeps what was proposed. */
export function logAsRekor1(log: Log): void {
  const write = log.log.bind(log);
  log.log = proposed => {
    const { kind, spec } = proposed as {
      kind: string;
      spec: { proposedContent: { envelope: string; verifiers: string[] } };
    };
    if (kind !== 'dsse') return write(proposed);
    const { envelope, verifiers } = spec.proposedContent;
    const { payload, signatures } = JSON.parse(envelope) as { payload: string; signatures: { sig: string }[] };
    const digest = (bytes: Uint8Array | string): Json => ({
      algorithm: 'sha256',
      value: sha256(bytes).toString('hex'),
    });
    return write({
      apiVersion: '0.0.1',
      kind,
      spec: {
        envelopeHash: digest(envelope),
        payloadHash: digest(Buffer.from(payload, 'base64')),
        signatures: signatures.map(({ sig }, at) => ({ signature: sig, verifier: verifiers[at] })),
      },
    });
  };
}

/** Real Rekor v2 keeps an entry, where the mock keeps the request; and it promises no time. */
export function logAsRekor2(log: Log): void {
  const write = log.logV2.bind(log);
  log.logV2 = async request => {
    const { spec } = request;
    const isEnvelope = spec?.$case === 'dsseRequestV002';
    const kind = isEnvelope ? 'dsse' : 'hashedrekord';
    const verifier = { x509Certificate: { rawBytes: '' }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' };
    const hash = (bytes: Uint8Array): Json => ({
      algorithm: 'SHA2_256',
      digest: Buffer.from(bytes).toString('base64'),
    });
    const content = (bytes: Uint8Array): Json => ({ content: Buffer.from(bytes).toString('base64'), verifier });
    let body: Json = {};
    if (spec?.$case === 'dsseRequestV002') {
      const { payload, signatures } = spec.dsseRequestV002.envelope!;
      body = {
        dsseV002: { payloadHash: hash(sha256(payload)), signatures: signatures.map(({ sig }) => content(sig)) },
      };
    } else if (spec?.$case === 'hashedRekordRequestV002') {
      const { digest, signature } = spec.hashedRekordRequestV002;
      body = { hashedRekordV002: { data: hash(digest), signature: content(signature!.content) } };
    }
    const entry = { apiVersion: '0.0.2', kind, spec: body } as unknown as Parameters<typeof write>[0];
    const written: TransparencyLogEntry = await write(entry);
    return {
      ...written,
      kindVersion: { kind, version: '0.0.2' },
      logIndex: '0',
      integratedTime: '0',
      inclusionProof: { ...written.inclusionProof!, logIndex: '0' },
    };
  };
}

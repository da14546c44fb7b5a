/** Tries of the limits on signatures: bundles of sigstore, cosign's older form, certificates and trust roots. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { parseTrustRoot } from '../../src/trust/sigstore-root.ts';
import { checkDer } from '../../src/trust/sigstore-der.ts';
import type { Candidate } from '../../src/trust/trust.ts';
import { keyPair, openSigstore, type Sigstore } from '../support/sigstore.ts';
import { bundle, digestAt, holds, IMAGE, ISSUER, judged, key, keyless, SUBJECT } from '../support/sigstore-judging.ts';
import { byKey, bytesOfJson, IN_TOTO, type Json, payloadOf, pemOf, statementOf } from '../support/sigstore-signing.ts';
import { refused, type Row, type Tries } from './table.ts';

const PAIR = keyPair();
const KEY = key(pemOf(PAIR.publicKey));

/** Does `work` with a private sigstore. */
const sealed =
  (work: (sigstore: Sigstore, row: Row) => Promise<void>) =>
  async (row: Row): Promise<void> => {
    const sigstore = await openSigstore();
    try {
      await work(sigstore, row);
    } finally {
      sigstore.close();
    }
  };

/** A candidate of the policy's own key, and what is made of it. */
const verdict = (candidate: Candidate): string | undefined => {
  const { signed, code } = judged({ authority: KEY, candidate });
  return signed.length ? 'holds' : code;
};
/** What of a bundle is replaced in its material. */
const withMaterial = (json: Json, change: object, mediaType?: string): Candidate => {
  const { certificate, publicKey, ...rest } = json.verificationMaterial as Json;
  const named = 'x509CertificateChain' in change ? {} : publicKey ? { publicKey } : { certificate };
  return bundle({
    ...json,
    ...(mediaType ? { mediaType } : {}),
    verificationMaterial: { ...rest, ...named, ...change },
  });
};
const times = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one);
const signedBy = (sigstore: Sigstore, text: string): Promise<Json> =>
  sigstore.statement(text, { signer: byKey(PAIR), witnesses: [] }, IN_TOTO);
/** DER: a sequence of so many nothings, itself counted. */
function objects(count: number): Buffer {
  const nothings = Buffer.from(times(count - 1, [5, 0]).flat());
  const head = Buffer.from([0x30, 0x82, 0, 0]);
  head.writeUInt16BE(nothings.length, 2);
  return Buffer.concat([head, nothings]);
}

export const signatureTries: Tries = {
  'signature-bytes': sealed(async (sigstore, { numbers: [most], codes: [code] }) => {
    const small = bytesOfJson(await signedBy(sigstore, statementOf(IMAGE)));
    const padded = (size: number): Candidate => ({
      format: 'bundle',
      bytes: Buffer.concat([small, Buffer.alloc(size - small.length, ' ')]),
    });
    assert.deepEqual([verdict(padded(most)), verdict(padded(most + 1))], ['holds', code]);
    const pair = generateKeyPairSync('ed25519');
    const payload = payloadOf(IMAGE).toString();
    const older = (size: number) => {
      // A signature by Ed25519 has 88 characters.
      const bytes = Buffer.from(payload.padEnd(size - 88));
      const signature = sign(null, bytes, pair.privateKey).toString('base64');
      const annotations = { 'dev.cosignproject.cosign/signature': signature };
      const candidate: Candidate = { format: 'legacy', payload: bytes, annotations };
      return { authority: key(pemOf(pair.publicKey)), candidate };
    };
    holds(older(most));
    assert.equal(judged(older(most + 1)).code, code);
  }),
  'bundle-parts': sealed(async (sigstore, { numbers: [entries, stamps, chain], codes: [code] }) => {
    const signer = byKey(PAIR);
    const seen = await sigstore.statement(statementOf(IMAGE), { signer, witnesses: ['rekor1'] });
    const [entry] = (seen.verificationMaterial as { tlogEntries: Json[] }).tlogEntries;
    const stamped = await sigstore.statement(statementOf(IMAGE), { signer, witnesses: ['tsa'] });
    const { rfc3161Timestamps } = (stamped.verificationMaterial as Json).timestampVerificationData as Json;
    const [stamp] = rfc3161Timestamps as Json[];
    const certified = await sigstore.statement(statementOf(IMAGE), { signer: sigstore.keyless(SUBJECT) });
    const { certificate } = certified.verificationMaterial as Json;
    const plain = await signedBy(sigstore, statementOf(IMAGE));
    const older = 'application/vnd.dev.sigstore.bundle+json;version=0.1';
    for (const [most, made] of [
      [entries, (count: number) => withMaterial(plain, { tlogEntries: times(count, entry) })],
      [stamps, count => withMaterial(plain, { timestampVerificationData: { rfc3161Timestamps: times(count, stamp) } })],
      [
        chain,
        count => withMaterial(plain, { x509CertificateChain: { certificates: times(count, certificate) } }, older),
      ],
    ] as readonly (readonly [number, (count: number) => Candidate])[])
      assert.deepEqual([verdict(made(most)), verdict(made(most + 1))], ['holds', code]);
  }),
  'bundle-part-bytes': sealed(async (sigstore, { numbers: [bytes, characters, hashes], codes: [code] }) => {
    const certified = await sigstore.statement(statementOf(IMAGE), { signer: sigstore.keyless(SUBJECT) });
    const { certificate } = certified.verificationMaterial as Json;
    const signer = byKey(PAIR);
    const seen = await sigstore.statement(statementOf(IMAGE), { signer, witnesses: ['rekor1'] });
    const [entry] = (seen.verificationMaterial as { tlogEntries: Json[] }).tlogEntries;
    const plain = await signedBy(sigstore, statementOf(IMAGE));
    const older = 'application/vnd.dev.sigstore.bundle+json;version=0.1';
    const proved = (change: object): Candidate =>
      withMaterial(plain, {
        tlogEntries: [{ ...entry, inclusionProof: { ...(entry!.inclusionProof as Json), ...change } }],
      });
    for (const [most, made] of [
      [
        bytes,
        (size: number) => {
          const rawBytes = Buffer.alloc(size).toString('base64');
          return withMaterial(plain, { x509CertificateChain: { certificates: [certificate, { rawBytes }] } }, older);
        },
      ],
      [characters, size => proved({ checkpoint: { envelope: 'x'.repeat(size) } })],
      [hashes, count => proved({ hashes: times(count, Buffer.alloc(32).toString('base64')) })],
    ] as readonly (readonly [number, (count: number) => Candidate])[])
      assert.deepEqual([verdict(made(most)), verdict(made(most + 1))], ['holds', code]);
    const message = await sigstore.message(Buffer.from('x'), { signer, witnesses: [] });
    const { messageDigest } = message.messageSignature as Json;
    const long = (size: number): string | undefined => {
      const signature = Buffer.alloc(size, 1).toString('base64');
      const bytes = bytesOfJson({ ...message, messageSignature: { messageDigest, signature } });
      const candidate: Candidate = { format: 'bundle', bytes, artifact: Buffer.from('x') };
      return judged({ authority: KEY, candidate, subject: digestAt('x') }).code;
    };
    assert.deepEqual([long(bytes), long(bytes + 1)], ['SIGNATURE_UNTRUSTED', code]);
  }),
  'certificate-objects': ({ numbers: [most], codes: [code] }) => {
    checkDer([objects(most)]);
    refused(code, () => checkDer([objects(most + 1)]));
    // All certificates and timestamps of a bundle together.
    checkDer([objects(most / 2), objects(most / 2)]);
    refused(code, () => checkDer([objects(most / 2), objects(most / 2 + 1)]));
  },
  'signed-statement': sealed(async (sigstore, { numbers: [subjects, characters], codes: [code] }) => {
    const about = async (count: number): Promise<string | undefined> => {
      const statement = JSON.parse(statementOf(IMAGE)) as { subject: object[] };
      const others = times(count - 1, { digest: { sha256: 'a'.repeat(64) } });
      return verdict(
        bundle(await signedBy(sigstore, JSON.stringify({ ...statement, subject: [...others, ...statement.subject] }))),
      );
    };
    const typed = async (length: number): Promise<string | undefined> =>
      verdict(bundle(await signedBy(sigstore, statementOf(IMAGE, 't'.repeat(length)))));
    assert.deepEqual([await about(subjects), await about(subjects + 1)], ['holds', code]);
    assert.deepEqual([await typed(characters), await typed(characters + 1)], ['holds', code]);
  }),
  'certificate-names': sealed(async (sigstore, { numbers: [most, matched], codes: [code] }) => {
    const root = sigstore.root();
    const subjectOf = (length: number): string => 'https://forge.example/'.padEnd(length, 'x');
    const by = async (length: number, subject: string | RegExp): Promise<string | undefined> => {
      const signer = sigstore.keyless(subjectOf(length));
      const candidate = bundle(await sigstore.statement(statementOf(IMAGE), { signer }));
      const { signed, code: said } = judged({
        authority: keyless({ identities: [{ issuer: ISSUER, subject }] }),
        root,
        candidate,
      });
      return signed.length ? 'holds' : said;
    };
    for (const length of [most, most + 1])
      assert.equal(await by(length, subjectOf(length)), length === most ? 'holds' : code);
    for (const length of [matched, matched + 1])
      assert.equal(await by(length, /https:\/\/forge\.example\/x*/u), length === matched ? 'holds' : code);
  }),
  'trust-root': sealed(async (sigstore, { numbers: [most], codes: [code] }) => {
    const root = bytesOfJson(sigstore.root());
    const padded = (size: number): Buffer => Buffer.concat([root, Buffer.alloc(size - root.length, ' ')]);
    parseTrustRoot('r', padded(most));
    refused(code, () => parseTrustRoot('r', padded(most + 1)));
  }),
};

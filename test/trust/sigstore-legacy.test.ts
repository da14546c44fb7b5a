/** Cosign's older signatures and attestations: a payload and the annotations of its layer, judged as bundles are. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { Candidate } from '../../src/trust/trust.ts';
import { keyPair, openSigstore, type Sigstore, type Witnesses } from '../support/sigstore.ts';
import { digestAt, holds, IMAGE, judged, key, keyless, refused, SUBJECT } from '../support/sigstore-judging.ts';
import {
  annotationsOf,
  byKey,
  bytesOfJson,
  type Json,
  payloadOf,
  pemOf,
  statementOf,
} from '../support/sigstore-signing.ts';

type Annotations = Record<string, string>;
const SIGNATURE = 'dev.cosignproject.cosign/signature';
const CERTIFICATE = 'dev.sigstore.cosign/certificate';
const BUNDLE = 'dev.sigstore.cosign/bundle';
const UNTRUSTED = 'SIGNATURE_UNTRUSTED';
const INVALID = 'BUNDLE_INVALID';
const PAIR = keyPair();
const KEY = key(pemOf(PAIR.publicKey));
const PAYLOAD = payloadOf(IMAGE);
let sigstore: Sigstore;
let root: Json;
let annotations: Annotations;

const layer = (payload: Uint8Array, also: Annotations): Candidate => ({ format: 'legacy', payload, annotations: also });
const keyed = (payload: Uint8Array): Candidate =>
  layer(payload, { [SIGNATURE]: sign('sha256', payload, PAIR.privateKey).toString('base64') });
const signedLayer = async (payload: Buffer, witnesses: Witnesses): Promise<Annotations> =>
  annotationsOf(await sigstore.message(payload, { signer: sigstore.keyless(SUBJECT), witnesses }));

before(async () => {
  sigstore = await openSigstore();
  root = sigstore.root();
  annotations = await signedLayer(PAYLOAD, ['rekor1']);
});
after(() => sigstore.close());

void describe('a legacy signature by a key', () => {
  void it('holds for that key and says nothing but that it is one', () => {
    const signed = holds({ authority: KEY, candidate: keyed(PAYLOAD) });
    assert.deepEqual([signed.format, signed.signedAt, 'predicateType' in signed], ['legacy', undefined, false]);
    refused({ authority: key(pemOf(keyPair().publicKey)), candidate: keyed(PAYLOAD) }, UNTRUSTED, /SIGNATURE/);
  });

  void it('holds by Ed25519 and P-384, too', () => {
    for (const [pair, hash] of [
      [generateKeyPairSync('ed25519'), null],
      [generateKeyPairSync('ec', { namedCurve: 'secp384r1' }), 'sha384'],
      [generateKeyPairSync('rsa', { modulusLength: 3072 }), 'sha256'],
    ] as const) {
      const signature = sign(hash, PAYLOAD, pair.privateKey).toString('base64');
      holds({ authority: key(pemOf(pair.publicKey)), candidate: layer(PAYLOAD, { [SIGNATURE]: signature }) });
    }
  });

  void it('ignores the certificate and the log of a layer where the authority asks for neither', async () => {
    const made = await sigstore.message(PAYLOAD, { signer: byKey(PAIR), witnesses: ['rekor1'] });
    const also = { ...annotationsOf(made), [CERTIFICATE]: annotations[CERTIFICATE]! };
    holds({ authority: KEY, candidate: layer(PAYLOAD, also) });
    const logged = { ...KEY, trustRoot: 'root', tlog: 1, timestamps: 1 };
    assert.notEqual(holds({ authority: logged, root, candidate: layer(PAYLOAD, also) }).signedAt, undefined);
    refused({ authority: logged, root, candidate: keyed(PAYLOAD) }, UNTRUSTED, /TIMESTAMP/);
  });
});

void describe('edge d: the claims of a payload', () => {
  void it('of another digest are refused, however good the signature', () => {
    refused({ authority: KEY, candidate: keyed(payloadOf(digestAt('other'))) }, UNTRUSTED, /another digest/);
    for (const digest of [IMAGE.slice(7), IMAGE.toUpperCase(), `${IMAGE} `, ` ${IMAGE}`, IMAGE.slice(0, -1), ''])
      refused({ authority: KEY, candidate: keyed(payloadOf(digest)) }, UNTRUSTED, /another digest/);
  });

  void it('of another type are refused', () => {
    for (const type of ['atomic container signature', 'cosign container image signature ', ''])
      refused({ authority: KEY, candidate: keyed(payloadOf(IMAGE, type)) }, INVALID, /no image signature/);
  });

  for (const [what, payload] of [
    ['nothing', Buffer.alloc(0)],
    ['no JSON', Buffer.from('{')],
    ['a list', Buffer.from('[]')],
    ['text', Buffer.from('"x"')],
    ['no claims', bytesOfJson({ optional: { 'docker-manifest-digest': IMAGE } })],
    ['claims of null', bytesOfJson({ critical: null })],
    ['claims that are inherited', Buffer.from(`{"__proto__":${PAYLOAD.toString()}}`)],
  ] as const)
    void it(`that are ${what} are refused`, () => {
      refused({ authority: KEY, candidate: keyed(payload) }, INVALID);
    });

  void it('are not taken from a second payload in the annotations', () => {
    const other = keyed(payloadOf(digestAt('other'))) as Extract<Candidate, { format: 'legacy' }>;
    refused({ authority: KEY, candidate: layer(PAYLOAD, { ...other.annotations }) }, UNTRUSTED, /SIGNATURE/);
  });
});

void describe('a keyless legacy signature', () => {
  void it('holds by the promise of the log, since the time in it', () => {
    const signed = holds({ authority: keyless(), root, candidate: layer(PAYLOAD, annotations) });
    assert.ok(signed.signedAt !== undefined && signed.signer.startsWith(SUBJECT));
  });

  void it('holds by a timestamp without a log, where the authority asks for none', async () => {
    const timed = layer(PAYLOAD, await signedLayer(PAYLOAD, ['tsa']));
    holds({ authority: keyless({ tlog: 0 }), root, candidate: timed });
    refused({ authority: keyless(), root, candidate: timed }, UNTRUSTED, /TLOG/);
  });

  void it('is refused for another identity, without the log, without the certificate, and with another payload', () => {
    const authority = keyless();
    const stranger = keyless({ identities: [{ issuer: 'https://issuer.example', subject: `${SUBJECT}x` }] });
    refused({ authority: stranger, root, candidate: layer(PAYLOAD, annotations) }, UNTRUSTED, /signed by/);
    for (const gone of [BUNDLE, CERTIFICATE]) {
      const { [gone]: _, ...rest } = annotations;
      refused({ authority, root, candidate: layer(PAYLOAD, rest) }, UNTRUSTED);
    }
    const spaced = Buffer.concat([PAYLOAD, Buffer.from(' ')]);
    refused({ authority, root, candidate: layer(spaced, annotations) }, UNTRUSTED);
  });

  void it('is refused where what the log promised is changed', () => {
    const said = JSON.parse(annotations[BUNDLE]!) as { Payload: Json };
    for (const [change, code] of [
      [{ integratedTime: Number(said.Payload.integratedTime) - 1 }, UNTRUSTED],
      [{ logIndex: Number(said.Payload.logIndex) + 1 }, UNTRUSTED],
      [{ logID: '00'.repeat(32) }, UNTRUSTED],
      [{ body: Buffer.from('{}').toString('base64') }, UNTRUSTED],
      [{ body: Buffer.from('{').toString('base64') }, INVALID],
      [{ integratedTime: 'soon' }, INVALID],
      [{ integratedTime: -1 }, INVALID],
      [{ logIndex: 1e300 }, INVALID],
      [{ logID: 'xyz' }, INVALID],
      [{ body: 7 }, INVALID],
    ] as const) {
      const text = JSON.stringify({ ...said, Payload: { ...said.Payload, ...change } });
      refused({ authority: keyless(), root, candidate: layer(PAYLOAD, { ...annotations, [BUNDLE]: text }) }, code);
    }
  });

  void it('is refused, not thrown, where an annotation is anything else', () => {
    for (const name of [SIGNATURE, CERTIFICATE, BUNDLE, 'dev.sigstore.cosign/rfc3161timestamp'])
      for (const value of [
        'x',
        '{}',
        '[]',
        'null',
        '\u0000',
        '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
      ] as const) {
        const { signed } = judged({
          authority: keyless(),
          root,
          candidate: layer(PAYLOAD, { ...annotations, [name]: value }),
        });
        assert.deepEqual(signed, []);
      }
    const numbers = { ...annotations, [SIGNATURE]: 7 } as unknown as Annotations;
    refused({ authority: keyless(), root, candidate: layer(PAYLOAD, numbers) }, INVALID, /no text/);
    const inherited = Object.create(annotations) as Annotations;
    refused({ authority: keyless(), root, candidate: layer(PAYLOAD, inherited) }, INVALID);
  });

  void it('of more than 1 MiB is refused before any work', () => {
    const large = Buffer.concat([PAYLOAD, Buffer.alloc(1 << 20, ' ')]);
    refused({ authority: KEY, candidate: keyed(large) }, INVALID, /bytes/);
    const long = { ...annotations, [CERTIFICATE]: ' '.repeat(1 << 20) };
    refused({ authority: keyless(), root, candidate: layer(PAYLOAD, long) }, INVALID, /bytes/);
  });
});

void describe('a legacy attestation', () => {
  const type = 'https://slsa.dev/provenance/v0.2';
  const enveloped = async (text: string, witnesses: Witnesses): Promise<Candidate> => {
    const signer = witnesses.length === 0 ? byKey(PAIR) : sigstore.keyless(SUBJECT);
    const made = await sigstore.statement(text, { signer, witnesses });
    return layer(bytesOfJson(made.dsseEnvelope), annotationsOf(made));
  };

  void it('is an envelope in a layer: it holds by key, and keyless with both kinds of log entry', async () => {
    const text = statementOf(IMAGE, type, { builder: { id: 'b' } });
    const byAKey = holds({ authority: KEY, candidate: await enveloped(text, []) });
    assert.deepEqual([byAKey.predicateType, byAKey.predicate], [type, { builder: { id: 'b' } }]);
    for (const witness of ['rekor1', 'intoto'] as const) {
      const signed = holds({ authority: keyless(), root, candidate: await enveloped(text, [witness]) });
      assert.equal(signed.predicateType, type);
    }
  });

  void it('about another digest, with two signatures or with another payload type is refused', async () => {
    const other = await enveloped(statementOf(digestAt('other'), type), []);
    refused({ authority: KEY, candidate: other }, UNTRUSTED, /another digest/);
    const made = await sigstore.statement(statementOf(IMAGE, type), { signer: byKey(PAIR), witnesses: [] });
    const envelope = made.dsseEnvelope as { signatures: Json[] };
    const twice = { ...envelope, signatures: [...envelope.signatures, ...envelope.signatures] };
    refused({ authority: KEY, candidate: layer(bytesOfJson(twice), {}) }, INVALID);
    const renamed = { ...envelope, payloadType: 'application/json' };
    refused({ authority: KEY, candidate: layer(bytesOfJson(renamed), {}) }, INVALID, /no in-toto/);
  });

  void it('is not a plain signature, whatever annotation stands beside it', async () => {
    const made = await sigstore.statement(statementOf(digestAt('other'), type), { signer: byKey(PAIR), witnesses: [] });
    const mixed = bytesOfJson({ ...(made.dsseEnvelope as Json), ...(JSON.parse(PAYLOAD.toString()) as Json) });
    const signature = sign('sha256', mixed, PAIR.privateKey).toString('base64');
    refused({ authority: KEY, candidate: layer(mixed, { [SIGNATURE]: signature }) }, UNTRUSTED, /another digest/);
  });
});

/** Keyless and key-signed bundles of a private sigstore on loopback: which hold, for whom, since when. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { algorithmOf, digestOf } from '../../src/oci/oci.ts';
import { type Authority, openSigners } from '../../src/trust/trust.ts';
import { keyPair, openSigstore, type Sigstore } from '../support/sigstore.ts';
import { bundle, digestAt, holds, IMAGE, ISSUER, key, keyless, refused, SUBJECT } from '../support/sigstore-judging.ts';
import { byKey, bytesOfJson, type Json, pemOf, statementOf } from '../support/sigstore-signing.ts';

const MINUTE_MS = 60_000;
/** How far the clock of the private sigstore, which moves on with each entry, may be from ours. */
const NEAR_MS = 10 * MINUTE_MS;
let sigstore: Sigstore;
let root: Json;
let plain: Json;

before(async () => {
  sigstore = await openSigstore();
  root = sigstore.root();
  plain = await sigstore.statement(statementOf(IMAGE), { signer: sigstore.keyless(SUBJECT) });
});
after(() => sigstore.close());

const isLately = (at: number | undefined): boolean => at !== undefined && Math.abs(at - Date.now()) < NEAR_MS;

void describe('a keyless bundle', () => {
  void it('holds for its identity, since the time that the log proves', () => {
    const signed = holds({ authority: keyless(), root, candidate: bundle(plain) });
    assert.equal(signed.signer, `${SUBJECT} (${ISSUER})`);
    assert.equal(signed.format, 'bundle');
    assert.ok(isLately(signed.signedAt));
    assert.ok(!('predicateType' in signed) && !('until' in signed));
  });

  void it('holds years after its certificate ended', () => {
    const now = Date.now() + 5 * 365 * 24 * 60 * MINUTE_MS;
    holds({ authority: keyless(), root, candidate: bundle(plain), now });
  });

  void it('with another statement than a plain signature is an attestation, with its predicate', async () => {
    const type = 'https://slsa.dev/provenance/v1';
    const text = statementOf(IMAGE, type, { buildDefinition: { level: 3 } });
    const attestation = await sigstore.statement(text, { signer: sigstore.keyless(SUBJECT) });
    const signed = holds({ authority: keyless(), root, candidate: bundle(attestation) });
    assert.equal(signed.predicateType, type);
    assert.deepEqual(signed.predicate, { buildDefinition: { level: 3 } });
  });

  void it('holds by Rekor v2 and a timestamp', async () => {
    const witnesses = ['rekor2', 'tsa'] as const;
    const made = await sigstore.statement(statementOf(IMAGE), { signer: sigstore.keyless(SUBJECT), witnesses });
    assert.ok(isLately(holds({ authority: keyless(), root, candidate: bundle(made) }).signedAt));
  });

  void it('of Rekor v2 without a timestamp proves no time and is refused', async () => {
    const made = await sigstore.statement(statementOf(IMAGE), {
      signer: sigstore.keyless(SUBJECT),
      witnesses: ['rekor2'],
    });
    refused({ authority: keyless(), root, candidate: bundle(made) }, 'SIGNATURE_UNTRUSTED', /TIMESTAMP/);
  });

  void it('over the content itself holds with that content at hand, and not without or with other', async () => {
    for (const witnesses of [['rekor1'], ['rekor2', 'tsa']] as const) {
      const artifact = Buffer.from('{"schemaVersion":2}');
      const made = await sigstore.message(artifact, { signer: sigstore.keyless(SUBJECT), witnesses });
      const bytes = bytesOfJson(made);
      const subject = digestOf(artifact);
      const candidate = { format: 'bundle', bytes, artifact } as const;
      holds({ authority: keyless(), root, candidate, subject });
      refused({ authority: keyless(), root, candidate: bundle(made), subject }, 'BUNDLE_INVALID');
      refused({ authority: keyless(), root, candidate, subject: IMAGE }, 'SIGNATURE_UNTRUSTED', /other content/);
      const other = { ...candidate, artifact: Buffer.from('other') };
      refused({ authority: keyless(), root, candidate: other, subject }, 'SIGNATURE_UNTRUSTED', /other content/);
    }
  });

  void it('holds for a digest by SHA-512, which must be named as such', async () => {
    const subject = digestOf(Buffer.from('image'), 'sha512');
    const made = await sigstore.statement(statementOf(subject), { signer: sigstore.keyless(SUBJECT) });
    assert.equal(algorithmOf(subject), 'sha512');
    holds({ authority: keyless(), root, candidate: bundle(made), subject });
    refused({ authority: keyless(), root, candidate: bundle(made) }, 'SIGNATURE_UNTRUSTED', /another digest/);
  });

  void it('is refused where the log entry is taken away, and where its time is changed', () => {
    const stripped = structuredClone(plain) as { verificationMaterial: { tlogEntries: Json[] } };
    stripped.verificationMaterial.tlogEntries = [];
    refused({ authority: keyless(), root, candidate: bundle(stripped) }, 'SIGNATURE_UNTRUSTED');
    const moved = structuredClone(plain) as { verificationMaterial: { tlogEntries: Json[] } };
    moved.verificationMaterial.tlogEntries[0]!.integratedTime = String(Math.floor(Date.now() / 1000) - 60);
    refused({ authority: keyless(), root, candidate: bundle(moved) }, 'SIGNATURE_UNTRUSTED');
  });

  void it('is refused under the root of another sigstore', async () => {
    const other = await openSigstore();
    try {
      refused({ authority: keyless(), root: other.root(), candidate: bundle(plain) }, 'SIGNATURE_UNTRUSTED');
      const { certificateAuthorities } = other.root();
      const mixed = { ...root, certificateAuthorities };
      refused({ authority: keyless(), root: mixed, candidate: bundle(plain) }, 'SIGNATURE_UNTRUSTED', /CERTIFICATE/);
    } finally {
      other.close();
    }
  });

  void it('needs as many distinct logs and distinct times as the authority says', async () => {
    const signer = sigstore.keyless(SUBJECT);
    const both = await sigstore.statement(statementOf(IMAGE), { signer, witnesses: ['rekor1', 'rekor2', 'tsa'] });
    const two = keyless({ tlog: 2, timestamps: 2 });
    holds({ authority: two, root, candidate: bundle(both) });
    refused({ authority: two, root, candidate: bundle(plain) }, 'SIGNATURE_UNTRUSTED');
  });

  void it('whose two times are of one timestamp authority, or two entries of one log, counts once', async () => {
    const signing = { signer: sigstore.keyless(SUBJECT), witnesses: ['rekor1', 'intoto', 'tsa', 'tsa'] } as const;
    const twice = bundle(await sigstore.statement(statementOf(IMAGE), signing));
    holds({ authority: keyless({ timestamps: 2 }), root, candidate: twice });
    refused(
      { authority: keyless({ timestamps: 3 }), root, candidate: twice },
      'SIGNATURE_UNTRUSTED',
      /distinct source/,
    );
    refused({ authority: keyless({ tlog: 2 }), root, candidate: twice }, 'SIGNATURE_UNTRUSTED', /distinct logs/);
  });

  void it('is refused where a log was retired before the entry', () => {
    const retired = structuredClone(root) as { tlogs: { publicKey: { validFor: Json } }[] };
    for (const { publicKey } of retired.tlogs) publicKey.validFor.end = new Date(Date.now() - 30 * MINUTE_MS);
    refused(
      { authority: keyless(), root: retired as unknown as Json, candidate: bundle(plain) },
      'SIGNATURE_UNTRUSTED',
    );
  });

  void it('of Rekor v2 with a time written into its entry, which nothing covers, is as old as its timestamp says', async () => {
    const witnesses = ['rekor2', 'tsa'] as const;
    const made = await sigstore.statement(statementOf(IMAGE), { signer: sigstore.keyless(SUBJECT), witnesses });
    const forged = structuredClone(made) as { verificationMaterial: { tlogEntries: Json[] } };
    forged.verificationMaterial.tlogEntries[0]!.integratedTime = '1000000000';
    assert.ok(isLately(holds({ authority: keyless(), root, candidate: bundle(forged) }).signedAt));
    refused({ authority: keyless({ timestamps: 2 }), root, candidate: bundle(forged) }, 'SIGNATURE_UNTRUSTED');
  });

  void it('of Rekor v2 is refused where that log was retired before its proved time', async () => {
    const witnesses = ['rekor2', 'tsa'] as const;
    const made = await sigstore.statement(statementOf(IMAGE), { signer: sigstore.keyless(SUBJECT), witnesses });
    const retired = structuredClone(root) as { tlogs: { publicKey: { validFor: Json } }[] };
    for (const { publicKey } of retired.tlogs) publicKey.validFor.end = new Date(Date.now() - 30 * MINUTE_MS);
    const one = { authority: keyless(), root: retired as unknown as Json, candidate: bundle(made) };
    refused(one, 'SIGNATURE_UNTRUSTED', /not in force/);
  });
});

void describe('a bundle signed by a key', () => {
  const pairs = {
    'P-256': [keyPair(), 'sha256'],
    'P-384': [generateKeyPairSync('ec', { namedCurve: 'secp384r1' }), 'sha384'],
    'P-384 with SHA-256': [generateKeyPairSync('ec', { namedCurve: 'secp384r1' }), 'sha256'],
    Ed25519: [generateKeyPairSync('ed25519'), null],
    RSA: [generateKeyPairSync('rsa', { modulusLength: 2048 }), 'sha256'],
  } as const;
  for (const [name, [pair, hash]] of Object.entries(pairs))
    void it(`of ${name} holds for that key alone, without any log`, async () => {
      const signing = { signer: byKey(pair, hash), witnesses: [] };
      const made = await sigstore.statement(statementOf(IMAGE), signing);
      const signed = holds({ authority: key(pemOf(pair.publicKey)), candidate: bundle(made) });
      assert.match(signed.signer, /^sha256:[a-f0-9]{64}$/);
      assert.equal(signed.signedAt, undefined);
      const other = key(pemOf(keyPair().publicKey));
      refused({ authority: other, candidate: bundle(made) }, 'SIGNATURE_UNTRUSTED', /SIGNATURE_ERROR/);
    });

  void it('is refused for another digest, and with one bit changed in signature or payload', async () => {
    const pair = keyPair();
    const authority = key(pemOf(pair.publicKey));
    const made = await sigstore.statement(statementOf(IMAGE), { signer: byKey(pair), witnesses: [] });
    refused(
      { authority, candidate: bundle(made), subject: digestAt('other') },
      'SIGNATURE_UNTRUSTED',
      /another digest/,
    );
    const envelope = made.dsseEnvelope as { payload: string; signatures: { sig: string }[] };
    const moved = Buffer.from(statementOf(digestAt('other'))).toString('base64');
    const forged = { ...made, dsseEnvelope: { ...envelope, payload: moved } };
    const subject = digestAt('other');
    refused({ authority, candidate: bundle(forged), subject }, 'SIGNATURE_UNTRUSTED', /SIGNATURE_ERROR/);
    const bytes = Buffer.from(envelope.signatures[0]!.sig, 'base64');
    bytes[12]! ^= 1;
    const flipped = { ...made, dsseEnvelope: { ...envelope, signatures: [{ sig: bytes.toString('base64') }] } };
    refused({ authority, candidate: bundle(flipped) }, 'SIGNATURE_UNTRUSTED', /SIGNATURE_ERROR/);
  });

  void it('with a log holds since the time that it proves, and only with it where it is asked for', async () => {
    const pair = keyPair();
    const authority = key(pemOf(pair.publicKey), { trustRoot: 'root', tlog: 1, timestamps: 1 });
    const logged = await sigstore.statement(statementOf(IMAGE), { signer: byKey(pair) });
    assert.ok(isLately(holds({ authority, root, candidate: bundle(logged) }).signedAt));
    holds({ authority: key(pemOf(pair.publicKey)), candidate: bundle(logged) });
    const bare = await sigstore.statement(statementOf(IMAGE), { signer: byKey(pair), witnesses: [] });
    refused({ authority, root, candidate: bundle(bare) }, 'SIGNATURE_UNTRUSTED', /TIMESTAMP/);
  });

  void it('is bounded by notBefore and notAfter: at the proved time, else now, and then it ends', async () => {
    const pair = keyPair();
    const pem = pemOf(pair.publicKey);
    const now = Date.now();
    const bare = bundle(await sigstore.statement(statementOf(IMAGE), { signer: byKey(pair), witnesses: [] }));
    const logged = bundle(await sigstore.statement(statementOf(IMAGE), { signer: byKey(pair) }));
    const authority = key(pem, { notBefore: now - NEAR_MS, notAfter: now + NEAR_MS });
    assert.equal(holds({ authority, candidate: bare, now }).until, now + NEAR_MS);
    refused({ authority, candidate: bare, now: now + NEAR_MS + 1 }, 'SIGNATURE_UNTRUSTED', /did not count/);
    refused({ authority, candidate: bare, now: now - NEAR_MS - 1 }, 'SIGNATURE_UNTRUSTED', /did not count/);
    const timed = { ...authority, trustRoot: 'root', timestamps: 1, tlog: 1 };
    const late = holds({ authority: timed, root, candidate: logged, now: now + 2 * NEAR_MS });
    assert.equal(late.until, undefined);
    const ended = { ...timed, notBefore: now - 4 * NEAR_MS, notAfter: now - 2 * NEAR_MS };
    refused({ authority: ended, root, candidate: logged, now: now - 3 * NEAR_MS }, 'SIGNATURE_UNTRUSTED');
  });
});

void describe('several authorities', () => {
  void it('are all tried: a bundle holds for each whose it is', async () => {
    const pair = keyPair();
    const authorities = new Map<string, Authority>([
      ['stranger', keyless({ identities: [{ issuer: ISSUER, subject: 'https://forge.example/other' }] })],
      ['release', keyless()],
      [
        'anything of that forge',
        keyless({ identities: [{ issuer: ISSUER, subject: /https:\/\/forge\.example\/.+/ }] }),
      ],
      ['key', key(pemOf(pair.publicKey))],
    ]);
    const signers = openSigners(authorities, new Map([['root', bytesOfJson(root)]]));
    const names = (json: Json): string[] =>
      signers.judge({ format: 'bundle', bytes: bytesOfJson(json) }, IMAGE, Date.now()).signed.map(one => one.authority);
    assert.deepEqual(names(plain), ['release', 'anything of that forge']);
    const keyed = await sigstore.statement(statementOf(IMAGE), { signer: byKey(pair), witnesses: [] });
    assert.deepEqual(names(keyed), ['key']);
  });

  void it('that are none trust nobody', () => {
    const { signed, code } = openSigners(new Map(), new Map()).judge(bundle(plain), IMAGE, Date.now());
    assert.deepEqual([signed, code], [[], 'SIGNATURE_UNTRUSTED']);
  });
});

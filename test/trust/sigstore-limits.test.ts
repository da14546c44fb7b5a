/** Bundles that are broken or too large: a refusal before any work, and never an exception. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { cost } from '../support/fuzz.ts';
import { keyPair, openSigstore, type Sigstore } from '../support/sigstore.ts';
import { bundle, digestAt, holds, IMAGE, judged, key, keyless, refused, SUBJECT } from '../support/sigstore-judging.ts';

import { byKey, bytesOfJson, IN_TOTO, type Json, pemOf, statementOf } from '../support/sigstore-signing.ts';

const UNTRUSTED = 'SIGNATURE_UNTRUSTED';
const INVALID = 'BUNDLE_INVALID';
const PAIR = keyPair();
const KEY = key(pemOf(PAIR.publicKey));
let sigstore: Sigstore;
let root: Json;
let plain: Json;

before(async () => {
  sigstore = await openSigstore();
  root = sigstore.root();
  plain = await sigstore.statement(statementOf(IMAGE), { signer: sigstore.keyless(SUBJECT) });
});
after(() => sigstore.close());

const keyed = (text: string | Uint8Array, type = IN_TOTO): Promise<Json> =>
  sigstore.statement(text, { signer: byKey(PAIR), witnesses: [] }, type);

void describe('edge i: what makes the library throw anything is a refusal', () => {
  type Spoil = (json: Json & { verificationMaterial: Json }) => void;
  const spoilt = (change: Spoil): Json => {
    const copy = structuredClone(plain) as Json & { verificationMaterial: Json };
    change(copy);
    return copy;
  };
  const CASES: readonly (readonly [what: string, change: Spoil])[] = [
    ['no material', json => void Reflect.deleteProperty(json, 'verificationMaterial')],
    ['material that is a number', json => Object.assign(json, { verificationMaterial: 7 })],
    ['entries that are a number', json => Object.assign(json.verificationMaterial, { tlogEntries: 7 })],
    ['entries that are null', json => Object.assign(json.verificationMaterial, { tlogEntries: [null] })],
    ['entries that are empty', json => Object.assign(json.verificationMaterial, { tlogEntries: [{}] })],
    ['a certificate of no bytes', json => Object.assign(json.verificationMaterial, { certificate: {} })],
    [
      'a certificate of rubbish',
      json => Object.assign(json.verificationMaterial, { certificate: { rawBytes: 'AAAA' } }),
    ],
    [
      'a certificate that ends too soon',
      json => Object.assign(json.verificationMaterial, { certificate: { rawBytes: 'MIIC' } }),
    ],
    [
      'timestamps of rubbish',
      json =>
        Object.assign(json.verificationMaterial, {
          timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: 'MAA=' }] },
        }),
    ],
    ['an envelope of null', json => Object.assign(json, { dsseEnvelope: null })],
    ['a key of both kinds', json => Object.assign(json.verificationMaterial, { publicKey: { hint: 'k' } })],
    [
      'signatures of both kinds',
      json =>
        Object.assign(json, {
          messageSignature: { signature: 'AAAA', messageDigest: { algorithm: 'SHA2_256', digest: 'AAAA' } },
        }),
    ],
  ];
  const WHOLE: readonly (readonly [what: string, json: unknown])[] = [
    ['null', null],
    ['a list', [1]],
    ['an empty object', {}],
    ['a number', 1],
  ];
  const all = [
    ...CASES.map(([what, change]) => [what, () => spoilt(change)] as const),
    ...WHOLE.map(([what, json]) => [what, () => json] as const),
  ];
  for (const [what, json] of all)
    void it(`${what} is refused, not thrown`, () => {
      const { signed, code, reason } = judged({ authority: keyless(), root, candidate: bundle(json()) });
      assert.deepEqual(signed, []);
      assert.ok(code === INVALID || code === UNTRUSTED);
      assert.ok(reason !== undefined && reason.length > 0 && reason.length < 300);
    });

  void it('no time at all is an error of the policy for certificates, and a refusal where the bundle has none', () => {
    const authority = keyless({ timestamps: 0, tlog: 0 });
    assert.throws(() => judged({ authority, root, candidate: bundle(plain) }), { code: 'POLICY_INVALID' });
    const bare = spoilt(json => Object.assign(json.verificationMaterial, { tlogEntries: [] }));
    refused({ authority: keyless({ tlog: 0 }), root, candidate: bundle(bare) }, UNTRUSTED, /TIMESTAMP/);
  });

  void it('what a stranger wrote stands in a reason only short and printable', async () => {
    const signer = sigstore.keyless(`https://forge.example/${'x'.repeat(1000)}`);
    const made = await sigstore.statement(statementOf(IMAGE), { signer });
    const { reason } = judged({ authority: keyless(), root, candidate: bundle(made) });
    assert.match(reason ?? '', /^[\u0020-\u007e]{1,400}$/);
  });
});

void describe('limits come before work', () => {
  void it('two signatures in one envelope are refused, the good one first or last', async () => {
    const made = await keyed(statementOf(IMAGE));
    const envelope = made.dsseEnvelope as { signatures: Json[] };
    for (const signatures of [[...envelope.signatures, { sig: 'AAAA' }], [{ sig: 'AAAA' }, ...envelope.signatures], []])
      refused({ authority: KEY, candidate: bundle({ ...made, dsseEnvelope: { ...envelope, signatures } }) }, INVALID);
  });

  void it('a bundle with two kinds of signature or of key leaves open what is meant, and is refused', async () => {
    const made = await keyed(statementOf(IMAGE));
    const digest = { algorithm: 'SHA2_256', digest: 'AAAA' };
    const both = { ...made, messageSignature: { signature: 'AAAA', messageDigest: digest } };
    refused({ authority: KEY, candidate: bundle(both) }, INVALID, /2 of one signature/);
    const verificationMaterial = { ...(plain.verificationMaterial as Json), publicKey: { hint: 'k' } };
    refused({ authority: KEY, candidate: bundle({ ...plain, verificationMaterial }) }, INVALID, /2 of one key/);
  });

  void it('a bundle above 1 MiB is not even parsed', () => {
    const bytes = Buffer.concat([bytesOfJson(plain), Buffer.alloc(1 << 20, ' ')]);
    refused({ authority: keyless(), root, candidate: { format: 'bundle', bytes } }, INVALID, /bytes/);
    holds({ authority: keyless(), root, candidate: { format: 'bundle', bytes: bytes.subarray(0, 1 << 20) } });
  });

  void it('more entries, timestamps or certificates than can be judged in time are refused', () => {
    const material = plain.verificationMaterial as { tlogEntries: Json[] };
    const [entry] = material.tlogEntries;
    const many = Array.from({ length: 17 }, () => entry);
    const rfc3161Timestamps = Array.from({ length: 17 }, () => ({ signedTimestamp: 'MAA=' }));
    for (const change of [{ tlogEntries: many }, { timestampVerificationData: { rfc3161Timestamps } }]) {
      const verificationMaterial = { ...material, ...change };
      refused(
        { authority: keyless(), root, candidate: bundle({ ...plain, verificationMaterial }) },
        INVALID,
        /at most/,
      );
    }
  });

  void it('numbers of thousands of digits are refused before they are numbers', () => {
    const material = plain.verificationMaterial as { tlogEntries: { inclusionProof: Json }[] };
    const [entry] = material.tlogEntries;
    for (const number of ['9'.repeat(100_000), '-1', '1e3', '0x10', ' 1', ''])
      for (const change of [
        { logIndex: number || '-' },
        { integratedTime: number || '-' },
        { inclusionProof: { ...entry?.inclusionProof, logIndex: number || '-' } },
      ]) {
        const verificationMaterial = { ...material, tlogEntries: [{ ...entry, ...change }] };
        refused(
          { authority: keyless(), root, candidate: bundle({ ...plain, verificationMaterial }) },
          INVALID,
          /number/,
        );
      }
  });

  void it('keys that stand twice and keys of prototypes change nothing', async () => {
    const text = JSON.stringify(await keyed(statementOf(IMAGE)));
    const evil = Buffer.from(statementOf(digestAt('other'))).toString('base64');
    const twice = `{"mediaType":"x","dsseEnvelope":{"payload":"${evil}"},"__proto__":{"mediaType":"x"},${text.slice(1)}`;
    holds({ authority: KEY, candidate: { format: 'bundle', bytes: Buffer.from(twice) } });
    const inherited = `{"__proto__":${text}}`;
    refused({ authority: KEY, candidate: { format: 'bundle', bytes: Buffer.from(inherited) } }, INVALID);
    const made = await keyed(
      `{"_type":"https://in-toto.io/Statement/v1","predicateType":"x","subject":[{"digest":{"__proto__":{"sha256":"${IMAGE.slice(7)}"}}}]}`,
    );
    refused({ authority: KEY, candidate: bundle(made) }, UNTRUSTED, /another digest/);
  });

  void it('bytes that are not UTF-8 are refused', async () => {
    const bytes = bytesOfJson({ ignored: 'here', ...plain });
    bytes[bytes.indexOf('here')] = 0xff;
    refused({ authority: keyless(), root, candidate: { format: 'bundle', bytes } }, INVALID);
    const payload = Buffer.from(statementOf(IMAGE, 'https://x.example/type'));
    payload[payload.indexOf('x.example')] = 0xff;
    refused({ authority: KEY, candidate: bundle(await keyed(payload)) }, INVALID);
  });

  /** Each OCTET STRING says of its four bytes that they begin an object that reaches to the end: the library reads all after it twice. */
  const doubling = (times: number): string => {
    const size = times * 6;
    const bytes = Buffer.alloc(4 + size);
    bytes.set([0x30, 0x82]);
    bytes.writeUInt16BE(size, 2);
    for (let at = 4; at < bytes.length; at += 6) {
      bytes.set([0x04, 0x04, 0x30, 0x82], at);
      bytes.writeUInt16BE(bytes.length - at - 6, at + 4);
    }
    return bytes.toString('base64');
  };

  void it('a certificate or timestamp whose parts are read again and again costs little', () => {
    const material = plain.verificationMaterial as Json;
    for (const times of [80, 1000]) {
      const rawBytes = doubling(times);
      const stamped = { timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: rawBytes }] } };
      for (const change of [{ certificate: { rawBytes } }, stamped]) {
        const candidate = bundle({ ...plain, verificationMaterial: { ...material, ...change } });
        const ms = cost(() => refused({ authority: keyless(), root, candidate }, INVALID, /too many parts|not DER/));
        assert.ok(ms < 500, `${ms} ms`);
      }
    }
  });
});

/** Trust roots and authorities as a policy names them: incomplete, weak or impossible ones are refused when they are loaded. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Authority, openSigners } from '../../src/trust/trust.ts';
import { keyPair, openSigstore, type Sigstore } from '../support/sigstore.ts';
import { key, keyless } from '../support/sigstore-judging.ts';
import { leafAuthority } from '../support/sigstore-leaf.ts';
import { bytesOfJson, type Json, pemOf } from '../support/sigstore-signing.ts';

const PUBLIC_GOOD = resolve(import.meta.dirname, '../../../shared/vectors/sigstore/public-good-trusted-root.json');
const POLICY_INVALID = { code: 'POLICY_INVALID' };
let sigstore: Sigstore;
let root: Json;

before(async () => {
  sigstore = await openSigstore();
  root = sigstore.root();
});
after(() => sigstore.close());

const open = (authority: Authority, bytes: Uint8Array = bytesOfJson(root)): void =>
  void openSigners(new Map([['a', authority]]), new Map([['root', bytes]]));

void describe('edge h: a trust root', () => {
  void it('that is complete is loaded', () => open(keyless()));

  void it('of the public good instance is loaded from its file', t => {
    if (!existsSync(PUBLIC_GOOD)) return t.skip(`the vectors are not there: ${PUBLIC_GOOD}`);
    return open(keyless(), readFileSync(PUBLIC_GOOD));
  });

  type Part = { validFor?: Json; publicKey?: { validFor?: Json } };
  for (const list of ['tlogs', 'ctlogs', 'certificateAuthorities', 'timestampAuthorities'])
    for (const [what, validFor] of [
      ['has no validity', undefined],
      ['does not say since when it counts', {}],
      ['only says until when it counts', { end: '2030-01-01T00:00:00Z' }],
      ['counts since no time at all', { start: 'long ago' }],
      ['counts until before it counts', { start: '2030-01-01T00:00:00Z', end: '2020-01-01T00:00:00Z' }],
    ] as const)
      void it(`in whose ${list} one ${what} is refused`, () => {
        const copy = structuredClone(root) as Record<string, Part[]>;
        const part = copy[list]![0]!;
        Object.assign(part.publicKey ?? part, { validFor });
        assert.throws(() => open(keyless(), bytesOfJson(copy)), POLICY_INVALID);
      });

  const other = (): Json => ({
    rawBytes: keyPair().publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
  });
  const CHANGES: readonly (readonly [what: string, list: string, change: (part: Record<string, Json>) => void])[] = [
    ["a log whose id is another key's", 'tlogs', log => Object.assign(log, { logId: { keyId: 'AAAA' } })],
    ['a log whose key is another', 'tlogs', log => Object.assign(log.publicKey!, other())],
    ['a CT log whose key is another', 'ctlogs', log => Object.assign(log.publicKey!, other())],
    ['a log without a key', 'tlogs', log => Object.assign(log, { publicKey: {} })],
    ['a log whose key is rubbish', 'tlogs', log => Object.assign(log.publicKey!, { rawBytes: 'AAAA' })],
    [
      'a log whose key is of another kind',
      'tlogs',
      log => Object.assign(log.publicKey!, { keyDetails: 'PKIX_ED25519' }),
    ],
    [
      'a log whose key is of an unknown kind',
      'tlogs',
      log => Object.assign(log.publicKey!, { keyDetails: 'LMS_SHA256' }),
    ],
    ['a log with two ids', 'tlogs', log => Object.assign(log, { checkpointKeyId: { keyId: 'AAAA' } })],
    ['a log that hashes otherwise', 'tlogs', log => Object.assign(log, { hashAlgorithm: 'SHA2_512' })],
    ['an authority without certificates', 'certificateAuthorities', ca => Object.assign(ca, { certChain: {} })],
    [
      'a timestamp authority without certificates',
      'timestampAuthorities',
      ca => Object.assign(ca, { certChain: { certificates: [] } }),
    ],
    [
      'a certificate of rubbish',
      'certificateAuthorities',
      ca => Object.assign(ca, { certChain: { certificates: [{ rawBytes: 'AAAA' }] } }),
    ],
    [
      'a leaf in the place of an authority',
      'certificateAuthorities',
      ca => Object.assign(ca, { certChain: { certificates: [leaf()] } }),
    ],
    [
      'a leaf that is not for timestamps',
      'timestampAuthorities',
      ca => Object.assign(ca, { certChain: { certificates: [leaf()] } }),
    ],
  ];
  const leaf = (): Json => ({
    rawBytes: leafAuthority()
      .issue()
      .pem.replaceAll(/-----[^-]+-----|\s/g, ''),
  });
  for (const [what, list, change] of CHANGES)
    void it(`with ${what} is refused`, () => {
      const copy = structuredClone(root) as Record<string, Record<string, Json>[]>;
      change(copy[list]![0]!);
      assert.throws(() => open(keyless(), bytesOfJson(copy)), POLICY_INVALID);
    });

  void it('whose log has a weak RSA key is refused', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const copy = structuredClone(root) as { ctlogs: { publicKey: Json }[] };
    const rawBytes = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
    Object.assign(copy.ctlogs[0]!.publicKey, { rawBytes, keyDetails: 'PKIX_RSA_PKCS1V5' });
    assert.throws(() => open(keyless(), bytesOfJson(copy)), POLICY_INVALID);
  });

  void it('that is no trust root is refused, and one that nobody uses, too', () => {
    for (const bytes of [
      '',
      '{}',
      '[]',
      'null',
      '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.9"}',
      JSON.stringify({ ...root, mediaType: 'application/json' }),
      JSON.stringify({ ...root, tlogs: 7 }),
      JSON.stringify({ ...root, tlogs: [null] }),
      JSON.stringify(root) + ' '.repeat(1 << 20),
    ])
      assert.throws(
        () => open(key(pemOf(keyPair().publicKey)), Buffer.from(bytes)),
        POLICY_INVALID,
        bytes.slice(0, 40),
      );
  });
});

void describe('an authority', () => {
  const pair = keyPair();
  const pem = pemOf(pair.publicKey);
  const rsa = (modulusLength: number): string => pemOf(generateKeyPairSync('rsa', { modulusLength }).publicKey);
  const bad: readonly (readonly [what: string, authority: () => Authority])[] = [
    ['with a weak RSA key', () => key(rsa(1024))],
    [
      'with a key of a curve that is not on the list',
      () => key(pemOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey)),
    ],
    ['with a key that does not sign', () => key(pemOf(generateKeyPairSync('x25519').publicKey))],
    ['with a private key', () => key(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())],
    ['with a certificate', () => key(leafAuthority().issue().pem)],
    ['with two keys', () => key(pem + pem)],
    ['with no key', () => key('')],
    ['with rubbish for a key', () => key(pem.replace('MFk', 'AAA'))],
    ['whose end is before its beginning', () => key(pem, { notBefore: 2, notAfter: 1 })],
    ['with a key and a log, but no root', () => key(pem, { tlog: 1 })],
    ['with a key and timestamps, but no root', () => key(pem, { timestamps: 1 })],
    ['with a key and a CT log', () => key(pem, { ctlog: 1, trustRoot: 'root' })],
    ['with a root that is not there', () => keyless({ trustRoot: 'other' })],
    ['with a root that is only inherited', () => keyless({ trustRoot: '__proto__' })],
    [
      'without a root',
      () => {
        const { trustRoot: _, ...rest } = keyless();
        return rest;
      },
    ],
    ['without identities', () => keyless({ identities: [] })],
    ['with an empty subject', () => keyless({ identities: [{ issuer: 'https://issuer.example', subject: '' }] })],
    ['with an empty issuer', () => keyless({ identities: [{ issuer: '', subject: 'x' }] })],
    ['without any proved time (edge i)', () => keyless({ timestamps: 0 })],
    ['that asks for more logs than there are', () => keyless({ tlog: 3 })],
    ['that asks for more CT logs than there are', () => keyless({ ctlog: 2 })],
    ['that asks for more times than there are sources', () => keyless({ timestamps: 4 })],
    ['that asks for half a log', () => keyless({ tlog: 0.5 })],
    ['that asks for fewer logs than none', () => keyless({ tlog: -1 })],
    ['that asks for no number of logs', () => keyless({ tlog: Number.NaN })],
  ];
  for (const [what, authority] of bad)
    void it(`${what} is refused`, () => assert.throws(() => open(authority()), POLICY_INVALID));

  void it('that asks for logs of a root without any is refused', () => {
    for (const list of ['tlogs', 'ctlogs', 'certificateAuthorities'])
      assert.throws(() => open(keyless(), bytesOfJson({ ...root, [list]: [] })), POLICY_INVALID, list);
  });

  void it('of each kind of key that POLICY.md lists is taken', () => {
    for (const good of [
      pem,
      rsa(2048),
      pemOf(generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).publicKey),
      pemOf(generateKeyPairSync('ed25519').publicKey),
      `\n${pem}\n`,
      pem.replaceAll('\n', '\r\n'),
    ])
      open(key(good));
  });

  void it('is named in the error', () => {
    const bytes = new Map([['root', bytesOfJson(root)]]);
    assert.throws(() => openSigners(new Map([['release', keyless({ identities: [] })]]), bytes), /release/);
    assert.throws(() => openSigners(new Map(), new Map([['corp', Buffer.from('{}')]])), /corp/);
  });
});

/** Policy bundles: one spelling, each key once, signatures before the payload, bounded when packed. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import {
  BUNDLE_MAX_BYTES,
  BUNDLE_SIGNATURES_MAX,
  type BundledPolicy,
  bundlePolicy,
  keyIdOf,
  looksLikeBundle,
  POLICY_PAYLOAD_TYPE,
  provePolicy,
  readBundled,
  signPolicy,
  unsealPolicy,
} from '../../src/trust/policy-bundle.ts';
import { PACKED_MAX_BYTES, packBundle, unpackBundle } from '../../src/trust/policy-packing.ts';

const ed = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
const p256 = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const spki = (key: KeyObject): Uint8Array => createPublicKey(key).export({ type: 'spki', format: 'der' });
const [alice, bob, carol] = [ed(), p256(), ed()];
const draft: BundledPolicy = {
  cluster: 'a'.repeat(32),
  name: 'prod',
  serial: 42,
  issuedAt: 1000,
  expiresAt: 2000,
  policy: 'kind: MirrorPolicy # ä\n',
  files: new Map([
    ['pins/prod.lock', 'pinnace-pins 1 serial 7\n'],
    ['10', 'a path that looks like a number'],
    ['9', ''],
    ['__proto__', 'a path that looks like a trap'],
  ]),
};
const sealed = bundlePolicy(draft);
const byAlice = signPolicy(sealed, alice);
const byBoth = signPolicy(unsealPolicy(byAlice), bob);
const demand = (threshold: number, ...keys: KeyObject[]) => ({ keys: keys.map(spki), threshold });
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const invalid = (bytes: Uint8Array | string): void =>
  assert.throws(() => unsealPolicy(Buffer.from(bytes as string)), { code: 'BUNDLE_INVALID' });

void test('what two persons signed one after the other is proved by both, whoever was first', () => {
  const other = signPolicy(unsealPolicy(signPolicy(sealed, bob)), alice);
  for (const bytes of [byBoth, other]) {
    const read = unsealPolicy(bytes);
    assert.deepEqual(
      [...provePolicy(read, demand(2, alice, bob))].sort(),
      [alice, bob].map(key => keyIdOf(spki(key))).sort(),
    );
    assert.deepEqual(readBundled(read), {
      ...draft,
      files: new Map([...draft.files].sort(([a], [b]) => (a < b ? -1 : 1))),
    });
    assert.equal(read.id, sealed.id);
    assert.ok(looksLikeBundle(bytes));
  }
});

void test('a signature is over the bytes that DSSE names', () => {
  const pae = Buffer.concat([
    Buffer.from(`DSSEv1 ${POLICY_PAYLOAD_TYPE.length} ${POLICY_PAYLOAD_TYPE} ${sealed.payload.length} `),
    sealed.payload,
  ]);
  assert.deepEqual(Buffer.from(unsealPolicy(byAlice).signatures[0]!.sig), sign(null, pae, alice));
  const { payload, payloadType } = JSON.parse(text(byAlice)) as Record<string, string>;
  assert.deepEqual([payloadType, Buffer.from(payload!, 'base64')], [POLICY_PAYLOAD_TYPE, Buffer.from(sealed.payload)]);
});

void test('fewer keys than the threshold do not suffice, and a key that does not count adds nothing', () => {
  for (const [bytes, wanted] of [
    [byAlice, demand(2, alice, bob)],
    [byBoth, demand(2, alice, carol)],
    [byBoth, demand(1, carol)],
  ] as const)
    assert.throws(() => provePolicy(unsealPolicy(bytes), wanted), { code: 'POLICY_UNSIGNED' });
  assert.equal(provePolicy(unsealPolicy(byBoth), demand(1, bob, carol)).length, 1);
});

void test('a key counts once: it stands once among the signatures, and signs again in its own place', () => {
  assert.equal(unsealPolicy(signPolicy(unsealPolicy(byAlice), alice)).signatures.length, 1);
  const { payload, payloadType, signatures } = JSON.parse(text(byAlice)) as Record<string, unknown[]>;
  invalid(JSON.stringify({ payload, payloadType, signatures: [...signatures!, ...signatures!] }));
  const key = spki(alice);
  assert.throws(() => provePolicy(unsealPolicy(byAlice), { keys: [key, key], threshold: 2 }), {
    code: 'POLICY_UNSIGNED',
  });
});

void test('a signature that names a key that counts and is not by it spoils the bundle', () => {
  const mine = unsealPolicy(byAlice).signatures[0]!;
  const forged = text(byAlice).replace(mine.keyid, keyIdOf(spki(carol)));
  assert.throws(() => provePolicy(unsealPolicy(Buffer.from(forged)), demand(1, alice, carol)), {
    code: 'BUNDLE_INVALID',
  });
  const other = bundlePolicy({ ...draft, serial: 43 });
  const moved = text(byBoth).replace(
    Buffer.from(sealed.payload).toString('base64'),
    Buffer.from(other.payload).toString('base64'),
  );
  assert.throws(() => provePolicy(unsealPolicy(Buffer.from(moved)), demand(1, alice, bob)), { code: 'BUNDLE_INVALID' });
});

void test('an envelope has one spelling', () => {
  const good = text(byBoth);
  const parsed = JSON.parse(good) as Record<string, never>;
  const { signatures, payload, payloadType } = parsed as unknown as Record<string, object[]>;
  for (const bad of [
    '',
    '{}',
    `${good}\n`,
    ` ${good}`,
    good.replace('","payloadType"', '", "payloadType"'),
    JSON.stringify({ payloadType, payload, signatures }),
    JSON.stringify({ ...parsed, more: 1 }),
    JSON.stringify({ ...parsed, signatures: [] }),
    JSON.stringify({ ...parsed, signatures: [...signatures!].reverse() }),
    JSON.stringify({ ...parsed, payloadType: 'application/vnd.in-toto+json' }),
    good.replace('"keyid":"', '"keyid":"A'),
    good.replace('"payload":"', '"payload":"='),
    good.replace(/"sig":"(.)/, '"sig":"-'),
    good.replace('=","payloadType', '","payloadType'),
  ])
    if (bad !== good) invalid(bad);
  invalid(new Uint8Array(BUNDLE_MAX_BYTES + 1));
});

void test('a payload has one spelling, all its fields, and no other', () => {
  const json = JSON.parse(text(sealed.payload)) as Record<string, unknown>;
  const keys = Object.keys(json).sort();
  const spell = (change: object): string => {
    const all = { ...json, ...change };
    return JSON.stringify(
      Object.fromEntries([...keys, 'zzz'].filter(key => key in all).map(key => [key, all[key as never]])),
    );
  };
  for (const payload of [
    JSON.stringify(json, undefined, 1),
    JSON.stringify({ serial: 42, ...json }),
    spell({ zzz: 1 }),
    spell({ serial: 0 }),
    spell({ serial: '42' }),
    spell({ expiresAt: undefined }),
    spell({ expiresAt: 1.5 }),
    spell({ files: [] }),
    spell({ files: { a: 1 } }),
    spell({ policy: '' }),
    spell({ files: undefined }),
    text(sealed.payload).replace('"serial":42', '"serial":42,"serial":42'),
    text(sealed.payload).replace('ä', '\\ud800'),
    'null',
    '[',
  ])
    assert.throws(() => readBundled({ payload: Buffer.from(payload) }), { code: 'BUNDLE_INVALID' }, payload);
  assert.throws(() => readBundled({ payload: Buffer.from([0xff]) }), { code: 'BUNDLE_INVALID' });
});

void test(`${BUNDLE_SIGNATURES_MAX} persons sign, one more does not`, () => {
  let bytes = byAlice;
  for (let i = 1; i < BUNDLE_SIGNATURES_MAX; i += 1) bytes = signPolicy(unsealPolicy(bytes), ed());
  assert.equal(unsealPolicy(bytes).signatures.length, BUNDLE_SIGNATURES_MAX);
  assert.throws(() => signPolicy(unsealPolicy(bytes), ed()), { code: 'BUNDLE_INVALID' });
});

void test('what is packed comes out again; what is no gzip, too large, or grows too large, does not', async () => {
  assert.deepEqual(Buffer.from(await unpackBundle(await packBundle(byBoth))), Buffer.from(byBoth));
  for (const bytes of [
    Buffer.from('nonsense'),
    gzipSync(byBoth).subarray(0, 40),
    gzipSync(Buffer.alloc(BUNDLE_MAX_BYTES + 1)),
    Buffer.alloc(PACKED_MAX_BYTES + 1),
  ])
    await assert.rejects(unpackBundle(bytes), { code: 'BUNDLE_INVALID' });
  const noise = Buffer.concat(Array.from({ length: 90 }, () => p256().export({ type: 'pkcs8', format: 'der' })));
  const random = Buffer.alloc(PACKED_MAX_BYTES + (1 << 16));
  for (let at = 0, by = noise; at < random.length; at += by.length) {
    by = Buffer.from(keyIdOf(Buffer.concat([by, Buffer.from([at & 255])])), 'hex');
    by.copy(random, at);
  }
  await assert.rejects(packBundle(random), { code: 'LIMIT_EXCEEDED' });
});

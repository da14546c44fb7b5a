/** Node keys and peer ids: known answers, so that no version ever derives another key from the same token. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import fc from 'fast-check';
import { openKey, newKey, sealKey } from '../../src/identity/issuer.ts';
import { deriveSeed, privateKeyOf, rawPublicKey, signWith, verifyPeer } from '../../src/identity/key.ts';
import { peerIdOf, publicKeyOf } from '../../src/identity/peer-id.ts';
import { type PeerId, parsePeerId } from '../../src/oci/oci.ts';
import { realWorld } from '../../src/world.ts';

const CLUSTER = '000102030405060708090a0b0c0d0e0f';
const secret = Uint8Array.from({ length: 32 }, (_, i) => i);

void test('the node key of a token is what it always was', () => {
  const seed = deriveSeed(secret, CLUSTER, 'n1');
  assert.equal(Buffer.from(seed).toString('hex'), '9c6091b362bd95dd63be3c3959e56b6c7f1895d29fac62b916b1a1f48c55465e');
  assert.equal(peerIdOf(rawPublicKey(privateKeyOf(seed))), '12D3KooWSqimtd5SisXLtvLWrhZSEn16QQCYfMi9P4oCmTgUd9SD');
});

void test('another secret, cluster or name gives another key', () => {
  const seeds = [
    deriveSeed(secret, CLUSTER, 'n1'),
    deriveSeed(secret, CLUSTER, 'n2'),
    deriveSeed(secret, CLUSTER.replace('f', 'e'), 'n1'),
    deriveSeed(secret.toReversed(), CLUSTER, 'n1'),
  ];
  assert.equal(new Set(seeds.map(seed => Buffer.from(seed).toString('hex'))).size, 4);
});

void test('peer ids are those of libp2p, and give their key back', async () => {
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
  await fc.assert(
    fc.asyncProperty(bytes, async seed => {
      const raw = rawPublicKey(privateKeyOf(seed));
      const peer = peerIdOf(raw);
      assert.equal(peer, peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', seed)).toString());
      assert.equal(parsePeerId(peer), peer);
      assert.deepEqual(publicKeyOf(peer), raw);
      const signature = signWith(privateKeyOf(seed), seed);
      assert.equal(verifyPeer(peer, seed, signature), true);
    }),
    { numRuns: 50 },
  );
});

void test('a peer id that is shaped like one but carries no Ed25519 key is refused', () => {
  for (const text of [`12D3KooW${'z'.repeat(44)}`, `12D3KooW${'1'.repeat(44)}`, '12D3KooW'])
    assert.throws(() => publicKeyOf(text as PeerId), { code: 'NAME_INVALID' });
  assert.equal(verifyPeer(`12D3KooW${'z'.repeat(44)}` as PeerId, secret, new Uint8Array(64)), false);
});

void test('a key file opens with its passphrase alone', () => {
  const key = newKey(realWorld);
  const [sealed, open] = [sealKey(key, 'a long passphrase'), sealKey(key, undefined)];
  assert.deepEqual(rawPublicKey(openKey(sealed, 'a long passphrase', 'f')), rawPublicKey(key));
  assert.deepEqual(rawPublicKey(openKey(open, undefined, 'f')), rawPublicKey(key));
  for (const wrong of [undefined, '', 'another passphrase'])
    assert.throws(() => openKey(sealed, wrong, 'f'), { code: 'PASSPHRASE_WRONG' });
  assert.throws(() => sealKey(key, 'short'), { code: 'PASSPHRASE_WRONG' });
  assert.throws(() => openKey(open.slice(0, 60), undefined, 'f'), { code: 'STATE_INVALID' });
});

/** No private key, no join token, in any file of this repository; and the guard finds one where there is one. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeCluster } from './support/cluster.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const LEFT_OUT = new Set(['node_modules', '.git']);
/** Each would match a key itself, not code or prose about keys. */
const PRIVATE: Readonly<Record<string, RegExp>> = {
  'a key in PEM': /-----BEGIN [A-Z ]*PRIVATE KEY-----\s+(?:[A-Za-z-]+: [^\n]*\s+)*[A-Za-z0-9+/=]{16}/,
  'a key as JWK': /"d"\s*:\s*"[A-Za-z0-9_-]{40,}"/,
  'a join token': /pjt1\.[A-Za-z0-9_-]{100}/,
};

/** How an Ed25519 key begins in DER. */
const DER = Buffer.from('302e020100300506032b657004220420', 'hex');

/** What is private in `bytes`, if anything. */
function privateIn(bytes: Uint8Array): string | undefined {
  if (Buffer.from(bytes).includes(DER)) return 'an Ed25519 key in DER';
  const text = Buffer.from(bytes).toString('latin1');
  return Object.entries(PRIVATE).find(([, pattern]) => pattern.test(text))?.[0];
}

function* filesOf(dir: string): Generator<string> {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (LEFT_OUT.has(entry.name)) continue;
    const path = join(dir, entry.name);
    if (entry.isDirectory()) yield* filesOf(path);
    else if (entry.isFile()) yield path;
  }
}

void test('there is no private key and no join token in any file', () => {
  let files = 0;
  for (const path of filesOf(ROOT)) {
    files += 1;
    assert.equal(privateIn(readFileSync(path)), undefined, path.slice(ROOT.length));
  }
  assert.ok(files > 50, `only ${files} files were looked at`);
});

void test('the guard finds keys in every form in which they would stand here', async () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const [rsa, ec] = [
    generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey,
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  ];
  const sealed = { cipher: 'aes-256-cbc', passphrase: 'x' };
  const { token } = (await makeCluster({ nodes: ['n1'] })).node('n1');
  for (const form of [
    ...[privateKey, rsa, ec].map(key => key.export({ type: 'pkcs8', format: 'pem' })),
    rsa.export({ type: 'pkcs1', format: 'pem' }),
    rsa.export({ type: 'pkcs1', format: 'pem', ...sealed }),
    ec.export({ type: 'sec1', format: 'pem' }),
    privateKey.export({ type: 'pkcs8', format: 'pem', ...sealed }),
    privateKey.export({ type: 'pkcs8', format: 'der' }),
    JSON.stringify(ec.export({ format: 'jwk' })),
    token,
  ])
    assert.ok(privateIn(Buffer.from(form)), Buffer.from(form).toString('latin1').slice(0, 40));
});

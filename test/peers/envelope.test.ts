/** The envelope: one encoding, bounds by kind, and the golden files that other implementations read. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { encodeHeads } from '../../src/peers/heads.ts';
import { type Digest, type PeerId, parseTagReference } from '../../src/oci/oci.ts';
import type { Kind } from '../../src/peers/bodies.ts';
import {
  encodeSigned,
  encodeStatement,
  kindOfSigned,
  parseSigned,
  SIGNATURE_BYTES,
  signStatement,
  type Statement,
} from '../../src/peers/envelope.ts';
import type { Root } from '../../src/proof/proof.ts';
import { ownKey, peerOf, verifyPeer } from '../support/fake-peers.ts';

const SEED = Buffer.alloc(32, 7);
const self = ownKey(SEED);
const digest = (n: string): Digest => `sha256:${n.repeat(64)}` as Digest;
const root = (n: string): Root => n.repeat(64) as Root;
const header = { signer: self.peer, start: 3, seq: 17, notAfter: 1_800_000_000_000 };
const entries = [
  { digest: digest('a'), size: 5, root: root('1') },
  { digest: digest('b'), size: 2 ** 36, root: root('2') },
];
const tag = {
  reference: parseTagReference('registry.example:5000/a/b:v1'),
  digest: digest('c'),
  observedAt: 5,
  renewedAt: 6,
};

/** One statement of each kind. */
const STATEMENTS: { readonly [K in Kind]: Statement } = {
  node: { ...header, kind: 'node', body: { addresses: ['10.0.0.1:5001', '[fd00::1]:5001'], lanePort: 5002 } },
  holdings: { ...header, kind: 'holdings', body: { entries } },
  'holdings-delta': {
    ...header,
    kind: 'holdings-delta',
    body: { after: 16, add: entries.slice(1), drop: [digest('a')] },
  },
  'holdings-head': { ...header, kind: 'holdings-head', body: { of: 16 } },
  tags: { ...header, kind: 'tags', body: { tags: [tag] } },
  limited: { ...header, kind: 'limited', body: { audience: peerOf(Buffer.alloc(32, 8)), entries } },
};
const golden = (name: string): URL => new URL(`golden/${name}`, import.meta.url);
const WRITE = process.env.PINNACE_WRITE_GOLDEN === '1';

for (const [kind, statement] of Object.entries(STATEMENTS)) {
  void test(`a ${kind} statement is written as its golden file, signature and all`, async () => {
    const signed = encodeSigned(signStatement(statement, bytes => self.sign(bytes)));
    const line = `${Buffer.from(signed.subarray(0, SIGNATURE_BYTES)).toString('hex')}\n${Buffer.from(encodeStatement(statement)).toString()}\n`;
    if (WRITE) await writeFile(golden(`${kind}.txt`), line);
    assert.equal(line, await readFile(golden(`${kind}.txt`), 'utf8'));
    const parsed = parseSigned(signed);
    assert.deepEqual(parsed.statement, statement);
    assert.ok(verifyPeer(self.peer, parsed.covered, parsed.signature));
    assert.equal(kindOfSigned(signed), kind);
  });
}

void test('heads are written as their golden file', async () => {
  const other = peerOf(Buffer.alloc(32, 8));
  const heads = {
    roster: 4,
    peers: new Map([
      [
        self.peer,
        {
          credential: 1000,
          node: { start: 3, seq: 1 },
          holdings: { start: 3, state: 9, head: 12 },
          tags: { start: 3, seq: 2 },
        },
      ],
      [other, { credential: 2000 }],
    ]),
  };
  const text = `${Buffer.from(encodeHeads(heads)).toString()}\n`;
  if (WRITE) await writeFile(golden('heads.txt'), text);
  assert.equal(text, await readFile(golden('heads.txt'), 'utf8'));
});

const sealed = (json: string): Uint8Array => Buffer.concat([Buffer.alloc(SIGNATURE_BYTES), Buffer.from(json)]);
const refused = (bytes: Uint8Array): void =>
  assert.throws(
    () => parseSigned(bytes),
    error => hasCode(error, 'STATEMENT_INVALID'),
  );
const json = (kind: Kind): string => Buffer.from(encodeStatement(STATEMENTS[kind])).toString();

void test('another spelling of the same statement is refused', () => {
  const text = json('node');
  refused(sealed(text.replace('"seq":17', '"seq": 17')));
  refused(sealed(text.replace('"seq":17', '"seq":17.0')));
  refused(sealed(text.replace('"seq":17', '"seq":17,"seq":17')));
  refused(sealed(text.replace('"seq":17', '"seq":17,"more":1')));
  refused(sealed(text.replace('"lanePort":5002', '"lanePort":5002,"more":1')));
  refused(sealed(text.replace('"start":3,"seq":17', '"seq":17,"start":3')));
  refused(sealed(`${text} `));
  refused(sealed(text.replace('10.0.0.1', '10.0.0.1\\u002f')));
});

void test('what is out of bounds or of the wrong type is refused', () => {
  refused(sealed(json('node').replace('5002', '65536')));
  refused(sealed(json('node').replace('5002', '-1')));
  refused(sealed(json('node').replace('5002', '"5002"')));
  refused(sealed(json('node').replace('10.0.0.1:5001', '10.0.0.1:0')));
  refused(sealed(json('node').replace('10.0.0.1:5001', 'a b:5001')));
  refused(sealed(json('holdings').replace(`${2 ** 36}`, `${2 ** 36 + 1}`)));
  refused(sealed(json('holdings').replace('sha256:', 'sha1:')));
  refused(sealed(json('tags').replace(':v1', '')));
  refused(sealed(json('node').replace(self.peer, '12D3KooWnobody')));
  refused(sealed(json('node').replace('"version":1', '"version":2')));
  refused(sealed(json('node').replace('"kind":"node"', '"kind":"toString"')));
  refused(new Uint8Array(10));
});

void test('lists that are not sorted, or say something twice, are refused', () => {
  const kind = 'holdings';
  const swap = { ...header, kind, body: { entries: [entries[1]!, entries[0]!] } } as const;
  const twice = { ...header, kind, body: { entries: [entries[0]!, entries[0]!] } } as const;
  for (const statement of [swap, twice]) refused(sealed(Buffer.from(encodeStatement(statement)).toString()));
});

void test('a statement over the bytes of its kind is neither read nor signed', () => {
  const addresses = Array.from(
    { length: 8 },
    (_, i) => `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(60)}:${i + 1}`,
  );
  const long: Statement = { ...header, kind: 'node', body: { addresses, lanePort: 1 } };
  assert.doesNotThrow(() => signStatement(long, bytes => self.sign(bytes)));
  refused(sealed(`${json('holdings-head').slice(0, -2)}${' '.repeat(2000)}}}`));
  const many = Array.from({ length: 1000 }, (_, i) => ({
    ...entries[0]!,
    digest: `sha256:${i.toString(16).padStart(64, '0')}` as Digest,
  }));
  const delta: Statement = { ...header, kind: 'holdings-delta', body: { after: 1, add: many, drop: [] } };
  assert.throws(
    () => signStatement(delta, bytes => self.sign(bytes)),
    error => hasCode(error, 'LIMIT_EXCEEDED'),
  );
});

void test('the largest snapshot fits its bounds', () => {
  const largest = Array.from({ length: 16_384 }, (_, i) => ({
    digest: `sha512:${i.toString(16).padStart(128, '0')}` as Digest,
    size: 2 ** 36,
    root: root('f'),
  }));
  const statement: Statement = { ...header, kind: 'holdings', body: { entries: largest } };
  const signed = encodeSigned(signStatement(statement, bytes => self.sign(bytes)));
  assert.equal((parseSigned(signed).statement as typeof statement & { kind: 'holdings' }).body.entries.length, 16_384);
});

void test('a peer id that is not one is nobody', () => {
  assert.throws(
    () => parseSigned(sealed(json('node').replace(self.peer, 'x' as PeerId))),
    error => hasCode(error, 'STATEMENT_INVALID'),
  );
});

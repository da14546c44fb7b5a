/** Evidence: kept on disk, cleared by people alone, and not to be pushed out by more of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest, PeerId } from '../../src/oci/oci.ts';
import type { Root } from '../../src/proof/proof.ts';
import { EVIDENCE_PER_PEER, openEvidence, STATEMENTS_MAX_CHARS } from '../../src/trust/evidence.ts';
import { makeCluster, memoryKeep } from '../support/cluster.ts';

const peers = (await makeCluster({ nodes: ['n1', 'n2', 'n3', 'n4', 'n5'] })).nodes.map(node => node.peer);
const [liar, other] = peers as [PeerId, PeerId];
const hex = (i: number): string => i.toString(16).padStart(64, '0');
const found = (peer: PeerId, i: number, change: object = {}) => ({
  peer,
  credentialIssuedAt: 1000,
  digest: `sha256:${hex(i)}` as Digest,
  claimed: hex(1) as Root,
  own: hex(2) as Root,
  foundAt: 5,
  statement: 'c3RhdGVtZW50',
  ...change,
});

void test('what was kept is there after a restart, and refutes its signer', async () => {
  const keep = memoryKeep();
  const first = await openEvidence({ keep });
  assert.equal(first.refuted(liar, 1000), false);
  const kept = await first.add(found(liar, 1));
  const { own: _, ...contradiction } = found(other, 1);
  await first.add(contradiction);
  const second = await openEvidence({ keep });
  assert.deepEqual(second.list(), [kept, await first.add(contradiction)]);
  assert.equal(second.refuted(liar, 1000), true);
});

void test('a new credential ends a refutation, an older one does not', async () => {
  const book = await openEvidence({ keep: memoryKeep() });
  await book.add(found(liar, 1));
  assert.equal(book.refuted(liar, 999), true);
  assert.equal(book.refuted(liar, 1001), false);
  await book.add(found(liar, 1, { credentialIssuedAt: 1001 }));
  assert.equal(book.refuted(liar, 1001), true);
  assert.equal(book.list().length, 1);
});

void test('one piece for each signer, content and root; and of one signer no more than is needed', async () => {
  const book = await openEvidence({ keep: memoryKeep() });
  for (let i = 0; i < 50; i++) await book.add(found(liar, i));
  await book.add(found(liar, 0));
  assert.equal(book.list().length, EVIDENCE_PER_PEER);
});

void test('people clear it by its id or its signer', async () => {
  const keep = memoryKeep();
  const book = await openEvidence({ keep });
  const { id } = await book.add(found(liar, 1));
  await book.add(found(liar, 2));
  await book.add(found(other, 1));
  assert.equal(await book.clear(id), true);
  assert.equal(await book.clear(id), false);
  assert.equal(book.refuted(liar, 1000), true);
  assert.equal(await book.clear(liar), true);
  assert.equal((await openEvidence({ keep })).refuted(liar, 1000), false);
  assert.equal(book.refuted(other, 1000), true);
});

void test('large statements make old ones give up their text, never their refutation', async () => {
  const book = await openEvidence({ keep: memoryKeep() });
  const statement = 'x'.repeat(STATEMENTS_MAX_CHARS / 4 + 1);
  for (const peer of peers) await book.add(found(peer, 1, { statement }));
  const texts = book.list().map(one => one.statement.length > 0);
  assert.deepEqual(texts, [false, false, true, true, true]);
  for (const peer of peers) assert.equal(book.refuted(peer, 1000), true);
});

void test('a file that is half-written, of another form or newer is an error', async () => {
  const keep = memoryKeep();
  await (await openEvidence({ keep })).add(found(liar, 1));
  const text = Buffer.from(keep.bytes!).toString();
  for (const [bad, code] of [
    [text.slice(0, text.length / 2), 'STATE_INVALID'],
    ['', 'STATE_INVALID'],
    [text.replace('"claimed":"', '"claimed":"x'), 'STATE_INVALID'],
    [text.replace('"foundAt"', '"foundat"'), 'STATE_INVALID'],
    [text.replace('"version":1', '"version":2'), 'STATE_NEWER'],
  ] as const)
    await assert.rejects(openEvidence({ keep: memoryKeep(Buffer.from(bad)) }), { code });
});

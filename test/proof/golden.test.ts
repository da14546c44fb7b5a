/** The golden file of a proof: the list and the root of one content are the same on every node, for ever. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { CHUNK_BYTES, Prover, rootOf } from '../../src/proof/proof.ts';

const WRITE = process.env.PINNACE_WRITE_GOLDEN === '1';

void test('the proof of a content of two and a half chunks is its golden file', async () => {
  const lines: string[] = [];
  for (const algorithm of ['sha256', 'sha512'] as const) {
    const prover = new Prover(algorithm);
    for (let at = 0; at < 5; at++) prover.update(Buffer.alloc(CHUNK_BYTES / 2, at));
    const proof = prover.finish();
    lines.push(proof.digest, String(proof.size), Buffer.from(proof.list).toString('hex'), rootOf(proof));
  }
  const file = new URL('golden/proof.txt', import.meta.url);
  const text = `${lines.join('\n')}\n`;
  if (WRITE) await writeFile(file, text);
  assert.equal(text, await readFile(file, 'utf8'));
});

/** Tags by agreement, held against the rule as it is written down: N signers, and nothing newer that exists. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Digest, PeerId } from '../../src/oci/oci.ts';
import { decideTag, type TagClaim } from '../../src/trust/trust.ts';
import { CLOCK_SKEW_MS } from '../../src/world.ts';

const KEEP_MS = 1000;
const NOW = 10_000_000;
const digest = (i: number): Digest => `sha256:${String(i).repeat(64)}` as Digest;
const claim = (peer: number, of: number, observedAt: number, renewedAt = NOW): TagClaim => ({
  peer: `peer${peer}` as PeerId,
  digest: digest(of),
  observedAt,
  renewedAt,
});
const decide = (claims: readonly TagClaim[], min: number, exists: (of: Digest) => boolean = () => true) =>
  decideTag(claims, min, KEEP_MS, NOW, of => Promise.resolve(exists(of)));

void test('N distinct signers of one digest decide a tag, fewer do not', async () => {
  assert.equal(await decide([claim(1, 1, 5), claim(2, 1, 6)], 2), digest(1));
  assert.equal(await decide([claim(1, 1, 5), claim(2, 2, 6)], 2), undefined);
  assert.equal(await decide([claim(1, 1, 5), claim(1, 1, 6)], 2), undefined);
  assert.equal(await decide([], 1), undefined);
});

void test('a tag that moved answers the new digest once N saw it, and nothing in between', async () => {
  const old = [claim(1, 1, 10), claim(2, 1, 11), claim(3, 1, 12)];
  assert.equal(await decide(old, 2), digest(1));
  const one = [claim(1, 1, 10), claim(2, 1, 11), claim(3, 2, 20)];
  assert.equal(await decide(one, 2), undefined);
  assert.equal(await decide([claim(1, 1, 10), claim(2, 2, 19), claim(3, 2, 20)], 2), digest(2));
  assert.equal(await decide(one, 1), digest(2));
});

void test('where two digests have their N-th statement at one moment, the one that nothing newer contests answers', async () => {
  assert.equal(await decide([claim(1, 2, 10), claim(2, 2, 10), claim(3, 1, 20), claim(4, 1, 10)], 2), digest(1));
  const same = [claim(1, 1, 10), claim(2, 2, 10)];
  assert.equal(await decide(same, 1), await decide(same.toReversed(), 1));
});

void test('of one signer only the newest statement counts', async () => {
  assert.equal(await decide([claim(1, 1, 10), claim(1, 2, 20), claim(2, 1, 9)], 2), undefined);
  assert.equal(await decide([claim(1, 2, 20), claim(1, 1, 10)], 1), digest(2));
});

void test('an invented digest neither answers nor blocks', async () => {
  const real = (of: Digest): boolean => of === digest(1);
  assert.equal(await decide([claim(1, 1, 10), claim(2, 1, 11), claim(3, 9, 50)], 2, real), digest(1));
  assert.equal(await decide([claim(1, 1, 10), claim(2, 9, 50)], 1, real), digest(1));
  assert.equal(await decide([claim(2, 9, 50)], 1, real), undefined);
});

void test('a statement that was not renewed for so long does not count any more', async () => {
  assert.equal(await decide([claim(1, 1, 5, NOW - KEEP_MS)], 1), digest(1));
  assert.equal(await decide([claim(1, 1, 5, NOW - KEEP_MS - 1)], 1), undefined);
  const gone = [claim(1, 1, 5), claim(2, 2, 9, NOW - KEEP_MS - 1)];
  assert.equal(await decide(gone, 1), digest(1));
});

void test('a statement dated ahead of the clock does not count', async () => {
  const ahead = NOW + CLOCK_SKEW_MS + 1;
  assert.equal(await decide([claim(1, 1, 5), claim(2, 2, ahead)], 1), digest(1));
  assert.equal(await decide([claim(1, 1, 5), claim(2, 2, 6, ahead)], 1), digest(1));
});

void test('existence is asked only of digests that would matter, once each', async () => {
  const asked: Digest[] = [];
  const exists = (of: Digest): boolean => asked.push(of) > 0;
  await decide([claim(1, 1, 10), claim(2, 1, 11), claim(3, 2, 5), claim(4, 3, 9)], 2, exists);
  assert.deepEqual(asked, [digest(1)]);
});

/** The rule, word for word and slowly. */
function byTheBook(claims: readonly TagClaim[], min: number, real: ReadonlySet<Digest>): Digest[] {
  const newest = claims.filter(c => !claims.some(other => other.peer === c.peer && other.observedAt > c.observedAt));
  const countable = newest.filter(c => c.renewedAt + KEEP_MS >= NOW && real.has(c.digest));
  return [...real].filter(of => {
    const stated = countable.filter(c => c.digest === of).map(c => c.observedAt);
    const since = stated.sort((a, b) => b - a)[min - 1];
    return since !== undefined && !countable.some(c => c.digest !== of && c.observedAt > since);
  });
}

void test('whatever is stated, the answer is that of the rule, in any order of statements', async () => {
  const one = fc.record({
    peer: fc.integer({ min: 0, max: 5 }),
    of: fc.integer({ min: 0, max: 2 }),
    at: fc.integer({ min: 0, max: 3 }),
    age: fc.constantFrom(0, 0, 0, KEEP_MS + 1),
  });
  // One statement per signer and moment, as nobody says two things at once.
  const claims = fc.uniqueArray(one, { minLength: 2, maxLength: 10, selector: ({ peer, at }) => `${peer}@${at}` });
  const real = fc.constantFrom([0, 1, 2], [0, 1], [1, 2], [2]).map(list => new Set(list.map(digest)));
  await fc.assert(
    fc.asyncProperty(claims, fc.integer({ min: 1, max: 3 }), real, async (list, min, exist) => {
      const stated = list.map(({ peer, of, at, age }) => claim(peer, of, at, NOW - age));
      const answer = await decide(stated, min, of => exist.has(of));
      const allowed = byTheBook(stated, min, exist);
      if (allowed.length) assert.ok(answer !== undefined && allowed.includes(answer));
      else assert.equal(answer, undefined);
      assert.equal(await decide(stated.toReversed(), min, of => exist.has(of)), answer);
    }),
    { numRuns: 2000 },
  );
});

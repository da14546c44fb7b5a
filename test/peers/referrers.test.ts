/** What nodes say they have about a digest: one encoding, bounds, and the golden file of question and answer. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, describe, it, test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { type Digest, digestOf } from '../../src/oci/oci.ts';
import { type Referrer, REFERRERS_MAX } from '../../src/peers/peers.ts';
import { encodeMark, KNOWN, SEND } from '../../src/peers/hearing.ts';
import { encodePolicyHead } from '../../src/peers/policy-exchange.ts';
import { encodeReferrers, parseReferrers, REFERRERS_MAX_BYTES } from '../../src/peers/referrers.ts';
import { eventually } from '../conformance/wire.ts';
import { Ground, type TestNode } from './ground.ts';

const digest = (name: string): Digest => digestOf(Buffer.from(name));
const one = (name: string, size = 500): Referrer => ({ bond: 'subject', digest: digest(name), size });
const refused = (text: string | Uint8Array): void =>
  assert.throws(
    () => parseReferrers(Buffer.from(text)),
    error => hasCode(error, 'FRAME_INVALID'),
  );

void test('small questions and their answers are written as their golden file, and read back', async () => {
  const list: Referrer[] = [one('a'), { ...one('b', 1), bond: 'sig' }, { ...one('b', 1 << 20), bond: 'att' }];
  const answer = encodeReferrers(list);
  const lines = [
    `referrers ${Buffer.from(answer).toString()}`,
    `referrers-none ${Buffer.from(encodeReferrers([])).toString()}`,
    `limited ${Buffer.from(encodeMark({ start: 3, seq: 17 })).toString()}`,
    `limited-known ${KNOWN}`,
    `limited-send ${SEND}`,
    `policy ${Buffer.from(encodePolicyHead(7)).toString()}`,
    `policy-none ${Buffer.from(encodePolicyHead(0)).toString()}`,
  ];
  const file = new URL('golden/questions.txt', import.meta.url);
  const text = `${lines.join('\n')}\n`;
  if (process.env.PINNACE_WRITE_GOLDEN === '1') await writeFile(file, text);
  assert.equal(text, await readFile(file, 'utf8'));
  const key = ({ digest: of, bond }: Referrer): string => `${of} ${bond}`;
  assert.deepEqual(
    parseReferrers(answer),
    [...list].sort((a, b) => (key(a) < key(b) ? -1 : 1)),
  );
});

void test('the longest list fits its frame', () => {
  const list = Array.from({ length: REFERRERS_MAX }, (_, i) => ({
    bond: 'subject' as const,
    digest: digestOf(Buffer.from(`${i}`), 'sha512'),
    size: 1 << 20,
  }));
  const bytes = encodeReferrers(list);
  assert.ok(bytes.length <= REFERRERS_MAX_BYTES);
  assert.equal(parseReferrers(bytes).length, REFERRERS_MAX);
});

void test('what cannot be told is left out: too large, empty, twice, more than fit', () => {
  const told = (list: readonly Referrer[]): number => parseReferrers(encodeReferrers(list)).length;
  assert.equal(told([one('a', 0), one('b', (1 << 20) + 1), one('c', 1.5), one('d'), one('d')]), 1);
  assert.equal(told(Array.from({ length: 100 }, (_, i) => one(`${i}`))), REFERRERS_MAX);
});

void test('lists out of bounds, out of order, said twice or spelt otherwise are refused', () => {
  const [a, b] = [digest('a'), digest('b')].sort() as [Digest, Digest];
  const row = (of: string, bond = 'subject', size: unknown = 1): unknown[] => [of, bond, size];
  const text = (rows: unknown): string => JSON.stringify({ referrers: rows });
  assert.equal(parseReferrers(Buffer.from(text([row(a), row(b)]))).length, 2);
  refused(text([row(b), row(a)]));
  refused(text([row(a), row(a)]));
  refused(text([row(a, 'subject'), row(a, 'att')]));
  for (const size of [0, -1, 1.5, (1 << 20) + 1, '1', null, 2 ** 53]) refused(text([row(a, 'subject', size)]));
  for (const bond of ['index', 'sbom', '', '__proto__', 1]) refused(text([row(a, bond as string)]));
  for (const no of ['sha1:aa', 'sha256:../../etc', a.toUpperCase(), '']) refused(text([row(no)]));
  refused(
    text(
      Array.from({ length: 33 }, (_, i) => digest(`${i}`))
        .sort()
        .map(of => row(of)),
    ),
  );
  refused(text([[a, 'subject']]));
  refused(text([[a, 'subject', 1, 1]]));
  refused(text({}));
  refused(`${text([])} `);
  refused('{"referrers":[],"more":1}');
  refused('{"referrers":[],"referrers":[]}');
  refused('[]');
  refused('');
  refused(new Uint8Array(REFERRERS_MAX_BYTES + 1).fill(0x20));
});

void describe('nodes on loopback', () => {
  const { signal } = new AbortController();
  let ground: Ground;
  let [asker, giver, taker]: TestNode[] = [];
  const subject = digest('subject');
  before(async () => {
    ground = await Ground.make();
    asker = await ground.start('asker');
    const bootstrap = asker.peers.addresses;
    giver = await ground.start('giver', { bootstrap, referrers: of => (of === subject ? [one('a')] : []) });
    taker = await ground.start(await ground.cluster.add({ name: 'taker', roles: ['fetch'] }), { bootstrap });
    await eventually(() => asker!.peers.status().filter(peer => peer.connected).length === 2, 'both are linked');
  });
  after(() => ground.end());

  void it('are asked by digest, and only where their role lets them answer', async () => {
    assert.deepEqual(await asker!.peers.referrers(giver!.peer, subject, signal), [one('a')]);
    assert.deepEqual(await asker!.peers.referrers(giver!.peer, digest('other'), signal), []);
    await assert.rejects(asker!.peers.referrers(taker!.peer, subject, signal), error => hasCode(error, 'ROLE_MISSING'));
  });

  void it('end with the signal of who asks', async () => {
    const stopped = AbortSignal.abort();
    await assert.rejects(asker!.peers.referrers(giver!.peer, subject, stopped));
  });
});

/** Origins: what a node may state of a tag, decided once, from its own record of what its mirror answered. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Digest, parseTagReference } from '../../src/oci/oci.ts';
import { ORIGINS_MAX, openOrigins } from '../../src/trust/origin.ts';
import { memoryKeep } from '../support/cluster.ts';

const app = parseTagReference('registry.test/team/app:1.0');
const digest = (i: number): Digest => `sha256:${i.toString(16).padStart(64, '0')}` as Digest;
const BORN = 1_000_000;
const world = { now: () => BORN };
const image = (change: object = {}) => ({
  reference: app,
  digest: digest(1),
  createdAt: BORN + 1,
  fetched: true,
  ...change,
});

void test('what the mirror answered is mirrored, also if it was imported since', async () => {
  const book = await openOrigins({ keep: memoryKeep(), world });
  await book.mirrored(app, digest(1));
  assert.equal(await book.decide(image()), 'mirrored');
  await book.mirrored(app, digest(2));
  assert.equal(await book.decide(image({ digest: digest(2), fetched: false })), 'mirrored');
});

void test('only the same tag with the same digest is mirrored', async () => {
  const book = await openOrigins({ keep: memoryKeep(), world });
  await book.mirrored(app, digest(1));
  assert.equal(await book.decide(image({ digest: digest(2) })), 'observed');
  assert.equal(await book.decide(image({ reference: parseTagReference('registry.test/team/app:1.1') })), 'observed');
});

void test('what was never fetched is local; fetched around the mirror since birth is observed; before, unknown', async () => {
  const book = await openOrigins({ keep: memoryKeep(), world });
  assert.equal(await book.decide(image({ digest: digest(1), fetched: false, createdAt: 1 })), 'local');
  assert.equal(await book.decide(image({ digest: digest(2) })), 'observed');
  assert.equal(await book.decide(image({ digest: digest(3), createdAt: BORN })), 'unknown');
});

void test('an image is judged once, also across restarts', async () => {
  const keep = memoryKeep();
  const first = await openOrigins({ keep, world });
  assert.equal(await first.decide(image()), 'observed');
  await first.mirrored(app, digest(1));
  assert.equal(await first.decide(image()), 'observed');
  const second = await openOrigins({ keep, world: { now: () => BORN + 999 } });
  assert.equal(second.born, BORN);
  assert.equal(await second.decide(image({ fetched: false })), 'observed');
});

void test('what the mirror answers is on disk before it is answered', async () => {
  const keep = memoryKeep();
  const book = await openOrigins({ keep, world });
  await book.mirrored(app, digest(1));
  const again = await openOrigins({ keep: memoryKeep(keep.bytes), world });
  assert.equal(await again.decide(image()), 'mirrored');
  keep.write = () => Promise.reject(new Error('no space'));
  await assert.rejects(book.mirrored(app, digest(2)));
});

void test('a person adopts and forgets a name', async () => {
  const keep = memoryKeep();
  const book = await openOrigins({ keep, world });
  assert.equal(await book.decide(image({ createdAt: 1 })), 'unknown');
  assert.equal(await book.forget(app), false);
  await book.adopt(app, digest(1));
  assert.equal(await (await openOrigins({ keep, world })).decide(image()), 'adopted');
  assert.equal(await book.forget(app), true);
  assert.equal(await book.decide(image()), 'unknown');
  assert.equal(await book.decide(image({ digest: digest(2) })), 'observed');
  const longer = parseTagReference('registry.test/team/app:1.0.1');
  assert.equal(await book.decide(image({ reference: longer })), 'observed');
  assert.equal(await book.forget(app), true);
  assert.equal(await book.decide(image({ reference: longer })), 'observed');
});

void test('where the file is lost, images that are there count as unknown', async () => {
  const book = await openOrigins({ keep: memoryKeep(), world: { now: () => BORN * 2 } });
  assert.equal(await book.decide(image()), 'unknown');
});

void test('memory is bounded: the oldest answers go, and what they told of is unknown, never observed', async () => {
  const keep = memoryKeep();
  let now = BORN;
  const book = await openOrigins({ keep, world: { now: () => now } });
  now += 1_000;
  const writes = Array.from({ length: ORIGINS_MAX + 2 }, (_, i) => book.mirrored(app, digest(i)));
  await Promise.all(writes);
  assert.equal(await book.decide(image({ digest: digest(1) })), 'unknown');
  assert.equal(await book.decide(image({ digest: digest(2) })), 'mirrored');
  const later = { digest: digest(ORIGINS_MAX + 9), createdAt: now + 1 };
  assert.equal(await book.decide(image(later)), 'observed', 'what came later is judged as ever');
  const again = await openOrigins({ keep: memoryKeep(keep.bytes), world });
  assert.equal(again.born, now);
});

void test('an image that stays keeps its decision, however many others come and go', async () => {
  let now = BORN;
  const book = await openOrigins({ keep: memoryKeep(), world: { now: () => now } });
  const mine = image({ digest: digest(0), createdAt: 2 ** 40 });
  await book.mirrored(app, digest(0));
  assert.equal(await book.decide(mine), 'mirrored');
  for (let i = 1; i <= ORIGINS_MAX + 2; i++) {
    now += 1;
    await book.decide(image({ digest: digest(i) }));
    if (i % 1000 === 0) await book.decide(mine);
  }
  await Promise.all(Array.from({ length: ORIGINS_MAX + 2 }, (_, i) => book.mirrored(app, digest(i + 1))));
  assert.equal(await book.decide(mine), 'mirrored');
});

void test('an answer that could not be written has to be written before it is given the next time', async () => {
  const keep = memoryKeep();
  const book = await openOrigins({ keep, world });
  const write = keep.write.bind(keep);
  keep.write = () => Promise.reject(new Error('no space'));
  await assert.rejects(book.mirrored(app, digest(1)));
  await assert.rejects(book.mirrored(app, digest(1)));
  keep.write = write;
  const [first, second] = [book.mirrored(app, digest(1)), book.mirrored(app, digest(1))];
  await second;
  const again = await openOrigins({ keep: memoryKeep(keep.bytes), world });
  assert.equal(await again.decide(image()), 'mirrored');
  await first;
});

void test('a file that is half-written, of another form or newer is an error', async () => {
  const keep = memoryKeep();
  const book = await openOrigins({ keep, world });
  await book.mirrored(app, digest(1));
  await book.adopt(app, digest(1));
  const text = Buffer.from(keep.bytes!).toString();
  for (const [bad, code] of [
    [text.slice(0, text.length / 2), 'STATE_INVALID'],
    ['', 'STATE_INVALID'],
    [text.replace('adopted', 'invented'), 'STATE_INVALID'],
    [text.replace('registry.test', 'REGISTRY.test'), 'STATE_INVALID'],
    [text.replace('"born":1000000', '"born":"x"'), 'STATE_INVALID'],
    [text.replace('"version":1', '"version":2'), 'STATE_NEWER'],
  ] as const)
    await assert.rejects(openOrigins({ keep: memoryKeep(Buffer.from(bad)), world }), { code });
});

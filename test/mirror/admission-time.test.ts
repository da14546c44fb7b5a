/** What time does to admission: audit mode, exceptions and their end, ages of signatures, keys that end, policies that end. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { ISSUED_AT } from '../support/policies.ts';
import { buildAttachment } from '../support/memory-attachments.ts';
import { openSigstore, type Sigstore } from '../support/sigstore.ts';
import { byKey, bytesOfJson, statementOf } from '../support/sigstore-signing.ts';
import type { Code } from '../../src/errors.ts';
import { type StoryNode, storyImage } from './story-node.ts';
import {
  Admission,
  ALL,
  is,
  KEYS,
  NAME,
  PINNED,
  PLATFORM,
  policy,
  recorded,
  signatureBy,
  SIGNED,
  withPins,
} from './admission.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const IMAGE = storyImage(NAME, { layers: [10] });
const OTHER = storyImage(NAME, { layers: [10], seed: 'other' });
const { digest } = IMAGE.target;
const GOOD = signatureBy(PLATFORM, digest);
const at = (ms: number): string => new Date(ISSUED_AT + ms).toISOString().replace('.000Z', 'Z');

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

const verdicts = (node: StoryNode): string[] =>
  node.audit.events.flatMap(event =>
    event.event.startsWith('image.') || event.event === 'exception.used'
      ? [`${event.event}${'code' in event ? ` ${event.code}` : ''}`]
      : [],
  );

/** The image is told, given and answered, or neither. */
async function isIn(node: StoryNode, there: boolean, code: Code = 'CONTENT_ABSENT'): Promise<void> {
  assert.equal(node.told.holdings.includes(digest), there);
  if (!there) await story.hides(node, IMAGE);
  const asked = story.get(node, story.manifest(IMAGE, digest));
  if (there) assert.ok((await asked).whole);
  else await assert.rejects(asked, is(code));
}

for (const [what, text, files, code] of [
  ['unsigned', SIGNED, KEYS, 'SIGNATURE_MISSING'],
  ['not pinned', PINNED, withPins({ 'r.test/team/x:1': digest }), 'PIN_MISSING'],
  ['that moved from its pin', PINNED, withPins({ [NAME]: OTHER.target.digest }), 'PIN_MISMATCH'],
  ['of a denied name', policy('action: deny, share: cluster'), KEYS, 'DENIED'],
] as const)
  void test(`in mode audit an image ${what} is let through, told, and recorded by its code: image.passed, ${code}`, async () => {
    const node = await story.holder(
      'audits',
      IMAGE,
      text.replace('name: team,', 'name: team, mode: audit,'),
      [],
      files,
    );
    await isIn(node, true);
    assert.deepEqual([...new Set(verdicts(node).filter(one => !one.includes('admitted')))].slice(0, 1), [
      `image.passed ${code}`,
    ]);
    assert.deepEqual(recorded(node, 'image.refused'), []);
    node.decree(text, files);
    await story.share();
    await story.hides(node, IMAGE);
    assert.equal(recorded(node, 'image.refused')[0]!.code, code);
  });

const excepted = (rule: string, of = digest): string =>
  policy(
    rule,
    `exceptions:\n  - { match: r.test/team/app, digest: "${of}", reason: INC-1, approvedBy: alice, expiresAt: ${at(3 * HOUR)} }\n`,
  );
const UNSIGNED = 'share: cluster, signatures: {anyOf: [platform]}';

for (const [what, rule, code, byName] of [
  ['is unsigned', UNSIGNED, 'SIGNATURE_MISSING', 'SIGNATURE_MISSING'],
  ['is of a denied name', 'action: deny, share: cluster', 'DENIED', 'DENIED'],
] as const)
  void test(`an exception lets in its one digest that ${what}, recorded with its reason, and ends while the node runs (${code})`, async () => {
    const node = await story.holder('excepts', IMAGE, excepted(rule));
    await isIn(node, true);
    assert.deepEqual(
      [...new Set(node.audit.of('exception.used').map(one => [one.digest, one.reason, one.approvedBy].join(' ')))],
      [`${digest} INC-1 alice`],
    );
    await story.world.advance(3 * HOUR - 10_000);
    await isIn(node, true);
    await story.world.advance(20_000);
    await isIn(node, false, byName);
    assert.equal(recorded(node, 'image.refused').at(-1)!.code, code);
    assert.equal(node.audit.of('share.withdrawn').length, 1);
  });

void test('an exception is for no other digest, and is not used where the rule allows (exception.used)', async () => {
  const allowed = await story.holder('allowed', IMAGE, excepted('share: cluster'));
  await isIn(allowed, true);
  assert.deepEqual(allowed.audit.of('exception.used'), []);
  allowed.stop();
  const other = await story.holder('other', IMAGE, excepted(UNSIGNED, OTHER.target.digest));
  await isIn(other, false, 'SIGNATURE_MISSING');
});

void test('what came through the mirror by an exception is forgotten when that ends, store or not (SIGNATURE_MISSING)', async () => {
  await story.holder('open', IMAGE, ALL);
  const node = await story.node('reader', { policy: excepted(UNSIGNED), files: KEYS, kind: 'containerd' });
  await story.get(node, story.manifest(IMAGE, digest));
  assert.ok((await story.get(node, story.blob(IMAGE, IMAGE.layers[0]!))).whole);
  await story.world.advance(3 * HOUR + 10_000);
  await assert.rejects(story.get(node, story.manifest(IMAGE, digest)), is('SIGNATURE_MISSING'));
  await assert.rejects(story.get(node, story.blob(IMAGE, IMAGE.layers[0]!)), is('CONTENT_ABSENT'));
});

void test('what came by an exception that ends before this node looks at its store again ends on time (SIGNATURE_MISSING)', async () => {
  await story.holder('open', IMAGE, ALL);
  const text = excepted(UNSIGNED).replace(at(3 * HOUR), at(HOUR / 2));
  const node = await story.node('reader', { policy: text, files: KEYS, kind: 'containerd' });
  await story.world.advance(HOUR / 4);
  await story.get(node, story.manifest(IMAGE, digest));
  await story.world.advance(HOUR / 4 + 10_000);
  await assert.rejects(story.get(node, story.manifest(IMAGE, digest)), is('SIGNATURE_MISSING'));
});

void test('a key that ends takes its signatures with it, while the node runs (SIGNATURE_MISSING, SIGNATURE_UNTRUSTED)', async () => {
  const text = SIGNED.replace('file: platform.pub', `file: platform.pub, notAfter: "${at(2 * HOUR)}"`);
  const node = await story.holder('holder', IMAGE, text, [GOOD]);
  await isIn(node, true);
  await story.world.advance(2 * HOUR - 10_000);
  await isIn(node, true);
  await story.world.advance(20_000);
  await isIn(node, false, 'SIGNATURE_UNTRUSTED');
  assert.deepEqual([...new Set(verdicts(node))], ['image.admitted', 'image.refused SIGNATURE_UNTRUSTED']);
});

void test('a key that has not begun counts as soon as it has, though its signature was judged before (SIGNATURE_UNTRUSTED)', async () => {
  const text = SIGNED.replace('file: platform.pub', `file: platform.pub, notBefore: "${at(2 * HOUR)}"`);
  const node = await story.holder('holder', IMAGE, text, [GOOD]);
  await isIn(node, false, 'SIGNATURE_UNTRUSTED');
  await story.world.advance(2 * HOUR + 61_000);
  await isIn(node, true);
});

let sigstore: Sigstore;
before(async () => {
  sigstore = await openSigstore();
});
after(() => sigstore.close());

void test('a signature is admitted until it is too old by its proven time; one without proven time never is (SIGNATURE_UNTRUSTED)', async () => {
  const root = bytesOfJson(sigstore.root());
  const sha256 = createHash('sha256').update(root).digest('hex');
  const timed = policy('share: cluster, signatures: {anyOf: [platform], maxAge: 1h}')
    .replace('file: platform.pub }', 'file: platform.pub }, trustRoot: corp, timestamps: 1')
    .replace('authorities:', `trustRoots: { corp: { file: root.json, sha256: ${sha256} } }\nauthorities:`);
  const bundle = await sigstore.statement(statementOf(digest), { signer: byKey(PLATFORM), witnesses: ['tsa'] });
  const signature = buildAttachment(digest, bytesOfJson(bundle));
  const files = new Map([...KEYS, ['root.json', root]]);
  // The proven time is the machine's.
  await story.end();
  story = new Admission(Date.now());
  const node = await story.holder('holder', IMAGE, timed, [signature], files);
  await isIn(node, true);
  await story.world.advance(HOUR - 60_000);
  await isIn(node, true);
  await story.world.advance(120_000);
  await isIn(node, false, 'SIGNATURE_UNTRUSTED');
  const untimed = await story.holder(
    'untimed',
    IMAGE,
    policy('share: cluster, signatures: {anyOf: [platform], maxAge: 1h}'),
    [GOOD],
  );
  await isIn(untimed, false, 'SIGNATURE_UNTRUSTED');
});

for (const [onExpiry, stays] of [
  ['freeze', true],
  ['deny', false],
] as const)
  void test(`a policy that ends with onExpiry ${onExpiry} admits nothing new; what was admitted ${stays ? 'stays' : 'is withdrawn'} (POLICY_EXPIRED)`, async () => {
    const other = storyImage('r.test/team/other:1', { layers: [10] });
    const text = policy(UNSIGNED, '', `, expiresAt: ${at(2 * HOUR)}, onExpiry: ${onExpiry}`);
    await story.holder('open', other, ALL, [signatureBy(PLATFORM, other.target.digest)]);
    const node = await story.holder('holder', IMAGE, text, [GOOD]);
    await isIn(node, true);
    await story.world.advance(2 * HOUR + 1_000);
    await isIn(node, stays, 'POLICY_EXPIRED');
    await story.refuses(node, other, 'POLICY_EXPIRED', other.target.digest);
    const late = storyImage('r.test/team/late:1', { layers: [10] });
    node.keep(late);
    await story.share();
    await story.hides(node, late);
    assert.equal(recorded(node, 'image.refused').at(-1)!.code, 'POLICY_EXPIRED');
  });

void test('an exception ends where the policy has ended before it and freezes, also over a restart (POLICY_EXPIRED)', async () => {
  const text = excepted(UNSIGNED).replace('serial: 1', `serial: 1, expiresAt: ${at(2 * HOUR)}`);
  const first = await story.holder('excepts', IMAGE, text);
  await story.world.advance(2 * HOUR + 60_000);
  await isIn(first, true);
  first.stop();
  const again = await story.node('excepts', { policy: text, files: KEYS, again: first });
  await story.share();
  await isIn(again, true);
  await story.world.advance(HOUR);
  await isIn(again, false, 'POLICY_EXPIRED');
});

void test('a node that starts under a policy that has ended admits nothing (POLICY_EXPIRED)', async () => {
  const text = policy(UNSIGNED, '', `, expiresAt: ${at(2 * HOUR)}`);
  await story.world.advance(2 * HOUR);
  const node = await story.holder('holder', IMAGE, text, [GOOD]);
  await isIn(node, false, 'POLICY_EXPIRED');
});

void test('a verdict that holds is neither judged nor recorded again for a day; one that is no is not recorded again', async () => {
  const node = await story.holder('holder', IMAGE, SIGNED, [GOOD]);
  node.keep(OTHER);
  await story.share();
  const strange = storyImage('r.test/team/strange:1', { layers: [10] });
  node.keep(strange);
  await story.world.advance(DAY);
  assert.equal(verdicts(node).filter(one => one === 'image.admitted').length, 1);
  assert.equal(recorded(node, 'image.refused').filter(one => one.digest === strange.target.digest).length, 1);
});

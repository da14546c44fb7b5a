/** A policy that expires and freezes: what was admitted stays over a restart, nothing new comes, and no other policy counts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Story, storyImage, MIB } from './story-node.ts';
import { whole } from '../support/policies.ts';

const RULES = `registries: [r.test]
rules: [{name: team, match: r.test/team/**, share: cluster}]
`;
const DAY_MS = 86_400_000;
const ends = (story: Story, onExpiry: string, serial = 1): string =>
  whole(
    RULES,
    `, expiresAt: "${new Date(story.world.now() + DAY_MS).toISOString().replace(/\.\d+Z$/, 'Z')}", onExpiry: ${onExpiry}`,
  )
    .replace('serial: 1', `serial: ${serial}`)
    .replace('2026-11-20T00:00:00Z', new Date(story.world.now()).toISOString().replace(/\.\d+Z$/, 'Z'));

const old = storyImage('r.test/team/old:1', { layers: [MIB] });
const late = storyImage('r.test/team/late:1', { layers: [MIB] });

for (const [onExpiry, told] of [
  ['freeze', true],
  ['deny', false],
] as const)
  void test(`after the end with ${onExpiry}, a restart ${told ? 'leaves' : 'withdraws'} what was admitted, and nothing new is`, async () => {
    const story = new Story();
    const policy = ends(story, onExpiry);
    const first = await story.node('a', { policy });
    first.keep(old);
    await story.share();
    assert.ok(first.told.holdings.includes(old.target.digest));
    first.stop();
    await story.world.advance(2 * DAY_MS);
    const again = await story.node('a', { policy, again: first });
    again.keep(late);
    await story.share();
    await story.share();
    assert.equal(again.told.holdings.includes(old.target.digest), told);
    assert.equal(again.told.holdings.includes(late.target.digest), false);
    const refused = again.audit.events.filter(({ event }) => event === 'image.refused') as unknown as {
      code: string;
    }[];
    assert.ok(refused.some(({ code }) => code === 'POLICY_EXPIRED'));
    await story.end();
  });

void test('what one policy admitted counts for nothing under another that has expired', async () => {
  const story = new Story();
  const [one, other] = [ends(story, 'freeze'), ends(story, 'freeze', 2)];
  const first = await story.node('a', { policy: one });
  first.keep(old);
  await story.share();
  first.stop();
  await story.world.advance(2 * DAY_MS);
  const again = await story.node('a', { policy: other, again: first });
  await story.share();
  await story.share();
  assert.deepEqual(again.told.holdings, []);
  await story.end();
});

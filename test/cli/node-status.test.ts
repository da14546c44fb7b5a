/** What a node says of itself to a person: above all what will go wrong. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { parseConfig } from '../../src/cli/config.ts';
import type { Lives } from '../../src/cli/lives.ts';
import { type Facts, statusOf } from '../../src/cli/node-status.ts';
import { OPEN_POLICY, Story, type StoryNode, storyImage } from '../mirror/story-node.ts';
import { DAY_MS } from '../support/cluster.ts';

const CONFIG = parseConfig(
  'node: n1\nstateDir: ./n1\npolicyFile: ./p.yaml\nmirror: {listen: "127.0.0.1:5000"}\npeers: {listen: "127.0.0.1:5001"}\n',
  '/n1.yaml',
);
let story: Story;
beforeEach(() => {
  story = new Story();
});
afterEach(() => story.end());

const factsOf = ({ rooms, node }: StoryNode, more: Partial<Facts> = {}): Facts => ({
  rooms,
  config: CONFIG,
  node: node.name,
  peer: node.peer,
  cluster: 'c',
  roster: () => ({ seq: 1, signer: new Uint8Array(32) }),
  lives: () => lives(0),
  byNewestIssuer: () => 1,
  holdings: () => ({ contents: 0, bytes: 0 }),
  policyFrom: () => ({ file: './p.yaml', signers: [] }),
  notReady: () => undefined,
  counts: () => true,
  ...more,
});
const lives = (ageMs: number): Lives => {
  const issuedAt = story.world.now() - ageMs;
  return {
    roster: { issuedAt, expiresAt: issuedAt + 90 * DAY_MS },
    credential: { issuedAt, expiresAt: issuedAt + 365 * DAY_MS },
  };
};
const warnings = (node: StoryNode, more?: Partial<Facts>): readonly string[] => statusOf(factsOf(node, more)).warnings;

void test('a node that was shut out says so, and one that is alone although it was told of others', async () => {
  const node = await story.node('n1');
  assert.deepEqual(warnings(node), []);
  assert.equal(warnings(node, { counts: () => false }).length, 1);
  const config = { ...CONFIG, peers: { ...CONFIG.peers, bootstrap: ['127.0.0.1:5001'] } };
  assert.equal(warnings(node, { config }).length, 1);
  await story.node('n2');
  assert.deepEqual(warnings(node, { config }), []);
});

void test('a policy that is refused while the last good one stays is warned of, and none in force is said', async () => {
  const node = await story.node('n1');
  const refused = './p.yaml: rules[0].bogus: is not a known key';
  assert.match(warnings(node, { policyFrom: () => ({ file: './p.yaml', signers: [], refused }) }).join(), /bogus/);
  assert.equal(statusOf(factsOf(node, { policyFrom: () => ({ signers: [] }) })).policy, undefined);
  const { hash } = node.rooms.policy();
  const inForce = { name: 'migrated', serial: 1, file: './p.yaml', hash, signers: [] };
  assert.deepEqual(statusOf(factsOf(node)).policy, inForce);
});

void test('a key that signs in two places is warned of', async () => {
  const node = await story.node('n1');
  const { peers } = node.rooms;
  const clone = {
    peer: node.node.peer,
    node: (await story.node('n2')).rooms.peers.status()[0]!.node,
    start: 8,
    other: 7,
    at: 1,
  };
  const rooms = { ...node.rooms, peers: { ...peers, clones: () => [clone] } };
  assert.equal(warnings({ ...node, rooms }).length, 1);
});

void test('what ends soon and what has ended is warned of, and an ended roster is said to freeze', async () => {
  const node = await story.node('n1');
  const at = (days: number) => statusOf(factsOf(node, { lives: () => lives(days * DAY_MS) }));
  for (const [days, count, frozen] of [
    [62, 0, false],
    [64, 1, false],
    [91, 1, true],
    [256, 2, true],
    [366, 2, true],
  ] as const)
    assert.deepEqual([at(days).warnings.length, at(days).roster.frozen], [count, frozen], String(days));
  const next = new Uint8Array(32).fill(1);
  const rotating = statusOf(factsOf(node, { roster: () => ({ seq: 2, signer: new Uint8Array(32), next }) }));
  assert.deepEqual(rotating.roster.next, { issuer: Buffer.from(next).toString('base64url'), nodes: 1 });
});

void test('a tag whose last statement ends soon is warned of while it still counts', async () => {
  const policy = OPEN_POLICY.replace('min: 1}', 'min: 1, keep: 10d}');
  const holder = await story.node('holder', { policy });
  const image = storyImage('r.test/team/app:1', { layers: [5] });
  holder.keep(image);
  await story.share();
  const node = await story.node('n1', { policy });
  holder.stop();
  const warned = (): boolean => warnings(node).some(text => text.includes('r.test/team/app:1'));
  assert.ok(!warned());
  await story.world.advance(8 * DAY_MS);
  assert.ok(warned());
  await story.world.advance(3 * DAY_MS);
  assert.ok(!warned(), 'it is over');
});

void test('what the spool has counts as used, although it may be evicted', async () => {
  const image = storyImage('r.test/team/app:1', { layers: [5] });
  for (const name of ['a', 'b']) (await story.node(name)).keep(image);
  await story.share();
  const node = await story.node('n1', { kind: 'containerd' });
  assert.equal(statusOf(factsOf(node)).spool.usedBytes, 0);
  await story.get(node, story.manifest(image));
  assert.equal(statusOf(factsOf(node)).spool.usedBytes, image.target.size);
});

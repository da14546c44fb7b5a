/** Judging makes way for live traffic: a small part of the time, never for long, never for what a client waits for. */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, test } from 'node:test';
import { Pace, REST_MAX_MS, REST_PER_WORK, RESTS_MAX_MS } from '../../src/mirror/pace.ts';
import { Admission, attach, KEYS, PLATFORM, signatureBy, SIGNED } from './admission.ts';
import { type StoryNode, storyImage } from './story-node.ts';

const IMAGES = Array.from({ length: 40 }, (_, at) => storyImage(`r.test/team/app-${at}:1`, { layers: [512] }));
/** Milliseconds that one judgement takes. */
const JUDGE_MS = 5;
/** Turns of the event loop in which an answer must come that waits for no clock. */
const TURNS_MAX = 1_000;
const AGAIN = SIGNED.replace('serial: 1', 'serial: 2');

/** A world whose clock moves by what is worked and slept; and the sleeps. */
function clock(): {
  work: (ms: number) => () => Promise<void>;
  rests: number[];
  world: ConstructorParameters<typeof Pace>[0];
} {
  let now = 0;
  const rests: number[] = [];
  const world = {
    monotonic: () => now,
    sleep: async (ms: number, signal?: AbortSignal) => {
      if (signal?.aborted) return;
      now += ms;
      rests.push(ms);
    },
  };
  return { work: ms => async () => void (now += ms), rests, world };
}
const life = new AbortController().signal;
const sum = (values: readonly number[]): number => values.reduce((all, one) => all + one, 0);

void test('beside live traffic the work is a twentieth of the time', async () => {
  const { work, rests, world } = clock();
  const pace = new Pace(world, () => true, life);
  for (let at = 0; at < 50; at++) await pace.after(work(JUDGE_MS));
  assert.equal(sum(rests), 50 * JUDGE_MS * REST_PER_WORK);
});

void test('work that takes next to nothing is gathered before a rest', async () => {
  const { work, rests, world } = clock();
  const pace = new Pace(world, () => true, life);
  for (let at = 0; at < 40; at++) await pace.after(work(0.25));
  assert.deepEqual(
    rests,
    Array.from({ length: 10 }, () => REST_PER_WORK),
  );
});

void test('without traffic nothing rests', async () => {
  const { work, rests, world } = clock();
  const pace = new Pace(world, () => false, life);
  for (let at = 0; at < 50; at++) await pace.after(work(JUDGE_MS));
  assert.deepEqual(rests, []);
});

void test('who waited long does not rest in proportion, and all rests together are bounded', async () => {
  const { work, rests, world } = clock();
  const pace = new Pace(world, () => true, life);
  for (let at = 0; at < 1_000; at++) await pace.after(work(8_000));
  assert.equal(Math.max(...rests), REST_MAX_MS);
  assert.equal(sum(rests), RESTS_MAX_MS);
});

void test('what the work throws is thrown', async () => {
  const { world } = clock();
  const pace = new Pace(world, () => true, life);
  await assert.rejects(
    pace.after(() => Promise.reject(new Error('no'))),
    { message: 'no' },
  );
});

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

/** A node that shares signed images and is busy with traffic; each judgement takes its time. Answers how many were made. */
async function busyNode(): Promise<{ node: StoryNode; judged: () => number }> {
  const node = await story.node('a', { policy: SIGNED, files: KEYS });
  for (const image of IMAGES) {
    await attach(node, signatureBy(PLATFORM, image.target.digest));
    node.keep(image);
  }
  await story.share();
  assert.equal(node.told.holdings.length, new Set(IMAGES.flatMap(({ contents }) => [...contents.keys()])).size);
  let judged = 0;
  const { world, signers } = node.rooms;
  Object.assign(node.rooms, {
    busy: () => true,
    world: { ...world, monotonic: () => world.monotonic() + judged * JUDGE_MS },
    signers: () => ({
      judge(...about: Parameters<ReturnType<typeof signers>['judge']>) {
        judged += 1;
        return signers().judge(...about);
      },
    }),
  });
  return { node, judged: () => judged };
}

void test('a reload beside live traffic judges all anew, slowly, and a client waits for none of it', async () => {
  const other = storyImage('r.test/team/other:1', { layers: [512] });
  await story.holder('b', other, SIGNED, [signatureBy(PLATFORM, other.target.digest)]);
  const { node, judged } = await busyNode();
  node.decree(AGAIN);
  await story.world.advance(1_200);
  const soFar = judged();
  assert.ok(soFar > 5 && soFar < 15, `${soFar} were judged in the first second`);
  let answered = false;
  const asked = story.ask(node, story.manifest(other, other.target.digest)).then(({ body }) => {
    answered = true;
    return body?.close(0);
  });
  // The clock stands still.
  for (let at = 0; at < TURNS_MAX && !answered; at++) await turn();
  assert.ok(answered);
  await asked;
  assert.equal(judged(), soFar + 1);
  await story.world.advance(RESTS_MAX_MS);
  assert.equal(judged(), IMAGES.length + 1);
});

void test('a newer policy does not wait for the rests of an older one', async () => {
  const { node, judged } = await busyNode();
  node.decree(AGAIN);
  await story.world.advance(600);
  assert.ok(judged() < IMAGES.length / 2);
  node.decree(AGAIN.replace('serial: 2', 'serial: 3').replace('share: cluster', 'share: never'));
  // The rest that is under way ends by itself.
  await story.world.advance(REST_MAX_MS);
  assert.ok(judged() >= IMAGES.length);
  await story.world.advance(2_000);
  assert.deepEqual(node.told.holdings, []);
});

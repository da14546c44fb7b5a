/** Two processes with one key are told apart from one that starts often, is late, and has a poor clock. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parsePeerId, type PeerId } from '../../src/oci/oci.ts';
import { ALIVE_MS, CLONE_AGAIN_MS, CLONE_SHOWN_MS, Clones, DATES_APART_MS } from '../../src/peers/clones.ts';
import { KINDS, type Statement } from '../../src/peers/envelope.ts';
import { RENEW_MS } from '../../src/peers/stating.ts';
import { CLOCK_SKEW_MS } from '../../src/world.ts';
import { fuzz } from '../support/fuzz.ts';
import { peerNamed } from '../support/lane-pair.ts';
import { simulatedWorld, type SimulatedWorld } from '../support/simulated-world.ts';

const node = parsePeerId(peerNamed('node'));
const me = parsePeerId(peerNamed('me'));

interface Heard {
  readonly start: number;
  readonly seq: number;
  /** When it was dated, ms since 1970. */
  readonly at: number;
}

/** What a table does with statements whose signatures hold: looks for a clone, and notes what is new. */
class Watch {
  readonly world: SimulatedWorld = simulatedWorld();
  readonly clones: Clones;
  readonly told: [number, number][] = [];
  #top: Heard = { start: 0, seq: 0, at: 0 };

  constructor(clock: Pick<SimulatedWorld, 'now' | 'monotonic'> = this.world) {
    this.clones = new Clones(clock, me);
  }

  hear({ start, seq, at }: Heard, bytes = 'one', signer: PeerId = node): void {
    const notAfter = at + KINDS['holdings-head'].validityMs;
    const statement: Statement = { kind: 'holdings-head', signer, start, seq, notAfter, body: { of: 1 } };
    const signature = Buffer.from(`${bytes} ${start} ${seq}`.padEnd(64));
    const what = this.clones.contradiction(statement, signature);
    const clone = what && this.clones.saw(statement, what);
    if (clone) this.told.push([clone.start, clone.other]);
    const above = start > this.#top.start || (start === this.#top.start && seq > this.#top.seq);
    if (signer === me || !above) return;
    this.#top = { start, seq, at };
    this.clones.note(statement, signature, false);
  }

  /** This process says something itself. */
  say(start: number, seq: number): void {
    const notAfter = this.world.now() + KINDS.node.validityMs;
    const body = { addresses: [], lanePort: 1 };
    this.clones.note({ kind: 'node', signer: me, start, seq, notAfter, body }, Buffer.alloc(64), true);
  }
}

/** Minutes of two processes that each renew once a minute. */
async function both(watch: Watch, minutes: number, a: Heard, b: Heard): Promise<void> {
  for (let minute = 0; minute < minutes; minute++) {
    for (const { start, seq } of [a, b])
      watch.hear({ start, seq: seq + minute, at: watch.world.now() }, `${start}${seq}`);
    await watch.world.advance(RENEW_MS);
  }
}

void test('two starts that stay alive are told within five minutes, and once an hour', async () => {
  const watch = new Watch();
  await both(watch, 5, { start: 7, seq: 500, at: 0 }, { start: 8, seq: 1, at: 0 });
  assert.deepEqual(watch.told, [[8, 7]]);
  assert.deepEqual(
    watch.clones.list().map(({ peer, start, other }) => [peer, start, other]),
    [[node, 8, 7]],
  );
  await both(watch, 55, { start: 7, seq: 600, at: 0 }, { start: 8, seq: 100, at: 0 });
  assert.equal(watch.told.length, 1);
  await both(watch, CLONE_AGAIN_MS / RENEW_MS / 4, { start: 7, seq: 700, at: 0 }, { start: 8, seq: 200, at: 0 });
  assert.equal(watch.told.length, 2);
  await watch.world.advance(CLONE_SHOWN_MS);
  assert.deepEqual(watch.clones.list(), []);
});

void test('two processes of one start are told: by one number with two contents, or by a number that lags behind', async () => {
  const equal = new Watch();
  await both(equal, 1, { start: 7, seq: 5, at: 0 }, { start: 7, seq: 5, at: 0 });
  assert.deepEqual(equal.told, [], 'the same bytes are the same statement');
  equal.hear({ start: 7, seq: 5, at: equal.world.now() }, 'other');
  assert.deepEqual(equal.told, [[7, 7]]);
  for (const lag of [1, 3, 1000]) {
    const watch = new Watch();
    await both(watch, 10, { start: 7, seq: 5000, at: 0 }, { start: 7, seq: 5000 - lag, at: 0 });
    assert.deepEqual(watch.told, [[7, 7]], `${lag} behind`);
  }
});

void test('a start that ends as the next begins is no clone, though its last statements are late by minutes', async () => {
  const watch = new Watch();
  const { world } = watch;
  for (let seq = 1; seq <= 5; seq++) {
    watch.hear({ start: 7, seq, at: world.now() });
    await world.advance(RENEW_MS);
  }
  const ended = world.now();
  for (let seq = 1; seq <= 20; seq++) {
    // The clock went from one end of the skew to the other in between.
    watch.hear({ start: 8, seq, at: world.now() - CLOCK_SKEW_MS });
    watch.hear({ start: 7, seq: 5 + seq, at: ended + CLOCK_SKEW_MS });
    await world.advance(RENEW_MS);
  }
  assert.deepEqual(watch.told, []);
});

void test('what a third party repeats, and one statement of a clock that was wrong, make no clone', async () => {
  const watch = new Watch();
  const { world } = watch;
  const dated = world.now() + DATES_APART_MS + 1;
  watch.hear({ start: 8, seq: 1, at: world.now() });
  for (let again = 0; again < 20; again++) {
    watch.hear({ start: 7, seq: 9, at: dated });
    watch.hear({ start: 7, seq: 8, at: dated });
    await world.advance(ALIVE_MS);
  }
  assert.deepEqual(watch.told, []);
});

void test('signs of life that are far apart, or at once, are not two', async () => {
  const watch = new Watch();
  const { world } = watch;
  watch.hear({ start: 8, seq: 1, at: world.now() });
  await world.advance(2 * DATES_APART_MS);
  for (const seq of [1, 2, 3]) watch.hear({ start: 7, seq, at: world.now() });
  assert.deepEqual(watch.told, []);
  await world.advance(ALIVE_MS - 1);
  watch.hear({ start: 7, seq: 4, at: world.now() });
  assert.deepEqual(watch.told, []);
  await world.advance(3_600_000);
  watch.hear({ start: 7, seq: 5, at: world.now() });
  assert.deepEqual(watch.told, []);
  await world.advance(ALIVE_MS);
  watch.hear({ start: 7, seq: 6, at: world.now() });
  assert.deepEqual(watch.told, [[8, 7]]);
});

void test('a node hears its own name from another start, and knows that it did not say that', async () => {
  for (const theirs of [6, 7, 8]) {
    const watch = new Watch();
    const { world } = watch;
    watch.say(7, 1);
    // Of an earlier start, and its own, as others pass them on.
    watch.hear({ start: 6, seq: 40, at: world.now() - 1 }, 'late', me);
    await world.advance(DATES_APART_MS + 1);
    watch.hear({ start: theirs, seq: 10, at: world.now() }, 'theirs', me);
    assert.deepEqual(watch.told, []);
    await world.advance(RENEW_MS);
    watch.hear({ start: theirs, seq: 11, at: world.now() }, 'theirs', me);
    assert.deepEqual(watch.told, [[Math.max(theirs, 7), Math.min(theirs, 7)]]);
  }
});

void test('no honest node is told, whatever it does and in whatever order it is heard', () => {
  const skew = fc.integer({ min: -CLOCK_SKEW_MS, max: CLOCK_SKEW_MS });
  const step = fc.record({ wait: fc.integer({ min: 0, max: 3 * RENEW_MS }), starts: fc.boolean(), skew });
  const life = fc.array(fc.tuple(step, fc.integer({ min: 0, max: 20 })), { minLength: 2, maxLength: 60 });
  const holds = fc.property(life, steps => {
    let clock = 0;
    const watch = new Watch({ now: () => clock, monotonic: () => clock });
    let [now, start, seq] = [0, 1, 0];
    const said = steps.map(([one, delay], at) => {
      now += one.wait;
      if (one.starts) [start, seq] = [start + 1, 0];
      return { heard: { start, seq: ++seq, at: now + one.skew }, when: at + delay };
    });
    for (const { heard } of [...said, ...said].sort((a, b) => a.when - b.when)) {
      watch.hear(heard);
      clock += ALIVE_MS;
    }
    assert.deepEqual(watch.told, []);
  });
  fuzz(holds, 500);
});

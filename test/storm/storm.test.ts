/** Storms: whole clusters of real rooms on simulated time, under attack and faults, by seed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scenarioOf, without } from './scenario.ts';
import { runSeeds } from './seeds.ts';
import { shrink } from './shrink.ts';
import { Storm } from './storm.ts';
import { collusionOf } from './collusion.ts';

const SEEDS = 200;
const FIRST = 1;
const SECONDS = 60;
const COLLUSIONS = 5;

void test(`${SEEDS} seeds of ${SECONDS} simulated seconds keep every promise after every step`, async () => {
  const reports = await runSeeds(FIRST, SEEDS, SECONDS, () => undefined);
  const broken = reports.filter(report => report.broken);
  const relied = reports.reduce((all, { pulls }) => all + pulls.relied, 0);
  const events = reports.reduce((all, report) => all + report.events, 0);
  const ran = `storm: Node ${process.version}, seeds ${FIRST} to ${FIRST + SEEDS - 1} of ${SECONDS} simulated seconds`;
  console.log(`# ${ran}: ${events} events, ${relied} pulls had to be delivered`);
  assert.deepEqual(
    broken.map(({ seed, broken: what }) => `npm run storm -- --seed ${seed}: ${what?.promise}: ${what?.what}`),
    [],
  );
  assert.ok(relied > SEEDS / 2, 'too few pulls had to be delivered for the storms to say anything');
});

void test('a seed replays step by step', async () => {
  for (const seed of [2, 3]) {
    const [one, other] = [await new Storm(scenarioOf(seed)).run(), await new Storm(scenarioOf(seed)).run()];
    assert.deepEqual(one, other);
  }
});

void test('a failing storm shrinks to what makes it fail', async () => {
  const scenario = scenarioOf(2);
  const [last] = scenario.actions.slice(-1);
  const left = await shrink(scenario, 'proved', smaller =>
    Promise.resolve(smaller.actions.some(action => action === last) ? 'proved' : undefined),
  );
  assert.deepEqual(without(scenario, left).actions, [last]);
});

for (let seed = 1; seed <= COLLUSIONS; seed++)
  void test(`as many colluders as vouchers: the pull fails, they are refuted, the next one succeeds (${seed})`, async () => {
    const { storm, puller, colluders, late } = collusionOf(seed);
    const { broken } = await storm.run();
    // What they sign as vouchers is handed on, until the last chunk shows that it was false.
    assert.equal(broken, undefined);
    assert.deepEqual(
      storm.outcomes.filter(({ node }) => node === puller).map(({ whole }) => whole),
      [false, true],
    );
    const refuted = storm.node(puller).records.filter(({ event }) => event === 'evidence.kept');
    assert.deepEqual(new Set(refuted.map(({ peer }) => peer)), new Set(colluders.map(name => storm.node(name).peer)));
    assert.ok(storm.outcomes.some(({ node, whole }) => node === late && whole));
  });

void test('as many colluders as vouchers beside one honest node: nothing false goes out, and all is delivered', async () => {
  for (let seed = 1; seed <= COLLUSIONS; seed++) {
    const { storm, puller } = collusionOf(seed, true);
    const { broken } = await storm.run();
    assert.equal(broken, undefined);
    assert.deepEqual(
      storm.outcomes.map(({ whole }) => whole),
      [true, true, true],
    );
    assert.ok(storm.node(puller).recorded('lie.found', { code: 'PROOF_REFUTED' }, 0) > 0);
  }
});

/** What of an identity ends is said once a day, and what changes in it is on record. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { livesOf, noticesOf, recordChanges, watchLives } from '../../src/cli/lives.ts';
import { issueCredential } from '../../src/identity/credential.ts';
import { issueHandover } from '../../src/identity/handover.ts';
import { newKey } from '../../src/identity/issuer.ts';
import { rawPublicKey } from '../../src/identity/key.ts';
import { realWorld } from '../../src/world.ts';
import { issueRoster } from '../../src/identity/roster.ts';
import { DAY_MS, makeCluster } from '../support/cluster.ts';
import { memoryAudit } from '../support/memory-audit.ts';
import { policyOf } from '../support/policies.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

const policy = policyOf('{}');

async function stage() {
  const world = simulatedWorld();
  const cluster = await makeCluster({ world, nodes: ['n1', 'n2'] });
  const { self } = cluster.node('n1');
  const members = await cluster.node('n1').members();
  const audit = memoryAudit();
  const warned: string[] = [];
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: (_: object, text: string) => void warned.push(text),
  };
  const life = new AbortController();
  return {
    world,
    cluster,
    members,
    audit,
    warned,
    life,
    rooms: {
      world,
      self,
      members,
      audit,
      log,
      life: life.signal,
      policy: { now: () => policy, trouble: () => undefined },
    },
  };
}

void test('what ends is said once a day, in the log and on record, and no more once it was renewed', async () => {
  const { world, cluster, members, audit, warned, life, rooms } = await stage();
  const watching = watchLives(rooms);
  await world.advance(62 * DAY_MS);
  assert.deepEqual([warned, audit.of('identity.expiring')], [[], []]);
  await world.advance(4 * DAY_MS);
  const said = warned.length;
  assert.ok(said >= 3 && said <= 4, String(said));
  assert.equal(audit.of('identity.expiring').length, said);
  await members.offerRoster(await cluster.signRoster({ seq: 2 }));
  await world.advance(3 * DAY_MS);
  assert.equal(warned.length, said);
  life.abort();
  await world.settle();
  await watching;
});

void test('a policy with an end is told before and after it, one without never', () => {
  const life = { issuedAt: 0, expiresAt: 10_000 };
  const stages = (now: number, policy?: typeof life) =>
    noticesOf({ roster: life, credential: life, ...(policy ? { policy } : {}) }, now).map(({ what, stage }) => [
      what,
      stage,
    ]);
  const ends = { issuedAt: 0, expiresAt: 100 };
  assert.deepEqual(stages(90, ends), [['policy', 'ending']]);
  assert.deepEqual(stages(101, ends), [['policy', 'ended']]);
  assert.deepEqual(stages(101), []);
});

void test('the end of a policy that the roster lets count no longer is not told: it did not end by itself', async () => {
  const { rooms } = await stage();
  const ending = { ...policy, issuedAt: 0, expiresAt: 100 };
  const lives = (trouble?: string) => livesOf({ ...rooms, policy: { now: () => ending, trouble: () => trouble } });
  assert.deepEqual(lives().policy, { issuedAt: 0, expiresAt: 100 });
  assert.equal(lives('it holds no longer').policy, undefined);
});

void test('a roster that ended is told from one that ends', () => {
  const life = { issuedAt: 0, expiresAt: 100 };
  const stages = (now: number) => noticesOf({ roster: life, credential: { ...life, expiresAt: 1000 } }, now);
  assert.deepEqual(stages(50), []);
  assert.deepEqual(
    stages(90).map(({ what, stage }) => [what, stage]),
    [['roster', 'ending']],
  );
  assert.deepEqual(
    stages(101).map(({ what, stage }) => [what, stage]),
    [['roster', 'ended']],
  );
});

void test('a new issuer, newer credentials and being shut out are recorded or said, also where the disk is full', async () => {
  const { world, cluster, members, audit, warned, rooms } = await stage();
  recordChanges(rooms);
  const n2 = cluster.node('n2');
  await members.admit(n2.credential, n2.peer);
  assert.deepEqual(
    audit.of('credential.accepted').map(({ node }) => node),
    ['n2'],
  );
  const { id, issuer } = cluster.issuer.cluster;
  const next = newKey(realWorld);
  const step = { cluster: id, from: issuer, to: rawPublicKey(next), epoch: 0, issuedAt: world.now() };
  const handovers = [await issueHandover(cluster.issuer.key, step)];
  const draft = { issuedAt: world.now(), revoked: new Map<string, number>(), handovers };
  await members.offerRoster(await issueRoster(cluster.issuer, { ...draft, seq: 2 }));
  const named = Buffer.from(rawPublicKey(next)).toString('base64url');
  assert.deepEqual(
    audit.of('issuer.changed').map(one => one.next),
    [named],
  );
  const byNext = { cluster: { id, issuer: rawPublicKey(next) }, key: next };
  const subject = { peer: n2.peer, name: 'n2', roles: ['fetch'] as const, issuedAt: world.now() + 1000 };
  await members.offerCredential(await issueCredential(byNext, subject));
  audit.broken = true;
  await members.offerRoster(await issueRoster(byNext, { ...draft, seq: 3 }));
  await world.settle();
  assert.equal(members.node(n2.peer)?.name, 'n2', 'in force without a record');
  assert.ok(warned.some(text => text.includes('shuts this node out')));
  assert.ok(warned.some(text => text.includes('no record of issuer.changed')));
});

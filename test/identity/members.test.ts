/** The real members: the suite of the port, and what only a disk and a hostile issuer's clock can show. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { issueCredential } from '../../src/identity/credential.ts';
import { Known, MEMBERS_MAX } from '../../src/identity/known.ts';
import { openMembers } from '../../src/identity/members.ts';
import type { Node, PeerId } from '../../src/oci/oci.ts';
import { realWorld, type World } from '../../src/world.ts';
import { identityConformance } from '../conformance/identity.ts';
import { DAY_MS, makeCluster, memoryKeep, type TestCluster } from '../support/cluster.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

/** A clock that stands still until it is moved. */
function stillWorld(): World & { at: number } {
  return {
    ...realWorld,
    at: Date.UTC(2026, 5, 1),
    now() {
      return this.at;
    },
    sleep: () => Promise.resolve(),
  };
}

async function credentialOf(cluster: TestCluster, world: World, name: string, form: string, age: number) {
  const node =
    form === 'expired'
      ? await cluster.expired(name)
      : form === 'foreign'
        ? await (await makeCluster({ world })).add(name)
        : await cluster.add({ name, issuedAt: world.now() - age });
  const damaged = `${node.credential.slice(0, -6)}AAAAAA`;
  return { jwt: form === 'damaged' ? damaged : node.credential, peer: node.peer };
}

identityConformance('real', async () => {
  const world = stillWorld();
  const cluster = await makeCluster({ world, nodes: ['n1'] });
  const n1 = cluster.node('n1');
  return {
    members: await n1.members(),
    own: n1.peer,
    credential: (name, form = 'good', age = 0) => credentialOf(cluster, world, name, form, age),
    renew: ({ peer }, name) => issueCredential(cluster.issuer, { peer, name, roles: ['fetch'], issuedAt: world.now() }),
    roster: (seq, revoked = []) => cluster.signRoster({ seq, revoked }),
    wait: ms => {
      world.at += ms;
    },
  };
});

void test('after a restart the highest roster and whom it knew are there again', async () => {
  const cluster = await makeCluster({ nodes: ['n1', 'n2', 'n3'], world: stillWorld() });
  const [roster, credentials] = [memoryKeep(), memoryKeep()];
  const first = await cluster.node('n1').members({ roster, credentials });
  for (const node of [cluster.node('n2'), cluster.node('n3')]) await first.admit(node.credential, node.peer);
  await first.offerRoster(await cluster.signRoster({ seq: 5, revoked: ['n3'] }));
  await first.settled();
  const second = await cluster.node('n1').members({ roster, credentials });
  assert.equal(second.roster.seq, 5);
  assert.deepEqual(
    second
      .nodes()
      .map(node => node.name)
      .sort(),
    ['n1', 'n2'],
  );
  await assert.rejects(second.offerRoster(await cluster.signRoster({ seq: 4 })), { code: 'ROSTER_ROLLBACK' });
});

void test('a kept roster that is damaged stops the start; it never falls back to an older one', async () => {
  const cluster = await makeCluster({ nodes: ['n1'] });
  const whole = await cluster.signRoster({ seq: 7 });
  for (const text of ['', whole.slice(0, whole.length / 2), 'x'])
    await assert.rejects(cluster.node('n1').members({ roster: memoryKeep(Buffer.from(text)) }), {
      code: 'STATE_INVALID',
    });
});

void test('a kept file of credentials that is damaged or newer is an error, and what is not good in it is left', async () => {
  const cluster = await makeCluster({ nodes: ['n1', 'n2'] });
  const open = (text: string) => cluster.node('n1').members({ credentials: memoryKeep(Buffer.from(text)) });
  await assert.rejects(open('{"version":1,"cred'), { code: 'STATE_INVALID' });
  await assert.rejects(open('{"version":1,"credentials":[7]}'), { code: 'STATE_INVALID' });
  await assert.rejects(open('{"version":2,"credentials":[]}'), { code: 'STATE_NEWER' });
  const foreign = (await makeCluster({ nodes: ['n9'] })).node('n9').credential;
  const members = await open(
    JSON.stringify({ version: 1, credentials: ['x', foreign, cluster.node('n2').credential] }),
  );
  assert.deepEqual(
    members
      .nodes()
      .map(node => node.name)
      .sort(),
    ['n1', 'n2'],
  );
});

void test('a roster of the same number that says something else is refused', async () => {
  const cluster = await makeCluster({ nodes: ['n1'] });
  const members = await cluster.node('n1').members();
  await assert.rejects(members.offerRoster(await cluster.signRoster({ seq: 1, revoked: ['n1'] })), {
    code: 'ROSTER_ROLLBACK',
  });
});

void test('the clock is not believed below what the issuer signed: an old credential does not live again', async () => {
  const world = stillWorld();
  const cluster = await makeCluster({ world, nodes: ['n1', 'n2'] });
  const members = await cluster.node('n1').members();
  const { credential, peer } = cluster.node('n2');
  await members.offerRoster(await cluster.signRoster({ seq: 2, issuedAt: world.at + 400 * DAY_MS }));
  await assert.rejects(members.admit(credential, peer), { code: 'CREDENTIAL_EXPIRED' });
  world.at -= 1000 * DAY_MS;
  await assert.rejects(members.admit(credential, peer), { code: 'CREDENTIAL_EXPIRED' });
});

void test('a newer roster that has expired is taken: its revocations hold and the cluster freezes', async () => {
  const world = stillWorld();
  const cluster = await makeCluster({ world, nodes: ['n1', 'n2', 'n3'] });
  const members = await cluster.node('n1').members();
  const [n2, n3] = [cluster.node('n2'), cluster.node('n3')];
  await members.admit(n2.credential, n2.peer);
  const old = { seq: 2, issuedAt: world.at - 20 * DAY_MS, expiresAt: world.at - DAY_MS, revoked: ['n2'] };
  assert.equal(await members.offerRoster(await cluster.signRoster(old)), true);
  assert.equal(members.node(n2.peer), undefined);
  await assert.rejects(members.admit(n3.credential, n3.peer), { code: 'ROSTER_EXPIRED' });
});

void test('a full disk does not let a revoked node stay', async () => {
  const cluster = await makeCluster({ nodes: ['n1', 'n2'], world: simulatedWorld() });
  const roster = memoryKeep();
  const members = await cluster.node('n1').members({ roster });
  const n2 = cluster.node('n2');
  await members.admit(n2.credential, n2.peer);
  roster.write = () => Promise.reject(new Error('no space'));
  await assert.rejects(members.offerRoster(await cluster.signRoster({ seq: 2, revoked: ['n2'] })));
  assert.equal(members.node(n2.peer), undefined);
});

void test('a node speaks under its newest credential, whoever brought it', async () => {
  const cluster = await makeCluster();
  const n1 = await cluster.add({ name: 'n1', issuedAt: realWorld.now() - DAY_MS });
  const members = await n1.members();
  const subject = { peer: n1.peer, name: 'n1', roles: ['fetch'] as const, issuedAt: realWorld.now() };
  const renewed = await issueCredential(cluster.issuer, subject);
  assert.equal(await members.offerCredential(renewed), true);
  assert.equal(n1.self.credential(), renewed);
  assert.deepEqual([...n1.self.node().roles], ['fetch']);
});

void test('what could not be written is written once there is room, although nobody offers it again', async () => {
  const world = simulatedWorld();
  const cluster = await makeCluster({ nodes: ['n1', 'n2'], world });
  const keeps = { roster: memoryKeep(), credentials: memoryKeep() };
  const members = await cluster.node('n1').members(keeps);
  const writes = [keeps.roster, keeps.credentials].map(keep => {
    const write = keep.write.bind(keep);
    keep.write = () => Promise.reject(new Error('no space'));
    return () => void (keep.write = write);
  });
  const n2 = cluster.node('n2');
  await members.admit(n2.credential, n2.peer);
  await assert.rejects(members.offerRoster(await cluster.signRoster({ seq: 4 })));
  await world.advance(60_000);
  for (const restore of writes) restore();
  await world.advance(6_000);
  const after = await cluster.node('n1').members(keeps);
  assert.deepEqual([after.roster.seq, after.node(n2.peer)?.name], [4, 'n2']);
});

void test('a roster that could not be written is written when it is offered again', async () => {
  const cluster = await makeCluster({ nodes: ['n1', 'n2'], world: simulatedWorld() });
  const roster = memoryKeep();
  const members = await cluster.node('n1').members({ roster });
  const write = roster.write.bind(roster);
  roster.write = () => Promise.reject(new Error('no space'));
  const next = await cluster.signRoster({ seq: 4, revoked: ['n2'] });
  await assert.rejects(members.offerRoster(next));
  assert.equal(members.roster.seq, 4, 'it is in force all the same');
  roster.write = write;
  assert.equal(await members.offerRoster(next), false);
  assert.equal((await cluster.node('n1').members({ roster })).roster.seq, 4);
});

void test('a token with a newer roster than the kept one puts it on disk, for a token that comes after', async () => {
  const world = stillWorld();
  const cluster = await makeCluster({ nodes: ['n1'], world });
  const roster = memoryKeep();
  const { self } = cluster.node('n1');
  await cluster.node('n1').members({ roster });
  const jwt = await cluster.signRoster({ seq: 6 });
  const newer = { ...self, roster: { ...self.roster, seq: 6, jwt } };
  const rooms = { rosterKeep: roster, credentialsKeep: memoryKeep(), world, signal: new AbortController().signal };
  assert.equal((await openMembers({ ...rooms, self: newer })).roster.seq, 6);
  assert.equal((await openMembers({ ...rooms, self })).roster.seq, 6);
});

void test('offers of rosters at once end with the highest, on disk too', async () => {
  const cluster = await makeCluster({ nodes: ['n1'] });
  const roster = memoryKeep();
  const members = await cluster.node('n1').members({ roster });
  const rosters = await Promise.all([4, 2, 5, 3].map(seq => cluster.signRoster({ seq })));
  await Promise.allSettled(rosters.map(jwt => members.offerRoster(jwt)));
  await members.settled();
  assert.equal(members.roster.seq, 5);
  assert.equal(Buffer.from(roster.bytes!).toString(), members.roster.jwt);
});

void test('more members than there is room for are refused, and none of the known is pushed out', () => {
  const known = new Known();
  const issuer = 'x';
  const node = (i: number): Node => ({
    peer: `peer${i}` as PeerId,
    name: `n${i}`,
    roles: new Set(),
    issuedAt: 1,
    expiresAt: 2,
  });
  for (let i = 0; i < MEMBERS_MAX; i++) known.take({ jwt: '', node: node(i), issuer });
  assert.throws(() => known.take({ jwt: '', node: node(MEMBERS_MAX), issuer }), { code: 'LIMIT_EXCEEDED' });
  assert.equal([...known.entries()].length, MEMBERS_MAX);
});

/** Which issuer counts: how one follows another, what ends when, and what a thief of a key cannot do. */
import assert from 'node:assert/strict';
import type { KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { issueCredential, proveCredential } from '../../src/identity/credential.ts';
import { EPOCH_SEQS, HANDOVERS_MAX, issueHandover } from '../../src/identity/handover.ts';
import { issuerOf, newKey } from '../../src/identity/issuer.ts';
import { deriveSeed, privateKeyOf, rawPublicKey } from '../../src/identity/key.ts';
import { openMembers, type OpenMembers } from '../../src/identity/members.ts';
import { peerIdOf } from '../../src/identity/peer-id.ts';
import { issueRoster, readRoster } from '../../src/identity/roster.ts';
import { openSelf } from '../../src/identity/self.ts';
import { formatToken } from '../../src/identity/token.ts';
import type { PeerId } from '../../src/oci/oci.ts';
import { type Keep, realWorld } from '../../src/world.ts';
import { DAY_MS, memoryKeep } from '../support/cluster.ts';

const ID = '0123456789abcdef0123456789abcdef';
const START = Date.UTC(2026, 5, 1);
const key = (): KeyObject => newKey(realWorld);
const raw = rawPublicKey;
const [k0, k1, k2, thief, recovery] = [key(), key(), key(), key(), key()];
const cluster = { id: ID, issuer: raw(k0), recovery: raw(recovery) };

const handover = (by: KeyObject, from: KeyObject, to: KeyObject, epoch = 0) =>
  issueHandover(by, { cluster: ID, from: raw(from), to: raw(to), epoch, issuedAt: START });
const roster = (by: KeyObject, seq: number, handovers: readonly string[] = [], more: object = {}) =>
  issueRoster(issuerOf(ID, by), { seq, issuedAt: START, revoked: new Map(), handovers, ...more });
const credential = (by: KeyObject, name: string, peer: PeerId, issuedAt = START) =>
  issueCredential(issuerOf(ID, by), { peer, name, roles: ['fetch'], issuedAt });

const first = await handover(k0, k0, k1);
const second = await handover(k1, k1, k2);
const rescue = await handover(recovery, k0, k2, 1);

interface Draft {
  readonly by?: KeyObject;
  readonly roster?: string;
  readonly rosterKeep?: Keep;
  readonly credentialsKeep?: Keep;
  readonly recoverable?: boolean;
  readonly secret?: Uint8Array;
}

/** A node that begins with a token of the issuer `by`, whose clock stands. */
async function node(name: string, draft: Draft = {}) {
  const { by = k0, secret = realWorld.random(32), recoverable = true } = draft;
  const jwt = draft.roster ?? (await roster(by, 1));
  const seq = Number(JSON.parse(Buffer.from(jwt.split('.')[1]!, 'base64url').toString()).seq);
  const peer = peerIdOf(raw(privateKeyOf(deriveSeed(secret, ID, name))));
  const pinned = { id: ID, issuer: raw(by), ...(recoverable ? { recovery: raw(recovery) } : {}) };
  const own = await credential(by, name, peer);
  const token = formatToken({
    kind: 'node',
    cluster: pinned,
    secret,
    name,
    credential: own,
    lowestSeq: seq,
    roster: jwt,
  });
  const world = { ...realWorld, at: START, now: () => world.at, sleep: () => Promise.resolve() };
  const self = await openSelf({ token, start: memoryKeep(), world });
  const members = await openMembers({
    self,
    rosterKeep: draft.rosterKeep ?? memoryKeep(),
    credentialsKeep: draft.credentialsKeep ?? memoryKeep(),
    world,
    signal: new AbortController().signal,
  });
  return { name, peer, own, token, self, members, world, secret };
}

const refused = (members: OpenMembers, jwt: string, code: string) => assert.rejects(members.offerRoster(jwt), { code });

void test('a rotation: both issuers count until the new one signs, and then the old one for nothing', async () => {
  const { members } = await node('n1');
  const n2 = await node('n2');
  await members.admit(n2.own, n2.peer);
  await members.offerRoster(await roster(k0, 2, [first]));
  const n3 = await node('n3');
  for (const by of [k0, k1]) {
    const late = peerIdOf(raw(key()));
    assert.equal(
      (await members.admit(await credential(by, 'n9', late, START + (by === k1 ? 1000 : 0)), late)).name,
      'n9',
    );
  }
  await members.offerCredential(await credential(k1, 'n2', n2.peer, START + 1000));
  await members.admit(n3.own, n3.peer);
  let gone: readonly PeerId[] = [];
  members.onChange(revoked => (gone = revoked));
  await members.offerRoster(await roster(k1, 3, [first]));
  assert.equal(members.node(n2.peer)?.name, 'n2');
  assert.ok(gone.includes(n3.peer) && !gone.includes(n2.peer));
  await assert.rejects(members.admit(n3.own, n3.peer), { code: 'CREDENTIAL_REVOKED' });
  assert.equal((await members.admit(n2.own, n2.peer)).name, 'n2', 'its new credential is known');
  await refused(members, await roster(k0, 9, [first]), 'ROSTER_ROLLBACK');
  await refused(members, await roster(k0, 9), 'ROSTER_ROLLBACK');
  await refused(members, await roster(thief, 9, [await handover(k0, k0, thief)]), 'ROSTER_ROLLBACK');
  await refused(members, await roster(k1, 2, [first]), 'ROSTER_ROLLBACK');
});

void test('the next issuer counts for nothing before the issuer has named it', async () => {
  const { members } = await node('n1');
  await refused(members, await roster(k1, 2), 'ROSTER_INVALID');
  await refused(members, await roster(k1, 2, [await handover(k1, k0, k1)]), 'ROSTER_INVALID');
  const late = peerIdOf(raw(key()));
  await assert.rejects(members.admit(await credential(k1, 'n9', late), late), { code: 'CREDENTIAL_INVALID' });
});

void test('a node that was away through two rotations follows by the newest roster alone', async () => {
  const { members } = await node('n1');
  await members.offerRoster(await roster(k2, 7, [first, second]));
  assert.deepEqual([members.roster.seq, members.roster.signer], [7, raw(k2)]);
  const read = await readRoster(await roster(k1, 5, [first, second]), cluster);
  assert.deepEqual([read.signer, read.next], [raw(k1), raw(k2)]);
});

void test('handovers that do not follow from one another prove nothing', async () => {
  const other = await issueHandover(k0, { cluster: 'f'.repeat(32), from: raw(k0), to: raw(k1), epoch: 0, issuedAt: 0 });
  for (const [by, handovers] of [
    [k2, [second]],
    [k2, [second, first]],
    [k2, [first, first, second]],
    [k0, [first, second]],
    [k1, [other]],
    [k1, ['x']],
    [k1, [first.slice(0, -4)]],
    [k1, [await handover(thief, k0, k1)]],
    [k1, [await handover(k0, k0, k1, 1)]],
    [k1, Array.from({ length: HANDOVERS_MAX }, () => first)],
  ] as const)
    await assert.rejects(async () => readRoster(await roster(by, 2, handovers), cluster), { code: 'ROSTER_INVALID' });
  await assert.rejects(
    roster(
      k1,
      2,
      Array.from({ length: HANDOVERS_MAX + 1 }, () => first),
    ),
    {
      code: 'ROSTER_INVALID',
    },
  );
});

void test('recovery beats whatever a thief has signed, and nothing of the stolen issuer counts any more', async () => {
  const n1 = await node('n1');
  const { members } = n1;
  const [n2, evil] = [await node('n2'), await node('evil')];
  await members.offerRoster(
    await roster(thief, EPOCH_SEQS - 1, [await handover(k0, k0, thief)], { issuedAt: START + 4e11 }),
  );
  const far = await credential(thief, 'evil', evil.peer, START + 5e11);
  await members.admit(far, evil.peer);
  const renewed = await credential(k2, 'n2', n2.peer, START + 2000);
  const mine = await credential(k2, 'n1', n1.peer, START + 2000);
  let gone: readonly PeerId[] = [];
  members.onChange(revoked => (gone = revoked));
  assert.equal(await members.offerRoster(await roster(k2, EPOCH_SEQS + 1, [rescue]), [renewed, mine]), true);
  assert.deepEqual(gone, [evil.peer]);
  assert.deepEqual(
    members
      .nodes()
      .map(({ name }) => name)
      .sort(),
    ['n1', 'n2'],
  );
  assert.equal(n1.self.credential(), mine);
  await assert.rejects(members.admit(far, evil.peer), { code: 'CREDENTIAL_REVOKED' });
  await assert.rejects(members.admit(evil.own, evil.peer), { code: 'CREDENTIAL_REVOKED' });
  for (const seq of [EPOCH_SEQS - 1, EPOCH_SEQS + 9, 2 * EPOCH_SEQS])
    await assert.rejects(async () => members.offerRoster(await roster(k0, seq)));
});

void test('a thief who gave a node a credential by an issuer of his own does not keep it out after the recovery', async () => {
  const [n1, n2, stranger] = [await node('n1'), await node('n2'), await node('n3')];
  await n1.members.offerRoster(await roster(thief, 2, [await handover(k0, k0, thief)]));
  const his = await credential(thief, 'n1', n1.peer, START + 1000);
  await n1.members.offerCredential(his);
  const recovered = await roster(k2, EPOCH_SEQS + 1, [rescue]);
  await n2.members.offerRoster(recovered, [await credential(k2, 'n1', n1.peer, START + 2000)]);
  // As a greeting does: the roster first, without its credential.
  await n1.members.offerRoster(recovered);
  assert.equal(n1.self.credential(), his);
  assert.equal((await n2.members.admit(his, n1.peer)).issuedAt, START + 2000);
  await assert.rejects(n2.members.admit('x.y.z', n1.peer), { code: 'CREDENTIAL_INVALID' });
  const other = await credential(thief, 'n3', stranger.peer, START + 1000);
  await assert.rejects(n2.members.admit(other, stranger.peer), { code: 'CREDENTIAL_INVALID' });
  await assert.rejects(n2.members.offerCredential(his), { code: 'CREDENTIAL_INVALID' });
});

void test('a handover that claims to follow and is forged ends it: a list of them costs one look at a signature', async () => {
  for (const epoch of [0, 1]) {
    const forged = await handover(thief, k0, thief, epoch);
    await assert.rejects(async () => readRoster(await roster(k1, 2, [forged, first]), cluster), {
      code: 'ROSTER_INVALID',
    });
  }
});

void test('whoever holds the issuer’s key cannot reach another epoch, by no number and by no handover', async () => {
  const { members } = await node('n1');
  await refused(members, await roster(k0, EPOCH_SEQS), 'ROSTER_INVALID');
  await refused(members, await roster(k0, 1e15), 'ROSTER_INVALID');
  await refused(members, await roster(thief, EPOCH_SEQS, [await handover(k0, k0, thief, 1)]), 'ROSTER_INVALID');
  await refused(members, await roster(k0, EPOCH_SEQS, [await handover(k0, thief, k0, 1)]), 'ROSTER_INVALID');
  await refused(members, await roster(k0, 2, [rescue]), 'ROSTER_INVALID');
  assert.equal(members.roster.seq, 1);
});

void test('a node whose token knows no recovery key follows none', async () => {
  const { members } = await node('n1', { recoverable: false });
  await refused(members, await roster(k2, EPOCH_SEQS + 1, [rescue]), 'ROSTER_INVALID');
});

void test('a second recovery and a rotation after the first are followed from anywhere', async () => {
  const k3 = key();
  const chain = [first, rescue, await handover(k2, k2, k1, 1), await handover(recovery, k1, k3, 2)];
  const jwt = await roster(k3, 2 * EPOCH_SEQS + 4, chain);
  for (const [issuer, epoch] of [
    [k0, 0],
    [thief, 0],
    [k2, 1],
    [k1, 1],
    [k3, 2],
  ] as const)
    assert.deepEqual((await readRoster(jwt, { ...cluster, issuer: raw(issuer), epoch })).signer, raw(k3));
  await assert.rejects(readRoster(jwt, { ...cluster, issuer: raw(thief), epoch: 2 }), { code: 'ROSTER_INVALID' });
});

void test('a node restarts with the token that it has, long after its issuer was replaced', async () => {
  const [rosterKeep, credentialsKeep] = [memoryKeep(), memoryKeep()];
  const before = await node('n1', { rosterKeep, credentialsKeep });
  await before.members.offerRoster(await roster(k1, 5, [first]), [
    await credential(k1, 'n1', before.peer, START + 1000),
  ]);
  await before.members.settled();
  const after = await node('n1', { rosterKeep, credentialsKeep, secret: before.secret });
  assert.deepEqual([after.members.roster.seq, after.members.roster.signer], [5, raw(k1)]);
  assert.equal(after.members.node(after.peer)?.issuedAt, START + 1000);
});

void test('a token by the new issuer starts over the state of the old one, whatever number that has', async () => {
  for (const seq of [2, 900]) {
    const rosterKeep = memoryKeep(Buffer.from(await roster(k0, seq, [first])));
    const { members } = await node('n1', { by: k1, roster: await roster(k1, 5, [first]), rosterKeep });
    assert.equal(members.roster.seq, 5);
  }
});

void test('a token by the old issuer does not take back what the new one ended, whatever number its roster has', async () => {
  const rosterKeep = memoryKeep(Buffer.from(await roster(k1, 5, [first])));
  const { members } = await node('n1', { roster: await roster(k0, 900), rosterKeep });
  assert.equal(members.roster.seq, 5);
});

void test('who is renewed by the same file as the roster is never cut off, the rest is', async () => {
  const { members } = await node('n1');
  const [n2, n3] = [await node('n2'), await node('n3')];
  for (const { own, peer } of [n2, n3]) await members.admit(own, peer);
  const seen: string[] = [];
  members.onChange((revoked, accepted) => seen.push(revoked.join(), accepted.map(({ name }) => name).join()));
  const bad = `${n3.own.slice(0, -5)}AAAAA`;
  await members.offerRoster(await roster(k1, 2, [first]), [await credential(k1, 'n2', n2.peer, START + 1000), bad]);
  assert.equal(seen.length, 2);
  assert.ok(seen[0]?.includes(n3.peer) && !seen[0].includes(n2.peer));
  assert.equal(seen[1], 'n2');
});

void test('a credential by an issuer that was replaced proves nothing, in a token either', async () => {
  const { peer, own } = await node('n1');
  const under = await readRoster(await roster(k1, 2, [first]), cluster);
  await assert.rejects(proveCredential(own, ID, under, peer), { code: 'CREDENTIAL_REVOKED' });
  const elsewhere = peerIdOf(raw(key()));
  await assert.rejects(proveCredential(own, ID, under, elsewhere), { code: 'CREDENTIAL_STOLEN' });
});

void test('a credential that comes right behind the roster that names its issuer is judged under it', async () => {
  const { members } = await node('n1');
  const late = peerIdOf(raw(key()));
  const [jwt, shown] = [await roster(k0, 2, [first]), await credential(k1, 'n9', late)];
  assert.deepEqual(await Promise.all([members.offerRoster(jwt), members.offerCredential(shown)]), [true, true]);
});

void test('an expired roster freezes and a new one by the next issuer thaws', async () => {
  const n1 = await node('n1');
  const n2 = await node('n2');
  n1.world.at += 91 * DAY_MS;
  await assert.rejects(n1.members.admit(n2.own, n2.peer), { code: 'ROSTER_EXPIRED' });
  await n1.members.offerRoster(await roster(k0, 2, [first], { issuedAt: n1.world.at }));
  assert.equal((await n1.members.admit(n2.own, n2.peer)).name, 'n2');
});

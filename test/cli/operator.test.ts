/** The operator's commands over a real folder: what they write, what they refuse, and that a node comes out of it. */
import assert from 'node:assert/strict';
import { appendFile, chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { clusterInit } from '../../src/cli/cluster.ts';
import type { Command, Io } from '../../src/cli/command.ts';
import { revoke } from '../../src/cli/revoke.ts';
import { rosterSign } from '../../src/cli/roster.ts';
import { tokenCreate } from '../../src/cli/token.ts';
import { openMembers } from '../../src/identity/members.ts';
import { openSelf } from '../../src/identity/self.ts';
import { realWorld } from '../../src/world.ts';
import { DAY_MS, memoryKeep } from '../support/cluster.ts';

const root = await mkdtemp(join(tmpdir(), 'pinnace-operator-'));
after(() => rm(root, { recursive: true }));
let made = 0;
const fresh = (): string => join(root, String(made++));

type Out = Record<string, unknown> & { roster: { file: string; seq: number; expiresAt: number } };

/** Runs a command, and gives all that it printed. */
async function print(command: Command, values: object, positionals: string[], now: number, json: boolean) {
  let printed = '';
  const io: Io = {
    world: { ...realWorld, now: () => now },
    out: text => {
      printed += text;
    },
    err: text => {
      printed += text;
    },
    terminal: false,
    json,
    signal: new AbortController().signal,
  };
  await command.run({ values: { ...values }, positionals }, io);
  return printed;
}

/** Runs a command with --json, and gives its document; `printed` is all that went out. */
async function run(command: Command, values: object, positionals: string[] = [], now = realWorld.now()) {
  const printed = await print(command, values, positionals, now, true);
  return { ...(JSON.parse(printed) as Out), printed };
}

async function newCluster(now?: number): Promise<string> {
  const dir = fresh();
  await run(clusterInit, { dir, 'no-passphrase': true }, [], now);
  return dir;
}
async function newToken(dir: string, node: string, now?: number, more: object = {}): Promise<string> {
  const out = fresh();
  await run(tokenCreate, { dir, node, out, ...more }, [], now);
  return out;
}
const text = (file: string): Promise<string> => readFile(file, 'utf8');
const selfOf = async (file: string) => openSelf({ token: await text(file), start: memoryKeep(), world: realWorld });
const membersOf = async (file: string) =>
  openMembers({
    self: await selfOf(file),
    rosterKeep: memoryKeep(),
    credentialsKeep: memoryKeep(),
    world: realWorld,
    signal: new AbortController().signal,
  });
const mode = async (file: string): Promise<number> => (await stat(file)).mode & 0o777;

void test('a cluster is made for its owner alone, and never over another', async () => {
  const dir = await newCluster();
  for (const name of ['issuer.key', 'recovery.key']) assert.equal(await mode(join(dir, name)), 0o600);
  assert.equal(await mode(dir), 0o700);
  const before = await text(join(dir, 'issuer.key'));
  await assert.rejects(run(clusterInit, { dir, 'no-passphrase': true }), { code: 'FILE_EXISTS' });
  assert.equal(await text(join(dir, 'issuer.key')), before);
  assert.doesNotMatch(await text(join(dir, 'cluster.json')), /PRIVATE/);
});

void test('a node comes out of its token with name, zone and roles, and admits the other', async () => {
  const dir = await newCluster();
  const n1 = await newToken(dir, 'n1', undefined, { zone: 'z1', roles: 'fetch,serve' });
  const n2 = await selfOf(await newToken(dir, 'n2'));
  assert.equal(await mode(n1), 0o600);
  const members = await membersOf(n1);
  assert.deepEqual([...members.nodes()[0]!.roles], ['fetch', 'serve']);
  assert.equal(members.nodes()[0]?.zone, 'z1');
  assert.equal((await members.admit(n2.credential(), n2.peer)).name, 'n2');
});

void test('a token is never printed and never written over a file', async () => {
  const dir = await newCluster();
  const out = fresh();
  const { printed } = await run(tokenCreate, { dir, node: 'n1', out });
  const token = (await text(out)).trim();
  assert.ok(!printed.includes(token.slice(5, 60)) && !printed.includes('pjt1.'));
  await assert.rejects(run(tokenCreate, { dir, node: 'n1', out }), { code: 'FILE_EXISTS' });
  assert.equal((await text(out)).trim(), token);
});

void test('a person is told what to do next, and no secret', async () => {
  const [dir, out, now] = [fresh(), fresh(), realWorld.now()];
  const told = [
    await print(clusterInit, { dir, 'no-passphrase': true }, [], now, false),
    await print(tokenCreate, { dir, node: 'n1', out }, [], now, false),
    await print(revoke, { dir }, ['n1'], now, false),
    await print(rosterSign, { dir }, [], now, false),
  ];
  assert.match(told[0]!, /token create/);
  for (const text of told.slice(2)) assert.match(text, /incoming\//);
  assert.doesNotMatch(told.join(''), /pjt1|PRIVATE/);
});

void test('a revoked node is shut out by the new roster; a token made later in the same second counts', async () => {
  const now = realWorld.now();
  const dir = await newCluster(now);
  const [n1, old] = [await newToken(dir, 'n1', now), await selfOf(await newToken(dir, 'n2', now))];
  const members = await membersOf(n1);
  await members.admit(old.credential(), old.peer);
  const { roster } = await run(revoke, { dir }, ['n2'], now);
  assert.equal(roster.seq, 2);
  assert.equal(await members.offerRoster((await text(roster.file)).trim()), true);
  assert.equal(members.node(old.peer), undefined);
  const again = await selfOf(await newToken(dir, 'n2', now));
  assert.equal((await members.admit(again.credential(), again.peer)).name, 'n2');
  const third = await run(revoke, { dir }, [again.peer], now);
  assert.equal(await members.offerRoster((await text(third.roster.file)).trim()), true);
  await assert.rejects(members.admit(again.credential(), again.peer), { code: 'CREDENTIAL_REVOKED' });
});

void test('a second token of one name takes the place of the first', async () => {
  const now = realWorld.now();
  const dir = await newCluster(now);
  const members = await membersOf(await newToken(dir, 'n1', now));
  const [first, second] = [await selfOf(await newToken(dir, 'n2', now)), await selfOf(await newToken(dir, 'n2', now))];
  await members.admit(first.credential(), first.peer);
  await members.admit(second.credential(), second.peer);
  assert.equal(members.node(first.peer), undefined);
});

void test('a roster is renewed with what it takes back, until that has expired by itself', async () => {
  const now = realWorld.now();
  const dir = await newCluster(now);
  await newToken(dir, 'n1', now);
  await run(revoke, { dir }, ['n1'], now);
  const renewed = await run(rosterSign, { dir }, [], now + DAY_MS);
  assert.equal(renewed.roster.seq, 3);
  assert.equal(Math.round((renewed.roster.expiresAt - now) / DAY_MS), 91);
  assert.deepEqual((renewed.roster as unknown as { revoked: string[] }).revoked, ['n1']);
  const later = await run(rosterSign, { dir }, [], now + 367 * DAY_MS);
  assert.deepEqual((later.roster as unknown as { revoked: string[] }).revoked, []);
});

void test('no token is made under an expired roster, which no node would believe', async () => {
  const now = realWorld.now();
  const dir = await newCluster(now - 91 * DAY_MS);
  await assert.rejects(newToken(dir, 'n1', now), { code: 'ROSTER_EXPIRED' });
  await run(rosterSign, { dir }, [], now);
  await newToken(dir, 'n1', now);
});

void test('two rosters are never signed at once', async () => {
  const dir = await newCluster();
  for (const node of ['n1', 'n2', 'n3']) await newToken(dir, node);
  const all = await Promise.allSettled(['n1', 'n2', 'n3'].map(node => run(revoke, { dir }, [node])));
  const done = all.filter(one => one.status === 'fulfilled');
  assert.ok(done.length >= 1);
  assert.equal((await run(rosterSign, { dir })).roster.seq, done.length + 2);
});

void test('a name that is not on record is not revoked, a peer id always is', async () => {
  const dir = await newCluster();
  await assert.rejects(run(revoke, { dir }, ['n9']), { code: 'CONTENT_ABSENT' });
  await assert.rejects(run(revoke, { dir }, ['12D3KooWx']), { code: 'NAME_INVALID' });
  const { peer } = await selfOf(await newToken(await newCluster(), 'n1'));
  assert.equal((await run(revoke, { dir }, [peer])).roster.seq, 2);
});

void test('a record that was left half-written is no token, and hides no other', async () => {
  const dir = await newCluster();
  await newToken(dir, 'n1');
  await appendFile(join(dir, 'issued.jsonl'), '{"node":"n2","pe');
  await newToken(dir, 'n3');
  await assert.rejects(run(revoke, { dir }, ['n2']), { code: 'CONTENT_ABSENT' });
  for (const node of ['n1', 'n3']) await run(revoke, { dir }, [node]);
});

void test('keys under a passphrase open with it alone', async () => {
  const [dir, right, wrong, open] = [fresh(), fresh(), fresh(), fresh()];
  await writeFile(right, 'a long passphrase\n', { mode: 0o600 });
  await writeFile(wrong, 'another passphrase\n', { mode: 0o600 });
  await writeFile(open, 'a long passphrase\n', { mode: 0o644 });
  await assert.rejects(run(clusterInit, { dir, 'passphrase-file': open }), { code: 'SECRET_EXPOSED' });
  await run(clusterInit, { dir, 'passphrase-file': right });
  assert.match(await text(join(dir, 'issuer.key')), /ENCRYPTED/);
  assert.match(await text(join(dir, 'recovery.key')), /ENCRYPTED/);
  await newToken(dir, 'n1', undefined, { 'passphrase-file': right });
  const out = fresh();
  await assert.rejects(run(tokenCreate, { dir, node: 'n1', out, 'passphrase-file': wrong }), {
    code: 'PASSPHRASE_WRONG',
  });
  await assert.rejects(stat(out));
});

void test('a key that others can read is not used', async () => {
  const dir = await newCluster();
  await chmod(join(dir, 'issuer.key'), 0o640);
  await assert.rejects(newToken(dir, 'n1'), { code: 'SECRET_EXPOSED' });
});

void test('files of a folder that are damaged or of another cluster are errors', async () => {
  const [dir, other] = [await newCluster(), await newCluster()];
  await writeFile(join(dir, 'issuer.key'), await text(join(other, 'issuer.key')), { mode: 0o600 });
  await assert.rejects(newToken(dir, 'n1'), { code: 'STATE_INVALID' });
  await writeFile(join(other, 'roster.jwt'), await text(join(dir, 'roster.jwt')));
  await assert.rejects(newToken(other, 'n1'), { code: 'ROSTER_INVALID' });
  const cluster = await text(join(dir, 'cluster.json'));
  for (const [bad, code] of [
    [cluster.slice(0, 30), 'STATE_INVALID'],
    [cluster.replace('"version": 1', '"version": 2'), 'STATE_NEWER'],
    [cluster.replace('"issuer"', '"issuers"'), 'STATE_INVALID'],
  ] as const) {
    await writeFile(join(dir, 'cluster.json'), bad);
    await assert.rejects(newToken(dir, 'n1'), { code });
  }
  await assert.rejects(newToken(fresh(), 'n1'), { code: 'FILE_UNREADABLE' });
});

void test('wrong arguments are told as such', async () => {
  const dir = await newCluster();
  const out = fresh();
  for (const [command, values, positionals] of [
    [clusterInit, {}, []],
    [clusterInit, { dir: fresh(), 'no-passphrase': true }, ['x']],
    [clusterInit, { dir: fresh() }, []],
    [clusterInit, { dir: fresh(), 'no-passphrase': true, 'passphrase-file': 'f' }, []],
    [tokenCreate, { dir, out }, []],
    [tokenCreate, { dir, node: 'n1' }, []],
    [tokenCreate, { dir, node: 'n1', out, roles: 'fetch,admin' }, []],
    [revoke, { dir }, []],
    [revoke, { dir }, ['n1', 'n2']],
    [rosterSign, { dir }, ['x']],
  ] as const)
    await assert.rejects(run(command, values, [...positionals]), { code: 'USAGE' });
  await assert.rejects(run(tokenCreate, { dir, node: 'N 1', out }), { code: 'NAME_INVALID' });
});

void test('a token is on record before it is written, and none is recorded over a file that is there', async () => {
  const dir = await newCluster();
  const issued = async (): Promise<string> => text(join(dir, 'issued.jsonl')).catch(() => '');
  const there = fresh();
  await writeFile(there, 'something');
  await assert.rejects(run(tokenCreate, { dir, node: 'n1', out: there }), { code: 'FILE_EXISTS' });
  assert.ok(!(await issued()).includes('n1'));
  // Below a file no folder can be made: the write fails after the record.
  await assert.rejects(run(tokenCreate, { dir, node: 'n1', out: join(there, 'deeper', 'token') }), {
    code: 'FILE_UNREADABLE',
  });
  assert.ok((await issued()).includes('"n1"'));
  await run(revoke, { dir }, ['n1']);
});

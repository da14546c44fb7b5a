/** Renewals, rotations, recoveries, backups: what the operator's commands write, and what they refuse. */
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { appendFile, chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { main } from '../../src/cli/main.ts';
import { readCredential } from '../../src/identity/credential.ts';
import { EPOCH_SEQS, HANDOVERS_MAX, issueHandover } from '../../src/identity/handover.ts';
import { issuerOf, newKey } from '../../src/identity/issuer.ts';
import { rawPublicKey } from '../../src/identity/key.ts';
import { openMembers } from '../../src/identity/members.ts';
import { issueRoster } from '../../src/identity/roster.ts';
import { openSelf } from '../../src/identity/self.ts';
import { realWorld } from '../../src/world.ts';
import { DAY_MS, memoryKeep } from '../support/cluster.ts';

const root = await mkdtemp(join(tmpdir(), 'pinnace-issuers-'));
after(() => rm(root, { recursive: true }));
let made = 0;
const fresh = (): string => join(root, String(made++));
const text = (...path: string[]): Promise<string> => readFile(join(...path), 'utf8');

/** Runs a command line with --json at a moment; gives its document. */
async function pinnace(now: number, ...argv: string[]): Promise<Record<string, unknown>> {
  let out = '';
  const io = {
    world: { ...realWorld, now: () => now },
    out: (more: string) => void (out += more),
    err: () => undefined,
  };
  await main([...argv, '--json'], { ...io, terminal: false, signal: new AbortController().signal });
  return JSON.parse(out) as Record<string, unknown>;
}
const codeOf = (said: Record<string, unknown>): unknown => (said.error as { code?: string } | undefined)?.code;

const START = Date.UTC(2026, 0, 1);

/** A cluster's folder, and the tokens of its nodes. */
async function cluster(...nodes: string[]): Promise<string> {
  const dir = fresh();
  await pinnace(START, 'cluster', 'init', '--no-passphrase', '--dir', dir);
  for (const node of nodes) await token(dir, node);
  return dir;
}
const token = (dir: string, node: string, now = START, ...more: string[]) =>
  pinnace(now, 'token', 'create', '--node', node, '--out', join(dir, `${node}-${made++}.token`), '--dir', dir, ...more);

async function membersOf(file: string, now: number) {
  const world = { ...realWorld, now: () => now };
  const self = await openSelf({ token: await text(file), start: memoryKeep(), world });
  const keeps = { rosterKeep: memoryKeep(), credentialsKeep: memoryKeep() };
  return openMembers({ self, ...keeps, world, signal: new AbortController().signal });
}

void test('a renewal keeps key, zone and roles, is on record, and leaves out whom a roster took back, also long after', async () => {
  const dir = await cluster('n1', 'n2');
  await token(dir, 'n3', START, '--zone', 'z1', '--roles', 'fetch');
  await pinnace(START, 'revoke', 'n2', '--dir', dir);
  const now = START + 800 * DAY_MS;
  // By then the roster does not say it any more.
  const { roster } = await pinnace(now, 'roster', 'sign', '--dir', dir);
  assert.deepEqual((roster as { revoked: string[] }).revoked, []);
  const said = await pinnace(now, 'credential', 'renew', '--all', '--dir', dir);
  assert.deepEqual([said.renewed, said.leftOut], [['n1', 'n3'], [{ node: 'n2', why: 'revoked' }]]);
  const { id, issuer } = JSON.parse(await text(dir, 'cluster.json')) as { id: string; issuer: string };
  const [, , last = ''] = (await text(said.file as string)).trim().split('\n');
  const n3 = await readCredential(last, { id, issuer: new Uint8Array(Buffer.from(issuer, 'base64url')) });
  assert.deepEqual([n3.name, n3.zone, [...n3.roles], n3.issuedAt], ['n3', 'z1', ['fetch'], now]);
  await pinnace(now, 'revoke', 'n3', '--dir', dir);
  const again = await pinnace(now, 'credential', 'renew', '--node', 'n3', '--dir', dir);
  assert.equal(codeOf(again), 'CONTENT_ABSENT');
});

void test('a renewal is dated after what it replaces, whatever the clock says, and one of nobody is an error', async () => {
  const dir = await cluster('n1');
  const { file } = await pinnace(START - 5 * DAY_MS, 'credential', 'renew', '--node', 'n1', '--dir', dir);
  const [, jwt = ''] = (await text(file as string)).trim().split('\n');
  const { iat } = JSON.parse(Buffer.from(jwt.split('.')[1]!, 'base64url').toString()) as { iat: number };
  assert.equal(iat, START / 1000 + 1);
  assert.equal(codeOf(await pinnace(START, 'credential', 'renew', '--node', 'n9', '--dir', dir)), 'CONTENT_ABSENT');
  for (const wrong of [[], ['--all', '--node', 'n1'], ['--all', 'x']])
    assert.equal(codeOf(await pinnace(START, 'credential', 'renew', ...wrong, '--dir', dir)), 'USAGE');
});

void test('a rotation keeps both keys, and token and renewal between its rosters are by the next issuer', async () => {
  const dir = await cluster('n1');
  const [first = ''] = (await readdir(dir)).filter(name => name.endsWith('.token'));
  const members = await membersOf(join(dir, first), START);
  assert.equal(codeOf(await pinnace(START, 'cluster', 'rotate-issuer', '--finish', '--dir', dir)), 'USAGE');
  const named = await pinnace(START, 'cluster', 'rotate-issuer', '--dir', dir);
  assert.equal(codeOf(await pinnace(START, 'cluster', 'rotate-issuer', '--dir', dir)), 'USAGE');
  const { file } = await token(dir, 'n2');
  const { file: renewed } = await pinnace(START, 'credential', 'renew', '--all', '--dir', dir);
  const { issuer } = await pinnace(START, 'cluster', 'rotate-issuer', '--finish', '--dir', dir);
  assert.equal(issuer, named.next);
  for (const jwt of (await text(renewed as string)).trim().split('\n').slice(0, 1)) await members.offerRoster(jwt);
  const n2 = await membersOf(file as string, START);
  for (const jwt of (await text(renewed as string)).trim().split('\n').slice(1)) await members.offerCredential(jwt);
  await members.offerRoster((await text(dir, 'roster.jwt')).trim());
  await n2.offerRoster((await text(dir, 'roster.jwt')).trim());
  assert.deepEqual(
    members
      .nodes()
      .map(({ name }) => name)
      .sort(),
    ['n1', 'n2'],
  );
  assert.deepEqual(
    n2.nodes().map(({ name }) => name),
    ['n2'],
  );
  const keys = (await readdir(dir)).filter(name => name.startsWith('issuer'));
  assert.equal(keys.length, 2);
  for (const key of keys) assert.equal((await stat(join(dir, key))).mode & 0o777, 0o600);
  await rm(join(dir, keys.find(name => name !== 'issuer.key')!));
  assert.equal(codeOf(await pinnace(START, 'roster', 'sign', '--dir', dir)), 'FILE_UNREADABLE');
});

void test('new keys are under the passphrase of the key that hands over', async () => {
  const [dir, passphrase] = [fresh(), fresh()];
  await writeFile(passphrase, 'a long passphrase\n', { mode: 0o600 });
  const by = ['--dir', dir, '--passphrase-file', passphrase];
  await pinnace(START, 'cluster', 'init', ...by);
  await pinnace(START, 'token', 'create', '--node', 'n1', '--out', fresh(), ...by);
  await pinnace(START, 'cluster', 'rotate-issuer', ...by);
  await pinnace(START, 'cluster', 'recover', ...by);
  const keys = (await readdir(dir)).filter(name => name.endsWith('.key'));
  assert.equal(keys.length, 4);
  for (const key of keys) assert.match(await text(dir, key), /ENCRYPTED/);
  await pinnace(START, 'roster', 'sign', ...by);
});

void test('a recovery needs the recovery key, not the issuer’s, and names nodes that do not know it', async () => {
  const dir = await cluster('n1', 'n2');
  const lines = (await text(dir, 'issued.jsonl')).replace(/("node":"n1".*),"token":2/, '$1');
  await writeFile(join(dir, 'issued.jsonl'), lines);
  await rm(join(dir, 'issuer.key'));
  await copyFile(join(dir, 'recovery.key'), join(root, 'kept.key'));
  await chmod(join(root, 'kept.key'), 0o600);
  await rm(join(dir, 'recovery.key'));
  assert.equal(codeOf(await pinnace(START, 'cluster', 'recover', '--dir', dir)), 'FILE_UNREADABLE');
  const said = await pinnace(START, 'cluster', 'recover', '--recovery-key', join(root, 'kept.key'), '--dir', dir);
  assert.deepEqual([said.renewed, said.needTokens], [['n1', 'n2'], ['n1']]);
  assert.equal((said.roster as { seq: number }).seq, 1e12 + 1);
  const other = await cluster();
  const wrong = await pinnace(START, 'cluster', 'recover', '--recovery-key', join(root, 'kept.key'), '--dir', other);
  assert.equal(codeOf(wrong), 'STATE_INVALID');
});

void test('a renewal by a token that came after another says so once: who still runs with that is shut out', async () => {
  const dir = await cluster('n1', 'n2');
  await token(dir, 'n2', START + DAY_MS);
  const renew = () => pinnace(START + 2 * DAY_MS, 'credential', 'renew', '--all', '--dir', dir);
  assert.deepEqual((await renew()).rekeyed, ['n2']);
  assert.deepEqual((await renew()).rekeyed, []);
  const lines = (await text(dir, 'issued.jsonl')).split('\n').filter(Boolean);
  const formats = lines.map(line => (JSON.parse(line) as { token?: number }).token);
  assert.deepEqual(formats, [2, 2, 2, ...Array.from({ length: 4 }, () => undefined)], 'a renewal is no token');
});

void test('a recovery of a cluster of which nobody is on record still ends the old issuer', async () => {
  const dir = await cluster('n1');
  const [file = ''] = (await readdir(dir)).filter(name => name.endsWith('.token'));
  await rm(join(dir, 'issued.jsonl'));
  const said = await pinnace(START, 'cluster', 'recover', '--dir', dir);
  assert.deepEqual([codeOf(said), said.renewed], [undefined, []]);
  const members = await membersOf(join(dir, file), START);
  assert.equal(await members.offerRoster((await text(dir, 'recovered.jwt')).trim()), true);
  assert.equal(members.nodes().length, 0);
});

void test('who turns back at the passphrase has revoked nobody', async () => {
  const [dir, passphrase, wrong] = [fresh(), fresh(), fresh()];
  await writeFile(passphrase, 'a long passphrase\n', { mode: 0o600 });
  await writeFile(wrong, 'another passphrase\n', { mode: 0o600 });
  const by = ['--dir', dir, '--passphrase-file', passphrase];
  await pinnace(START, 'cluster', 'init', ...by);
  await pinnace(START, 'token', 'create', '--node', 'n1', '--out', fresh(), ...by);
  const turned = await pinnace(START + DAY_MS, 'revoke', 'n1', '--dir', dir, '--passphrase-file', wrong);
  assert.equal(codeOf(turned), 'PASSPHRASE_WRONG');
  const { renewed } = await pinnace(START + 2 * DAY_MS, 'credential', 'renew', '--all', ...by);
  assert.deepEqual(renewed, ['n1']);
});

void test('a recovery is dated by its own clock, not by a roster from the future that came before it', async () => {
  const dir = await cluster('n1');
  await pinnace(START + 800 * DAY_MS, 'roster', 'sign', '--dir', dir);
  const again = await pinnace(START, 'roster', 'sign', '--dir', dir);
  assert.equal(
    (again.roster as { expiresAt: number }).expiresAt,
    START + 890 * DAY_MS,
    'dates of one issuer only grow',
  );
  const { roster } = await pinnace(START, 'cluster', 'recover', '--dir', dir);
  assert.equal((roster as { expiresAt: number }).expiresAt, START + 90 * DAY_MS);
  const [file = ''] = (await readdir(dir)).filter(name => name.endsWith('.token'));
  const members = await membersOf(join(dir, file), START);
  const [jwt = '', ...credentials] = (await text(dir, 'recovered.jwt')).trim().split('\n');
  await members.offerRoster(jwt, credentials);
  assert.equal(members.nodes().length, 1);
});

void test('where a roster carries no more handovers, a recovery leads there from everywhere, and rotations go on', async () => {
  const dir = await cluster('n1');
  const [k0, k1] = [createPrivateKey(await text(dir, 'issuer.key')), newKey(realWorld)];
  const { id } = JSON.parse(await text(dir, 'cluster.json')) as { id: string };
  const [file = ''] = (await readdir(dir)).filter(name => name.endsWith('.token'));
  const away = await membersOf(join(dir, file), START);
  const handovers: string[] = [];
  for (let at = 0; at < HANDOVERS_MAX; at++) {
    const [from, to] = at % 2 ? [k1, k0] : [k0, k1];
    const draft = { cluster: id, from: rawPublicKey(from), to: rawPublicKey(to), epoch: 0, issuedAt: START };
    handovers.push(await issueHandover(from, draft));
  }
  const draft = { seq: 200, issuedAt: START, revoked: new Map(), handovers };
  await writeFile(join(dir, 'roster.jwt'), await issueRoster(issuerOf(id, k0), draft));
  assert.equal(codeOf(await pinnace(START, 'cluster', 'rotate-issuer', '--dir', dir)), 'LIMIT_EXCEEDED');
  assert.equal((await readdir(dir)).filter(name => name.startsWith('issuer')).length, 1, 'no key was made');
  for (const epoch of [1, 2]) {
    const { roster } = await pinnace(START, 'cluster', 'recover', '--dir', dir);
    assert.equal((roster as { seq: number }).seq, epoch * EPOCH_SEQS + 1);
    await pinnace(START, 'cluster', 'rotate-issuer', '--dir', dir);
    await pinnace(START, 'cluster', 'rotate-issuer', '--finish', '--dir', dir);
  }
  const newest = (await text(dir, 'roster.jwt')).trim();
  assert.equal(await away.offerRoster(newest), true);
  assert.equal(away.roster.handovers.length, 4);
});

void test('a backup gives back the folder, and nothing over anything', async () => {
  const dir = await cluster('n1');
  await appendFile(join(dir, 'note.txt'), 'not the cluster’s');
  const [passphrase, wrong, out] = [fresh(), fresh(), fresh()];
  await writeFile(passphrase, 'a long passphrase\n', { mode: 0o600 });
  await writeFile(wrong, 'another passphrase\n', { mode: 0o600 });
  const by = ['--passphrase-file', passphrase];
  const { files } = await pinnace(START, 'cluster', 'backup', '--out', out, '--dir', dir, ...by);
  assert.deepEqual(files, ['cluster.json', 'issued.jsonl', 'issuer.key', 'recovery.key', 'roster.jwt']);
  assert.equal((await stat(out)).mode & 0o777, 0o600);
  assert.doesNotMatch(await text(out), /PRIVATE|cluster\.json/);
  assert.equal(codeOf(await pinnace(START, 'cluster', 'backup', '--out', out, '--dir', dir, ...by)), 'FILE_EXISTS');
  const into = fresh();
  const restore = (file: string, where: string, ...more: string[]) =>
    pinnace(START, 'cluster', 'restore', file, '--dir', where, ...more);
  assert.equal(codeOf(await restore(out, into, '--passphrase-file', wrong)), 'PASSPHRASE_WRONG');
  const changed = fresh();
  for (const [from, to] of [
    [/"cluster":"./, '"cluster":"0'],
    [/"data":"..../, '"data":"AAAA'],
  ] as const) {
    await writeFile(changed, (await text(out)).replace(from, to));
    const code = codeOf(await restore(changed, into, ...by));
    assert.ok(code === 'PASSPHRASE_WRONG' || (await text(changed)) === (await text(out)));
  }
  await restore(out, into, ...by);
  for (const name of files as string[]) assert.equal(await text(into, name), await text(dir, name));
  const half = fresh();
  await mkdir(half);
  await copyFile(join(dir, 'roster.jwt'), join(half, 'roster.jwt'));
  assert.equal(codeOf(await restore(out, half, ...by)), 'FILE_EXISTS');
  assert.deepEqual(await readdir(half), ['roster.jwt'], 'nothing was written');
});

void test('a backup without a passphrase is whole or nothing, and open only where that was said', async () => {
  const [dir, out, changed] = [await cluster('n1'), fresh(), fresh()];
  assert.equal(codeOf(await pinnace(START, 'cluster', 'backup', '--out', out, '--dir', dir)), 'USAGE');
  await pinnace(START, 'cluster', 'backup', '--out', out, '--dir', dir, '--no-passphrase');
  await writeFile(changed, (await text(out)).replace(/"data":"./, '"data":"A'));
  assert.equal(codeOf(await pinnace(START, 'cluster', 'restore', changed, '--dir', fresh())), 'STATE_INVALID');
  await writeFile(changed, (await text(out)).replace('"backup":1', '"backup":2'));
  assert.equal(codeOf(await pinnace(START, 'cluster', 'restore', changed, '--dir', fresh())), 'STATE_NEWER');
  const foreign = JSON.parse(await text(out)) as { cluster: string };
  await writeFile(changed, JSON.stringify({ ...foreign, cluster: 'f'.repeat(32) }));
  assert.equal(codeOf(await pinnace(START, 'cluster', 'restore', changed, '--dir', fresh())), 'STATE_INVALID');
  // A sealed one may have been exchanged for one that is not.
  const passphrase = fresh();
  await writeFile(passphrase, 'a long passphrase\n', { mode: 0o600 });
  const by = ['--dir', fresh(), '--passphrase-file', passphrase];
  assert.equal(codeOf(await pinnace(START, 'cluster', 'restore', out, ...by)), 'PASSPHRASE_WRONG');
  assert.equal(codeOf(await pinnace(START, 'cluster', 'restore', out, '--dir', fresh())), undefined);
});

void test('a restored folder goes on above the roster of the nodes, and takes no older or foreign one', async () => {
  const [dir, out, into] = [await cluster('n1'), fresh(), fresh()];
  await pinnace(START, 'cluster', 'backup', '--out', out, '--dir', dir, '--no-passphrase');
  await copyFile(join(dir, 'roster.jwt'), join(root, 'old.jwt'));
  for (let i = 0; i < 3; i++) await pinnace(START, 'roster', 'sign', '--dir', dir);
  const { roster } = await pinnace(
    START,
    'cluster',
    'restore',
    out,
    '--dir',
    into,
    '--roster',
    join(dir, 'roster.jwt'),
  );
  assert.equal(roster, 4);
  await pinnace(START, 'roster', 'sign', '--dir', dir);
  const adopted = await pinnace(START, 'roster', 'adopt', join(dir, 'roster.jwt'), '--dir', into);
  assert.equal((adopted.roster as { seq: number }).seq, 5);
  const signed = await pinnace(START, 'roster', 'sign', '--dir', into);
  assert.equal((signed.roster as { seq: number }).seq, 6);
  const old = await pinnace(START, 'roster', 'adopt', join(root, 'old.jwt'), '--dir', into);
  assert.equal(codeOf(old), 'ROSTER_ROLLBACK');
  const other = await cluster();
  const foreign = await pinnace(START, 'roster', 'adopt', join(other, 'roster.jwt'), '--dir', into);
  assert.equal(codeOf(foreign), 'ROSTER_INVALID');
});

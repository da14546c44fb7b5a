/** Three years of a cluster, by the commands of README's runbooks alone. */
import assert from 'node:assert/strict';
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { issueCredential } from '../../src/identity/credential.ts';
import { EPOCH_SEQS } from '../../src/identity/handover.ts';
import { issuerOf, openKey } from '../../src/identity/issuer.ts';
import { issueRoster } from '../../src/identity/roster.ts';
import { parsePeerId } from '../../src/oci/oci.ts';
import { eventually } from '../support/nodes.ts';
import { Lifetime } from './lifetime-ground.ts';
import { readRunbooks } from './runbooks.ts';

const MINUTES_MS = 240_000;

const books = await readRunbooks();
const done = new Set<string>();
let life: Lifetime;
let day = 0;

/** Lets the clock run until `day` of the cluster's life. */
async function until(next: number): Promise<void> {
  await life.later(next - day);
  day = next;
}

/** Performs a runbook; gives what its commands printed. */
async function book(name: string): Promise<readonly string[]> {
  const commands = books.get(name);
  assert.ok(commands, `README has no runbook ${name}`);
  done.add(name);
  const printed: string[] = [];
  for (const command of commands) printed.push(await life.perform(command));
  return printed;
}

const seqOf = async (name: string): Promise<number> => (await life.status(name)).roster.seq;
const allHave = (seq: number): Promise<void> => life.all(`all have roster ${seq}`, ({ roster }) => roster.seq === seq);
const peerOf = async (name: string): Promise<string> => (await life.status(name)).peer;
/** All credentials end after the day, and nobody warns. */
const allRenewed = (to: number): Promise<void> =>
  life.all(
    `credentials hold until day ${to}`,
    ({ credentialExpiresAt, warnings }) =>
      Date.parse(credentialExpiresAt) > Date.UTC(2026, 0, 1 + to) && warnings.length === 0,
  );

before(async () => {
  life = await Lifetime.make();
  await life.start('n1', 'n2', 'n3');
});
after(() => life.end());

void describe('three years', { timeout: MINUTES_MS }, () => {
  void it('begin with three nodes that share', async () => {
    await life.works();
    assert.deepEqual(await life.readiness('n1'), { status: 200, warnings: [] });
  });

  void it('day 64: the roster ends soon, which is said; a new one is signed', async () => {
    await until(64);
    await life.all('all warn of the roster', ({ warnings }) => warnings.length === 1);
    const { status, warnings } = await life.readiness('n2');
    assert.deepEqual([status, warnings.length], [200, 1]);
    await book('roster');
    await life.all('nobody warns', ({ warnings, roster }) => warnings.length === 0 && roster.seq === 2);
    const told = (await life.records('n2')).filter(({ event }) => event === 'identity.expiring');
    assert.deepEqual(
      told.map(({ what, stage }) => [what, stage]),
      [['roster', 'ending']],
    );
    await life.works();
  });

  void it('day 160: the roster has ended: the cluster is frozen and works; a new one thaws it', async () => {
    await until(160);
    await life.all('all are frozen', ({ roster }) => roster.frozen);
    await life.works();
    await life.stop('n3');
    await life.command('roster', 'sign', '--dir', 'nodes/cluster');
    await life.start('n3');
    await life.works();
    await book('roster');
    await allHave(4);
    await life.all('all are thawed', ({ roster }) => !roster.frozen);
  });

  void it('day 270: credentials end soon and are renewed, one for a node that is away', async () => {
    await until(270);
    await life.all('all warn of both', ({ warnings }) => warnings.length === 2);
    await life.stop('n2');
    await book('credentials');
    await allRenewed(600);
    await life.start('n2');
    await allRenewed(600);
    await life.works();
    assert.ok((await life.records('n2')).some(({ event, node }) => event === 'credential.accepted' && node === 'n2'));
  });

  void it('day 330: the issuer is replaced, also for a node that sleeps through it', async () => {
    await until(330);
    const { issuer } = (await life.status('n1')).roster;
    await life.stop('n3');
    const commands = books.get('rotate') ?? [];
    const finish = commands.findIndex(line => line.includes('--finish'));
    for (const line of commands.slice(0, finish)) await life.perform(line);
    await life.all('two have credentials by the next issuer', ({ roster }) => roster.next?.nodes === 3);
    for (const line of commands.slice(finish)) await life.perform(line);
    done.add('rotate');
    await life.all('another issuer counts', ({ roster }) => roster.issuer !== issuer && !roster.next);
    await life.start('n3');
    await allRenewed(690);
    await life.works();
    for (const name of ['n1', 'n3']) {
      const changes = (await life.records(name)).filter(({ event }) => event === 'issuer.changed');
      assert.equal(changes.at(-1)?.issuer, (await life.status(name)).roster.issuer);
    }
    const old = await thiefsRoster('nodes/cluster/issuer.key', 900);
    assert.equal(await drop(old), 'ROSTER_ROLLBACK');
  });

  void it('day 400: a node gets another key, and the old one is out', async () => {
    await until(400);
    await book('roster');
    const old = await peerOf('n3');
    await copyFile('nodes/n3/token', 'nodes/n3/token.old');
    await book('key');
    await life.stop('n3');
    await life.start('n3');
    assert.notEqual(await peerOf('n3'), old);
    await life.works();
    await life.all('nobody knows the old key', ({ peers }) => peers.every(({ peer }) => peer !== old));
    await life.stop('n3');
    await copyFile('nodes/n3/token', 'nodes/n3/token.new');
    await copyFile('nodes/n3/token.old', 'nodes/n3/token');
    await life.start('n3');
    await refusals('n1', old, 'CREDENTIAL_REVOKED');
    await life.stop('n3');
    await copyFile('nodes/n3/token.new', 'nodes/n3/token');
    await life.start('n3');
    await life.works();
  });

  void it('day 460: a node is out, is renewed by nothing, and comes back by a new token', async () => {
    await until(460);
    const old = await peerOf('n3');
    await book('revoke');
    await life.all('n3 is out', ({ peers }) => peers.every(({ peer }) => peer !== old), ['n1', 'n2']);
    await life.all('n3 is alone', ({ peers }) => peers.every(({ connected }) => !connected), ['n3']);
    const [, renewed = ''] = await book('credentials');
    assert.match(renewed, /left out: n3 \(revoked\)/);
    await life.stop('n3');
    await life.command('token', 'create', '--node', 'n3', '--dir', 'nodes/cluster', '--out', 'nodes/n3/token.back');
    await copyFile('nodes/n3/token.back', 'nodes/n3/token');
    await life.start('n3');
    await life.works();
  });

  void it('day 900: everything has ended long ago, and comes back by one file', async () => {
    await until(900);
    await life.all('all are shut out', ({ warnings, roster }) => warnings.length >= 2 && roster.frozen);
    await book('credentials');
    await allRenewed(1260);
    await life.works();
    await book('backup');
  });

  void it('day 960: the issuer is stolen: the recovery key ends it, and nothing that the thief signs is believed', async () => {
    await until(960);
    const { issuer } = (await life.status('n1')).roster;
    const key = `nodes/cluster/issuer-${Buffer.from(issuer, 'base64url').subarray(0, 8).toString('hex')}.key`;
    await writeFile('thief.jwt', await thiefsRoster(key, EPOCH_SEQS - 1));
    await copyFile('thief.jwt', 'nodes/n2/incoming/thief.jwt');
    await allHave(EPOCH_SEQS - 1);
    await book('recover');
    await allHave(EPOCH_SEQS + 1);
    await allRenewed(1320);
    await life.works();
    assert.equal(await drop(await thiefsRoster(key, EPOCH_SEQS - 1)), 'ROSTER_ROLLBACK');
    assert.equal(await drop(await thiefsCredential(key)), 'CREDENTIAL_REVOKED');
    await life.stop('n2');
    await life.start('n2');
    await life.works();
  });

  void it('day 1000: the folder is lost; out of a backup and a node’s state it signs on', async () => {
    await until(1000);
    // The one of day 900 knows nothing of the recovery, and says so.
    const [restore = ''] = books.get('restore') ?? [];
    const { text } = await life.attempt(...restore.replace('nodes/restored', 'nodes/early').split(' ').slice(2));
    assert.match(text, /issuer that counts is not in this backup/);
    assert.equal((await life.attempt('roster', 'sign', '--dir', 'nodes/early')).code, 69);
    await rm('nodes/cluster.backup');
    await book('backup');
    await life.command('roster', 'sign', '--dir', 'nodes/cluster');
    await life.perform('cp nodes/cluster/roster.jwt nodes/n1/incoming/');
    const seq = await seqOf('n1');
    await book('restore');
    await life.command('roster', 'sign', '--dir', 'nodes/restored');
    await life.perform('cp nodes/restored/roster.jwt nodes/n1/incoming/');
    await allHave(seq + 1);
    await life.works();
  });

  void it('day 1095: it is well, and every runbook was tried', async () => {
    await until(1080);
    await life.perform('npx pinnace roster sign --dir nodes/restored');
    await life.perform('cp nodes/restored/roster.jwt nodes/n1/incoming/');
    await until(1095);
    await life.works();
    await life.all('nobody warns', ({ warnings }) => warnings.length === 0);
    assert.deepEqual(
      [...books.keys()].filter(name => !done.has(name)),
      [],
    );
  });
});

/** A roster by a key of the operator's folder, as whoever copied it signs one: it takes nobody back. */
async function thiefsRoster(keyFile: string, seq: number): Promise<string> {
  const { id, key } = await stolen(keyFile);
  const jwt = await readFile('nodes/n1/roster.jwt', 'utf8');
  const { handovers } = JSON.parse(Buffer.from(jwt.split('.')[0]!, 'base64url').toString()) as { handovers: string[] };
  const issuer = issuerOf(id, key);
  return issueRoster(issuer, { seq, issuedAt: life.world.now(), revoked: new Map(), handovers: handovers.slice(0, 1) });
}

/** A credential by a stolen key, for a key that the cluster knows. */
async function thiefsCredential(keyFile: string): Promise<string> {
  const { id, key } = await stolen(keyFile);
  const peer = parsePeerId(await peerOf('n3'));
  return issueCredential(issuerOf(id, key), { peer, name: 'n3', roles: ['enroll'], issuedAt: life.world.now() + 1e6 });
}

async function stolen(keyFile: string) {
  const { id } = JSON.parse(await readFile('nodes/cluster/cluster.json', 'utf8')) as { id: string };
  return { id, key: openKey(await readFile(keyFile, 'utf8'), undefined, keyFile) };
}

let dropped = 0;
/** Drops a document that must be refused; gives the code on record. */
async function drop(jwt: string): Promise<unknown> {
  const count = (await life.records('n1')).filter(({ event }) => event === 'roster.refused').length;
  await writeFile(`nodes/refused-${++dropped}.jwt`, jwt);
  await assert.rejects(life.perform(`cp nodes/refused-${dropped}.jwt nodes/n1/incoming/`));
  return (await life.records('n1')).filter(({ event }) => event === 'roster.refused')[count]?.code;
}

/** Waits until a node has refused a peer by a code. */
async function refusals(name: string, peer: string, code: string): Promise<void> {
  await eventually(`${name} refuses ${peer}`, 30_000, async () => {
    const records = await life.records(name);
    return records.some(one => one.event === 'peer.refused' && one.peer === peer && one.code === code) || undefined;
  });
}

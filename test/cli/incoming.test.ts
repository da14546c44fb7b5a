/** What an operator drops on a running node: taken whole, judged, and never missed. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DOCUMENTS_MAX, INCOMING_MAX_BYTES, watchIncoming } from '../../src/cli/incoming.ts';
import { realDisk } from '../../src/store/disk.ts';
import { realWorld } from '../../src/world.ts';
import { openPolicies } from '../../src/cli/policy-source.ts';
import { issueRoster } from '../../src/identity/roster.ts';
import { makeCluster, memoryKeep } from '../support/cluster.ts';
import { memoryAudit } from '../support/memory-audit.ts';
import { bundleOf, demandOf, person, policyText } from '../support/signed-policies.ts';

const root = await mkdtemp(join(tmpdir(), 'pinnace-incoming-'));
after(() => rm(root, { recursive: true }));
let made = 0;
const noLine = (): void => undefined;

/** A watcher that looks once whenever `look` is called. */
async function watcher() {
  const cluster = await makeCluster({ nodes: ['n1', 'n2'] });
  const stateDir = join(root, String(made++));
  const folder = join(stateDir, 'incoming');
  const members = await cluster.node('n1').members();
  const audit = memoryAudit();
  const life = new AbortController();
  let looked = Promise.withResolvers<void>();
  let go = (): void => undefined;
  const world = {
    ...realWorld,
    sleep: () => {
      looked.resolve();
      return new Promise<void>(resolve => (go = resolve));
    },
  };
  const warnings: unknown[] = [];
  const log = { debug: noLine, info: noLine, warn: ({ code }: { code?: unknown }) => void warnings.push(code) };
  const edges = { disk: realDisk };
  await writeFile(`${stateDir}.yaml`, policyText({ serial: 1 }));
  const policy = await openPolicies({
    disk: realDisk,
    file: `${stateDir}.yaml`,
    bundleKeep: memoryKeep(),
    marksKeep: memoryKeep(),
    cluster: cluster.id,
    members,
  });
  const ended = watchIncoming({ config: { stateDir }, edges, members, policy, audit, log, world, life: life.signal });
  await looked.promise;
  const look = async (times = 1): Promise<void> => {
    for (let i = 0; i < times; i++) {
      looked = Promise.withResolvers<void>();
      go();
      await looked.promise;
    }
  };
  const end = async (): Promise<void> => {
    life.abort();
    go();
    await ended;
  };
  return { cluster, folder, members, policy, audit, warnings, look, end };
}

void test('a roster that is dropped is taken, and its file goes', async () => {
  const { cluster, folder, members, look, end } = await watcher();
  await writeFile(join(folder, 'roster.jwt'), await cluster.signRoster({ seq: 2, revoked: ['n2'] }));
  await look(2);
  assert.equal(members.roster.seq, 2);
  assert.deepEqual(await readdir(folder), []);
  await end();
});

void test('the folder may be removed and made again', async () => {
  const { cluster, folder, members, look, end } = await watcher();
  await rm(folder, { recursive: true });
  await writeFile(folder, 'not a folder');
  await look();
  await rm(folder);
  await look();
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'roster.jwt'), await cluster.signRoster({ seq: 2 }));
  await look(2);
  assert.equal(members.roster.seq, 2);
  await end();
});

void test('a file that is still being copied is left until it is whole', async () => {
  const { cluster, folder, members, audit, look, end } = await watcher();
  const jwt = await cluster.signRoster({ seq: 2 });
  await writeFile(join(folder, 'roster.jwt'), '');
  await look();
  await writeFile(join(folder, 'roster.jwt'), jwt.slice(0, 100));
  await look();
  await writeFile(join(folder, 'roster.jwt'), jwt);
  await look(2);
  assert.equal(members.roster.seq, 2);
  assert.deepEqual(audit.events, []);
  await end();
});

void test('what does not hold is recorded and put aside; what could not be recorded is looked at again', async () => {
  const { folder, audit, look, end } = await watcher();
  await writeFile(join(folder, 'roster.jwt'), 'no roster');
  audit.broken = true;
  await look(3);
  assert.deepEqual(await readdir(folder), ['roster.jwt']);
  audit.broken = false;
  await look();
  assert.deepEqual(await readdir(folder), ['roster.jwt.refused']);
  assert.equal(audit.of('roster.refused').length, 1);
  await end();
});

void test('a file with a roster and credentials, one document a line, is taken together; what does not hold in it is put aside', async () => {
  const { cluster, folder, members, audit, look, end } = await watcher();
  const n2 = cluster.node('n2');
  const roster = await cluster.signRoster({ seq: 2 });
  await writeFile(join(folder, 'all.jwt'), `${roster}\n${n2.credential}\n`);
  await look(2);
  assert.equal(members.roster.seq, 2);
  assert.equal(members.node(n2.peer)?.name, 'n2');
  assert.deepEqual(await readdir(folder), []);
  const n3 = await cluster.add('n3');
  await writeFile(join(folder, 'some.jwt'), `${n2.credential.slice(0, -5)}AAAAA\n${n3.credential}\n`);
  await look(2);
  assert.equal(members.node(n3.peer)?.name, 'n3');
  assert.deepEqual(await readdir(folder), ['some.jwt.refused']);
  assert.deepEqual(
    audit.of('roster.refused').map(({ code }) => code),
    ['CREDENTIAL_INVALID'],
  );
  await end();
});

void test('a file that is larger, or has more documents, than any is refused as a whole', async () => {
  const { cluster, folder, members, audit, look, end } = await watcher();
  const roster = await cluster.signRoster({ seq: 2 });
  await writeFile(join(folder, 'many.jwt'), `${roster}\n${'x\n'.repeat(DOCUMENTS_MAX)}`);
  await writeFile(join(folder, 'large.jwt'), Buffer.alloc(INCOMING_MAX_BYTES + 1, 'x'));
  await look(2);
  assert.equal(members.roster.seq, 1);
  assert.deepEqual(
    audit.of('roster.refused').map(({ code }) => code),
    ['LIMIT_EXCEEDED', 'LIMIT_EXCEEDED'],
  );
  assert.equal((await readdir(folder)).filter(name => name.endsWith('.refused')).length, 2);
  await end();
});

void test('what cannot be read holds back nothing that comes after it, and is told once', async () => {
  const { cluster, folder, members, warnings, look, end } = await watcher();
  await mkdir(join(folder, 'a.jwt'));
  await look(3);
  await writeFile(join(folder, 'roster.jwt'), await cluster.signRoster({ seq: 2, revoked: ['n2'] }));
  await look(2);
  assert.equal(members.roster.seq, 2);
  assert.deepEqual(warnings, ['FILE_UNREADABLE']);
  await rm(join(folder, 'a.jwt'), { recursive: true });
  await look();
  await mkdir(join(folder, 'a.jwt'));
  await look(2);
  assert.deepEqual(warnings, ['FILE_UNREADABLE', 'FILE_UNREADABLE'], 'again where it is new');
  await end();
});

void test('a policy bundle is in force, after the roster beside it that names its signers, and its file goes', async () => {
  const { cluster, folder, members, policy, look, end } = await watcher();
  const alice = person();
  const roster = { seq: 2, issuedAt: realWorld.now(), revoked: new Map(), policy: demandOf([alice]) };
  await writeFile(join(folder, 'a.policy.json'), bundleOf(cluster.id, { serial: 7 }, [alice]));
  await writeFile(join(folder, 'b.jwt'), await issueRoster(cluster.issuer, roster));
  await look(2);
  assert.deepEqual([members.roster.seq, policy.now().serial, members.policy?.serial], [2, 7, 7]);
  assert.deepEqual(await readdir(folder), []);
  await end();
});

void test('a file whose name says nothing is left alone, and told once', async () => {
  const { folder, warnings, look, end } = await watcher();
  for (const name of ['policy.json', '.roster.jwt.part', 'a.policy.json.refused'])
    await writeFile(join(folder, name), '{}');
  await look(4);
  assert.deepEqual(warnings, [undefined]);
  assert.equal((await readdir(folder)).length, 3);
  await end();
});

void test('a policy bundle that does not hold, or is too large, is recorded and put aside', async () => {
  const { cluster, folder, policy, audit, look, end } = await watcher();
  await writeFile(join(folder, 'a.policy.json'), bundleOf(cluster.id, { serial: 7 }, [person()]));
  await writeFile(join(folder, 'b.policy.json'), Buffer.alloc(INCOMING_MAX_BYTES + 1));
  await writeFile(join(folder, 'c.policy.json'), '{}');
  audit.broken = true;
  await look(3);
  assert.equal((await readdir(folder)).filter(name => name.endsWith('.refused')).length, 0);
  audit.broken = false;
  await look();
  assert.deepEqual(
    audit.of('policy.refused').map(({ code }) => code),
    ['POLICY_UNSIGNED', 'LIMIT_EXCEEDED', 'BUNDLE_INVALID'],
  );
  assert.deepEqual(
    (await readdir(folder)).sort(),
    ['a', 'b', 'c'].map(name => `${name}.policy.json.refused`),
  );
  assert.equal(policy.now().serial, 1);
  await end();
});

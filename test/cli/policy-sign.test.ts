/** The commands by which persons sign policies, a roster names them, and anybody proves what they signed. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { main } from '../../src/cli/main.ts';
import { realWorld } from '../../src/world.ts';
import { keyIdOf, unsealPolicy } from '../../src/trust/policy-bundle.ts';
import { packBundle } from '../../src/trust/policy-packing.ts';
import { bundleOf, person, policyText, spkiOf } from '../support/signed-policies.ts';

const root = await mkdtemp(join(tmpdir(), 'pinnace-policy-sign-'));
after(() => rm(root, { recursive: true }));

/** Runs a command line in process. */
async function pinnace(...argv: string[]): Promise<{ exit: number; said: string }> {
  let said = '';
  const say = (text: string): void => void (said += text);
  const signal = new AbortController().signal;
  const exit = await main(argv, { world: realWorld, out: say, err: say, terminal: false, signal });
  return { exit, said };
}

/** Runs one that succeeds, with --json. */
async function json(
  ...argv: string[]
): Promise<Record<string, unknown> & { roster: { policy?: unknown; seq: number } }> {
  const { exit, said } = await pinnace(...argv, '--json');
  assert.equal(exit, 0, said);
  return JSON.parse(said) as never;
}

async function refused(code: string, exit: number, ...argv: string[]): Promise<void> {
  const done = await pinnace(...argv);
  assert.ok(done.exit === exit && done.said.includes(`(${code})`), `${done.exit} ${done.said}`);
}

const at = (name: string): string => join(root, name);
const PASSPHRASE = 'a passphrase of a test';
const people = { alice: person(), bob: person('p256'), carol: person() };
const id = (name: keyof typeof people): string => keyIdOf(spkiOf(people[name]));
await writeFile(at('passphrase'), `${PASSPHRASE}\n`, { mode: 0o600 });
for (const [name, key] of Object.entries(people)) {
  const sealed = name === 'carol' ? { cipher: 'aes-256-cbc', passphrase: PASSPHRASE } : {};
  await writeFile(at(`${name}.key`), key.export({ type: 'pkcs8', format: 'pem', ...sealed }), { mode: 0o600 });
  await writeFile(at(`${name}.pub`), createPublicKey(key).export({ type: 'spki', format: 'pem' }));
}
const dir = at('cluster');
assert.equal((await pinnace('cluster', 'init', '--dir', dir, '--no-passphrase')).exit, 0);
const cluster = join(dir, 'cluster.json');
const clusterId = (JSON.parse(await readFile(cluster, 'utf8')) as { id: string }).id;
await mkdir(at('pins'));
await writeFile(at('pins/prod.lock'), `pinnace-pins 1 serial 1\nr.test/team/app:1 sha256:${'a'.repeat(64)}\n`);
const policy = at('policy.yaml');
await writeFile(
  policy,
  policyText({ serial: 4 }).replace('share: cluster', 'share: cluster, pins: {files: [pins/prod.lock]}'),
);
const key = (...names: (keyof typeof people)[]): string[] => names.flatMap(name => ['--key', at(`${name}.key`)]);
const pub = (...names: (keyof typeof people)[]): string[] => names.flatMap(name => ['--key', at(`${name}.pub`)]);

void test('a roster says whose policies count, and later ones say the same until they are told otherwise', async () => {
  const sign = async (...more: string[]): Promise<unknown> =>
    (await json('roster', 'sign', '--dir', dir, ...more)).roster.policy;
  assert.equal(await sign(), undefined);
  const keys = ['--policy-key', at('alice.pub'), '--policy-key', at('bob.pub')];
  const first = { keys: [id('alice'), id('bob')], threshold: 2, requireSigned: true, lowestSerial: 3 };
  const all = ['--policy-threshold', '2', '--require-signed-policy', '--lowest-policy-serial', '3'];
  assert.deepEqual(await sign(...keys, ...all), first);
  assert.deepEqual(await sign(), first);
  await json('cluster', 'rotate-issuer', '--dir', dir);
  assert.deepEqual(await sign('--lowest-policy-serial', '4'), { ...first, lowestSerial: 4 });
  assert.deepEqual(await sign('--allow-unsigned-policy'), { ...first, lowestSerial: 4, requireSigned: false });
  const one = { keys: [id('carol')], threshold: 1, requireSigned: false, lowestSerial: 4 };
  assert.deepEqual(await sign('--policy-key', at('carol.pub'), '--policy-threshold', '1'), one);
  const { said } = await pinnace('roster', 'sign', '--dir', dir, '--require-signed-policy');
  assert.ok(said.includes(id('carol')) && said.includes('unsigned ones do not count'), said);
  assert.equal(await sign('--no-policy-keys'), undefined);
});

void test('a roster is not told what nobody could meet, or what contradicts itself', async () => {
  const before = await readFile(join(dir, 'roster.jwt'), 'utf8');
  const sign = ['roster', 'sign', '--dir', dir];
  const alice = ['--policy-key', at('alice.pub')];
  for (const wrong of [
    ['--policy-threshold', '1'],
    [...alice, '--policy-threshold', '2'],
    [...alice, '--policy-threshold', '0'],
    [...alice, '--policy-threshold', 'x'],
    [...alice, '--require-signed-policy', '--allow-unsigned-policy'],
    [...alice, '--no-policy-keys'],
    [...alice, '--lowest-policy-serial', '-1'],
  ])
    await refused('USAGE', 64, ...sign, ...wrong);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' });
  await writeFile(at('rsa.pub'), rsa);
  await refused('STATE_INVALID', 64, ...sign, '--policy-key', at('rsa.pub'));
  await refused('STATE_INVALID', 64, ...sign, '--policy-key', at('alice.key'));
  await refused('FILE_UNREADABLE', 69, ...sign, '--policy-key', at('nobody.pub'));
  await refused('ROSTER_INVALID', 5, ...sign, ...alice, ...alice);
  assert.equal(await readFile(join(dir, 'roster.jwt'), 'utf8'), before);
});

void test('persons sign one after the other, and a node’s judgement is told offline, by keys or by a roster', async () => {
  const out = at('prod.policy.json');
  const made = await json('policy', 'sign', policy, '--cluster', cluster, ...key('alice'), '--out', out);
  assert.deepEqual([made.serial, made.files, made.signatures], [4, ['pins/prod.lock'], [id('alice')]]);
  assert.equal((await stat(out)).mode & 0o777, 0o600);
  await refused('POLICY_UNSIGNED', 3, 'policy', 'verify', out, ...pub('alice', 'carol'));
  const sealed = ['--passphrase-file', at('passphrase')];
  await refused('USAGE', 64, 'policy', 'sign', out, '--cluster', cluster, ...key('carol'));
  await json('policy', 'sign', out, '--cluster', cluster, ...key('carol'), ...sealed);
  const again = await json('policy', 'sign', out, '--cluster', cluster, ...key('bob', 'alice'));
  assert.deepEqual(again.signatures, [id('alice'), id('bob'), id('carol')].sort());
  const proved = await json('policy', 'verify', out, ...pub('alice', 'carol'), '--threshold', '2');
  assert.deepEqual([proved.counted, proved.hash], [[id('alice'), id('carol')].sort(), made.hash]);
  const roster = join(dir, 'roster.jwt');
  await json('roster', 'sign', '--dir', dir, '--policy-key', at('bob.pub'), '--policy-key', at('carol.pub'));
  assert.equal(((await json('policy', 'verify', out, '--roster', roster)).counted as string[]).length, 2);
  await json('roster', 'sign', '--dir', dir, '--lowest-policy-serial', '5');
  await refused('POLICY_ROLLBACK', 5, 'policy', 'verify', out, '--roster', roster);
  await writeFile(at('policy.bundle'), await packBundle(await readFile(out)));
  await json('policy', 'verify', at('policy.bundle'), ...pub('alice'));
  const { said } = await pinnace('policy', 'verify', out, ...pub('alice'));
  assert.match(said, /policy prod, serial 4.*\n {2}with pins\/prod\.lock\n(?: {2}signed by .*\n){3}1 of these/);
});

void test('what no node could take is not signed, and nothing is overwritten', async () => {
  const out = at('other.policy.json');
  const sign = (file: string, ...more: string[]): string[] => [
    'policy',
    'sign',
    file,
    '--cluster',
    cluster,
    ...key('alice'),
    ...more,
  ];
  await writeFile(at('endless.yaml'), policyText({ serial: 4 }).replace(/ {2}expiresAt: .*\n/, ''));
  await refused('POLICY_INVALID', 64, ...sign(at('endless.yaml'), '--out', out));
  await writeFile(at('wrong.yaml'), 'kind: x\n');
  await refused('POLICY_INVALID', 64, ...sign(at('wrong.yaml'), '--out', out));
  await writeFile(at('foreign.json'), bundleOf('b'.repeat(32), { serial: 4 }, [people.alice]));
  await refused('BUNDLE_INVALID', 5, ...sign(at('foreign.json')));
  await writeFile(at('lying.json'), bundleOf(clusterId, { serial: 4 }, [people.alice], { serial: 5 }));
  await refused('BUNDLE_INVALID', 5, ...sign(at('lying.json')));
  await refused('USAGE', 64, ...sign(policy));
  await refused('USAGE', 64, ...sign(policy, '--out', policy));
  await refused('USAGE', 64, ...sign(policy, '--out', at('bundle.json')));
  await writeFile(at('there.policy.json'), '');
  await refused('FILE_EXISTS', 64, ...sign(policy, '--out', at('there.policy.json')));
  await writeFile(at('cosign.key'), '-----BEGIN ENCRYPTED SIGSTORE ', { mode: 0o600 });
  await refused('STATE_INVALID', 64, ...sign(policy, '--key', at('cosign.key'), '--out', at('new.policy.json')));
  await refused('USAGE', 64, 'policy', 'sign', policy, '--cluster', cluster, '--out', out);
  await refused(
    'FILE_UNREADABLE',
    69,
    'policy',
    'sign',
    policy,
    '--cluster',
    at('none'),
    ...key('alice'),
    '--out',
    out,
  );
  await writeFile(at('open.key'), await readFile(at('alice.key')), { mode: 0o644 });
  await refused(
    'SECRET_EXPOSED',
    64,
    'policy',
    'sign',
    policy,
    '--cluster',
    cluster,
    '--key',
    at('open.key'),
    '--out',
    out,
  );
  await assert.rejects(stat(out));
});

void test('a bundle is proved against one cluster, and by what was given alone', async () => {
  const file = at('elsewhere.policy.json');
  await writeFile(file, bundleOf('b'.repeat(32), { serial: 9 }, [people.bob]));
  await refused('BUNDLE_INVALID', 5, 'policy', 'verify', file, '--roster', join(dir, 'roster.jwt'));
  await refused('BUNDLE_INVALID', 5, 'policy', 'verify', file, ...pub('bob'), '--cluster', cluster);
  await json('policy', 'verify', file, ...pub('bob'));
  await refused('USAGE', 64, 'policy', 'verify', file);
  await refused('USAGE', 64, 'policy', 'verify', file, ...pub('bob'), '--threshold', '2');
  await refused('USAGE', 64, 'policy', 'verify', file, ...pub('bob'), '--roster', join(dir, 'roster.jwt'));
  const other = at('another');
  await pinnace('cluster', 'init', '--dir', other, '--no-passphrase');
  const foreign = ['--roster', join(other, 'roster.jwt'), '--cluster', cluster];
  await refused('ROSTER_INVALID', 5, 'policy', 'verify', file, ...foreign);
  assert.equal(unsealPolicy(await readFile(file)).signatures.length, 1);
});

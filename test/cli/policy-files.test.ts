/** A policy and the files that it names, as they lie on a disk: bounded, of one moment, and changes are seen. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { NAMED_MAX, POLICY_FILE_MAX_BYTES, PolicyFile, readPolicyOnce } from '../../src/cli/policy-files.ts';
import { realDisk, replaceFile } from '../../src/store/disk.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { bundleOf, person, policyText } from '../support/signed-policies.ts';

const root = await mkdtemp(join(tmpdir(), 'pinnace-policy-files-'));
after(() => rm(root, { recursive: true }));

const naming = (...files: string[]): string =>
  policyText({ serial: 1 }).replace('share: cluster', `share: cluster, pins: {files: [${files.join(', ')}]}`);
const lock = (serial: number): Buffer => Buffer.from(`pinnace-pins 1 serial ${serial}\n`);

async function diskWith(files: Readonly<Record<string, string | Uint8Array>>): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  await disk.mkdir('/etc');
  for (const [name, content] of Object.entries(files))
    await replaceFile(disk, `/etc/${name}`, Buffer.from(content as string));
  return disk;
}

void test('a bundle is told from a policy by what is in it', async () => {
  const bytes = bundleOf('a'.repeat(32), { serial: 1 }, [person()]);
  const disk = await diskWith({ a: bytes, b: naming('c.lock'), 'c.lock': lock(1) });
  assert.deepEqual((await readPolicyOnce(disk, '/etc/a')).kind, 'bundle');
  const read = await readPolicyOnce(disk, '/etc/b');
  assert.ok(read.kind === 'text');
  assert.deepEqual(
    [...read.files].map(([name, one]) => [name, Buffer.from(one)]),
    [['c.lock', lock(1)]],
  );
});

void test('what is too large, too many, absent or no text is refused', async () => {
  const many = Array.from({ length: NAMED_MAX + 1 }, (_, at) => `${at}.lock`);
  const disk = await diskWith({
    large: new Uint8Array(POLICY_FILE_MAX_BYTES + 1),
    latin: Buffer.from([0x61, 0xff]),
    many: naming(...many),
    absent: naming('none.lock'),
  });
  for (const [name, code] of [
    ['large', 'FILE_UNREADABLE'],
    ['latin', 'FILE_UNREADABLE'],
    ['many', 'POLICY_INVALID'],
    ['absent', 'FILE_UNREADABLE'],
    ['nowhere', 'FILE_UNREADABLE'],
  ] as const)
    await assert.rejects(readPolicyOnce(disk, `/etc/${name}`), { code }, name);
});

void test('files that change while they are read are not mixed: they are read again', async () => {
  const disk = await diskWith({ p: naming('a.lock', 'b.lock'), 'a.lock': lock(1), 'b.lock': lock(1) });
  const open = disk.openRead.bind(disk);
  let reads = 0;
  // Between the two files, both are replaced.
  disk.openRead = async (path: string) => {
    const file = await open(path);
    if (path === '/etc/b.lock' && (reads += 1) === 2)
      for (const name of ['a.lock', 'b.lock']) await replaceFile(disk, `/etc/${name}`, lock(2));
    return path === '/etc/b.lock' && reads === 2 ? open(path) : file;
  };
  const file = new PolicyFile(disk, '/etc/p');
  await assert.rejects(file.read(), { code: 'FILE_UNREADABLE' });
  assert.equal(await file.changed(), true);
  const read = await file.read();
  assert.ok(read.kind === 'text');
  assert.deepEqual(
    [...read.files.values()].map(one => Buffer.from(one)),
    [lock(2), lock(2)],
  );
  assert.equal(await file.changed(), false);
});

void test('a file that was absent is seen when it comes, and one that goes is seen, too', async () => {
  const disk = await diskWith({ p: naming('a.lock') });
  const file = new PolicyFile(disk, '/etc/p');
  await assert.rejects(file.read(), { code: 'FILE_UNREADABLE' });
  assert.equal(await file.changed(), false);
  await replaceFile(disk, '/etc/a.lock', lock(1));
  assert.equal(await file.changed(), true);
  await file.read();
  await disk.remove('/etc/a.lock');
  assert.equal(await file.changed(), true);
});

void test('a ConfigMap that is replaced by a rename of the link to its folder is seen', async () => {
  for (const version of ['one', 'two']) {
    await mkdir(join(root, version));
    await writeFile(join(root, version, 'policy.yaml'), policyText({ serial: version === 'one' ? 1 : 2 }));
  }
  await symlink('one', join(root, 'data'));
  await symlink('data/policy.yaml', join(root, 'policy.yaml'));
  const file = new PolicyFile(realDisk, join(root, 'policy.yaml'));
  const first = await file.read();
  assert.equal(await file.changed(), false);
  await symlink('two', join(root, 'next'));
  await rename(join(root, 'next'), join(root, 'data'));
  assert.equal(await file.changed(), true);
  assert.notDeepEqual(await file.read(), first);
});

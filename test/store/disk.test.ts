/** The real disk and state files on it: private, whole or not at all, never a device. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { hasCode, MirrorError } from '../../src/errors.ts';
import { type Disk, isDiskFull, journalAt, keepAt, readSecret, realDisk } from '../../src/store/disk.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'pinnace-disk-'));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

const unreadable = (error: unknown): boolean => hasCode(error, 'FILE_UNREADABLE');
const text = async (path: string): Promise<string> => readFile(path, 'utf8');
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

void describe('the real disk', () => {
  void it('makes files and folders for their owner alone', async t => {
    const dir = join(await folder(t), 'a', 'b');
    await realDisk.mkdir(dir);
    await realDisk.mkdir(dir);
    await (await realDisk.create(join(dir, 'file'))).close();
    await (await realDisk.openAppend(join(dir, 'log'))).close();
    assert.equal(await modeOf(dir), 0o700);
    assert.equal(await modeOf(join(dir, '..')), 0o700);
    assert.equal(await modeOf(join(dir, 'file')), 0o600);
    assert.equal(await modeOf(join(dir, 'log')), 0o600);
  });

  void it('opens neither pipes, devices, folders nor, unless told to, links', async t => {
    const dir = await folder(t);
    execFileSync('mkfifo', [join(dir, 'pipe')]);
    await mkdir(join(dir, 'sub'));
    await writeFile(join(dir, 'file'), 'bytes');
    await symlink('file', join(dir, 'link'));
    for (const path of [join(dir, 'pipe'), '/dev/zero', join(dir, 'sub'), join(dir, 'link')])
      await assert.rejects(realDisk.openRead(path), unreadable, path);
    const file = await realDisk.openRead(join(dir, 'link'), 'follow');
    assert.equal((await file?.facts())?.size, 5);
    await file?.close();
    assert.equal(await realDisk.openRead(join(dir, 'absent')), undefined);
    assert.equal(await realDisk.openRead(join(dir, 'file', 'below')), undefined);
  });

  void it('writes no file through a link', async t => {
    const dir = await folder(t);
    await writeFile(join(dir, 'victim'), 'untouched');
    await symlink('victim', join(dir, 'link'));
    const file = await realDisk.create(join(dir, 'link'));
    await file.write(Buffer.from('new'), 0);
    await file.close();
    await symlink('victim', join(dir, 'log'));
    await assert.rejects(realDisk.openAppend(join(dir, 'log')), unreadable);
    assert.equal(await text(join(dir, 'victim')), 'untouched');
    assert.equal(await text(join(dir, 'link')), 'new');
  });

  void it('ends what is under way before it closes, and refuses what comes after', async t => {
    const path = join(await folder(t), 'file');
    const file = await realDisk.create(path);
    const bytes = Buffer.alloc(4 << 20, 7);
    const write = file.write(bytes, 0);
    const closed = file.close();
    await Promise.all([write, closed, file.close()]);
    assert.ok((await readFile(path)).equals(bytes));
    await assert.rejects(file.read(Buffer.alloc(1), 0));
  });

  void it('stays readable after its name is gone, and changes its stamp with its bytes', async t => {
    const path = join(await folder(t), 'file');
    const file = await realDisk.create(path);
    await file.write(Buffer.from('one'), 0);
    const before = await file.facts();
    assert.deepEqual(await realDisk.facts(path), before);
    await file.write(Buffer.from('two'), 0);
    assert.notEqual((await file.facts()).stamp, before.stamp);
    await realDisk.remove(path);
    await realDisk.remove(path);
    const seen = Buffer.alloc(10);
    assert.equal(await file.read(seen, 0), 3);
    assert.equal(await realDisk.facts(path), undefined);
    await file.close();
  });

  void it('gives a second name once, and lists none of an absent folder', async t => {
    const dir = await folder(t);
    await writeFile(join(dir, 'file'), '');
    assert.equal(await realDisk.link(join(dir, 'file'), join(dir, 'name')), true);
    assert.equal(await realDisk.link(join(dir, 'file'), join(dir, 'name')), false);
    await assert.rejects(realDisk.link(join(dir, 'absent'), join(dir, 'other')), unreadable);
    assert.deepEqual(await realDisk.list(join(dir, 'absent')), []);
    assert.ok((await realDisk.free(dir)) > 0);
  });

  void it('tells what names change in a folder, until the signal aborts', async t => {
    const dir = await folder(t);
    const stop = new AbortController();
    const { promise, resolve } = Promise.withResolvers<void>();
    const watching = realDisk.watch(dir, resolve, stop.signal);
    await writeFile(join(dir, 'file'), '');
    await promise;
    stop.abort();
    await watching;
    await realDisk.watch(join(dir, 'absent'), resolve, new AbortController().signal);
  });

  void it('knows its own process as alive, and one that ended as gone', async () => {
    const own = await realDisk.owner();
    assert.equal(await realDisk.isGone(own), false);
    const [boot, namespace, pid, start] = own.split(' ');
    assert.equal(await realDisk.isGone([boot, namespace, pid, `${Number(start) - 1}`].join(' ')), true);
    assert.equal(await realDisk.isGone(['another-boot', namespace, pid, start].join(' ')), true);
    assert.equal(await realDisk.isGone([boot, 'pid:[1]', pid, start].join(' ')), undefined);
    assert.equal(await realDisk.isGone('nonsense'), undefined);
  });

  void it('knows a full disk by its error', () => {
    const full = new MirrorError('FILE_UNREADABLE', 'x', { cause: Object.assign(new Error('x'), { code: 'ENOSPC' }) });
    assert.equal(isDiskFull(full), true);
    assert.equal(isDiskFull(new MirrorError('FILE_UNREADABLE', 'x')), false);
  });
});

for (const [name, make] of [
  ['on the real disk', async (t: TestContext) => ({ disk: realDisk as Disk, dir: await folder(t) })],
  ['in memory', async () => ({ disk: new MemoryDisk() as Disk, dir: '/' })],
] as const)
  void describe(`state files ${name}`, () => {
    const bytesAt = async (disk: Disk, path: string): Promise<string> =>
      Buffer.from((await keepAt(disk, path).read()) ?? []).toString();

    void it('are absent at first, then what was written last, in order', async t => {
      const { disk, dir } = await make(t);
      const path = join(dir, 'state.json');
      const keep = keepAt(disk, path);
      assert.equal(await keep.read(), undefined);
      await Promise.all(['one', 'two', 'three'].map(each => keep.write(Buffer.from(each))));
      assert.equal(await bytesAt(disk, path), 'three');
      assert.equal((await disk.facts(path))?.mode, 0o600);
      assert.deepEqual(await disk.list(dir), ['state.json']);
    });

    void it('are the old ones where the new was written half', async t => {
      const { disk, dir } = await make(t);
      const path = join(dir, 'state.json');
      const keep = keepAt(disk, path);
      await keep.write(Buffer.from('old'));
      const half = await disk.create(`${path}.new`);
      await half.write(Buffer.from('ne'), 0);
      await half.close();
      assert.equal(await bytesAt(disk, path), 'old');
      await keep.write(Buffer.from('new'));
      assert.equal(await bytesAt(disk, path), 'new');
    });

    void it('get whole lines appended, also after a line that was written half', async t => {
      const { disk, dir } = await make(t);
      const path = join(dir, 'log.jsonl');
      const journal = journalAt(disk, path);
      await Promise.all(['1\n', '2\n', '3\n'].map(line => journal.append(Buffer.from(line))));
      assert.equal(await bytesAt(disk, path), '1\n2\n3\n');
      const torn = await disk.openAppend(path);
      await torn.write(Buffer.from('{"half'), 0);
      await torn.close();
      await journalAt(disk, path, { sync: true }).append(Buffer.from('4\n'));
      assert.equal(await bytesAt(disk, path), '1\n2\n3\n{"half\n4\n');
      assert.equal((await disk.facts(path))?.mode, 0o600);
    });
  });

void describe('state files', () => {
  void it('are the synced ones after a power cut', async () => {
    const disk = new MemoryDisk();
    await keepAt(disk, '/state').write(Buffer.from('state'));
    await journalAt(disk, '/log', { sync: true }).append(Buffer.from('line\n'));
    disk.crash();
    assert.equal(Buffer.from(disk.peek('/state') ?? []).toString(), 'state');
    assert.equal(Buffer.from(disk.peek('/log') ?? []).toString(), 'line\n');
  });

  void it('fail, and later succeed, with their disk; the journal goes on at a new line', async () => {
    const disk = new MemoryDisk();
    const journal = journalAt(disk, '/log');
    await journal.append(Buffer.from('1\n'));
    disk.resize(3);
    await assert.rejects(journal.append(Buffer.from('22\n')), unreadable);
    await assert.rejects(keepAt(disk, '/state').write(Buffer.from('state')), isDiskFull);
    disk.resize(1000);
    await journal.append(Buffer.from('3\n'));
    assert.equal(Buffer.from(disk.peek('/log') ?? []).toString(), '1\n3\n');
  });

  void it('that are secret are read where the owner alone may read them, a link to one included', async t => {
    const dir = await folder(t);
    const path = join(dir, 'token');
    await writeFile(path, 'secret', { mode: 0o600 });
    await symlink('token', join(dir, 'link'));
    assert.equal(Buffer.from(await readSecret(realDisk, join(dir, 'link'))).toString(), 'secret');
    for (const mode of [0o640, 0o604, 0o620, 0o644]) {
      await chmod(path, mode);
      await assert.rejects(readSecret(realDisk, path), error => hasCode(error, 'SECRET_EXPOSED'), mode.toString(8));
    }
    await assert.rejects(readSecret(realDisk, join(dir, 'absent')), unreadable);
  });
});

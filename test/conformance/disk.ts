/** What every disk must do: the real one and the one in memory pass the same suite. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import type { Disk, OpenFile } from '../../src/store/disk.ts';

const unreadable = (error: unknown): boolean => hasCode(error, 'FILE_UNREADABLE');
const put = async (disk: Disk, path: string, text: string): Promise<void> => {
  const file = await disk.create(path);
  await file.write(Buffer.from(text), 0);
  await file.close();
};
const textOf = async (file: OpenFile, position = 0): Promise<string> => {
  const into = Buffer.alloc(64);
  return into.subarray(0, await file.read(into, position)).toString();
};
const get = async (disk: Disk, path: string): Promise<string | undefined> => {
  const file = await disk.openRead(path);
  const text = file && (await textOf(file));
  await file?.close();
  return text;
};

/** `make` answers with a disk and an empty folder on it. */
export function diskConformance(
  name: string,
  make: (t: TestContext) => Promise<{ readonly disk: Disk; readonly dir: string }>,
): void {
  void describe(`a disk: ${name}`, () => {
    void it('reads what was written, wherever it was written, up to the end', async t => {
      const { disk, dir } = await make(t);
      const file = await disk.create(`${dir}/file`);
      await Promise.all([file.write(Buffer.from('world'), 6), file.write(Buffer.from('hello '), 0)]);
      assert.equal(await textOf(file), 'hello world');
      assert.equal(await textOf(file, 6), 'world');
      assert.equal(await textOf(file, 11), '');
      assert.equal(await textOf(file, 99), '');
      await file.sync();
      assert.equal((await file.facts()).size, 11);
      await file.close();
      await file.close();
      assert.equal(await get(disk, `${dir}/file`), 'hello world');
    });

    void it('leaves a gap that nobody wrote as zeros', async t => {
      const { disk, dir } = await make(t);
      const file = await disk.create(`${dir}/file`);
      await file.write(Buffer.from('end'), 3);
      assert.equal(await textOf(file), '\0\0\0end');
      await file.close();
    });

    void it('appends at the end, whatever position is said, also to what was there', async t => {
      const { disk, dir } = await make(t);
      for (const text of ['a', 'b']) {
        const file = await disk.openAppend(`${dir}/log`);
        await file.write(Buffer.from(text), 0);
        await file.write(Buffer.from('\n'), 0);
        await file.close();
      }
      assert.equal(await get(disk, `${dir}/log`), 'a\nb\n');
    });

    void it('creates anew what had the name, and who has the old one open still reads it', async t => {
      const { disk, dir } = await make(t);
      await put(disk, `${dir}/file`, 'old');
      const old = await disk.openRead(`${dir}/file`);
      await put(disk, `${dir}/file`, 'new');
      assert.equal(await textOf(old!), 'old');
      assert.equal(await get(disk, `${dir}/file`), 'new');
      await old?.close();
    });

    void it('keeps a file readable to who has it open, whatever becomes of its name', async t => {
      const { disk, dir } = await make(t);
      for (const lose of [
        () => disk.remove(`${dir}/file`),
        () => disk.rename(`${dir}/file`, `${dir}/elsewhere`),
        async () => {
          await put(disk, `${dir}/other`, 'other');
          await disk.rename(`${dir}/other`, `${dir}/file`);
        },
      ]) {
        await put(disk, `${dir}/file`, 'bytes');
        const file = await disk.openRead(`${dir}/file`);
        await lose();
        assert.equal(await textOf(file!), 'bytes');
        await file?.close();
      }
    });

    void it('renames over what is there, and what is not there not at all', async t => {
      const { disk, dir } = await make(t);
      await put(disk, `${dir}/a`, 'a');
      await put(disk, `${dir}/b`, 'b');
      await disk.rename(`${dir}/a`, `${dir}/b`);
      await disk.syncFolder(dir);
      assert.equal(await get(disk, `${dir}/a`), undefined);
      assert.equal(await get(disk, `${dir}/b`), 'a');
      await assert.rejects(disk.rename(`${dir}/a`, `${dir}/b`), unreadable);
      assert.equal(await get(disk, `${dir}/b`), 'a');
    });

    void it('gives a second name, never one that is taken', async t => {
      const { disk, dir } = await make(t);
      await put(disk, `${dir}/a`, 'a');
      await put(disk, `${dir}/b`, 'b');
      assert.equal(await disk.link(`${dir}/a`, `${dir}/b`), false);
      assert.equal(await disk.link(`${dir}/a`, `${dir}/c`), true);
      await disk.remove(`${dir}/a`);
      assert.equal(await get(disk, `${dir}/b`), 'b');
      assert.equal(await get(disk, `${dir}/c`), 'a');
      await assert.rejects(disk.link(`${dir}/a`, `${dir}/d`), unreadable);
    });

    void it('says what is absent, and lists names', async t => {
      const { disk, dir } = await make(t);
      assert.equal(await disk.openRead(`${dir}/absent`), undefined);
      assert.equal(await disk.facts(`${dir}/absent`), undefined);
      assert.deepEqual(await disk.list(`${dir}/absent`), []);
      await disk.remove(`${dir}/absent`);
      await disk.mkdir(`${dir}/sub/below`);
      await disk.mkdir(`${dir}/sub/below`);
      await put(disk, `${dir}/sub/file`, '');
      assert.deepEqual([...(await disk.list(`${dir}/sub`))].sort(), ['below', 'file']);
      assert.equal((await disk.facts(`${dir}/sub/below`))?.kind, 'folder');
      await assert.rejects(disk.create(`${dir}/nowhere/file`), unreadable);
    });

    void it('gives a file another stamp whenever its bytes change, and the same one while they do not', async t => {
      const { disk, dir } = await make(t);
      const path = `${dir}/file`;
      const stamp = async (): Promise<string> => (await disk.facts(path))?.stamp ?? '';
      const stamps = new Set<string>();
      await put(disk, path, 'one');
      stamps.add(await stamp());
      assert.equal(await get(disk, path), 'one');
      stamps.add(await stamp());
      assert.equal(stamps.size, 1);
      await put(disk, path, 'two');
      stamps.add(await stamp());
      await put(disk, `${dir}/other`, 'two');
      await disk.rename(`${dir}/other`, path);
      stamps.add(await stamp());
      assert.equal(stamps.size, 3);
    });

    void it('sets when a file was modified', async t => {
      const { disk, dir } = await make(t);
      await put(disk, `${dir}/file`, '');
      await disk.touch(`${dir}/file`, 1_700_000_000_000);
      assert.equal((await disk.facts(`${dir}/file`))?.modifiedAt, 1_700_000_000_000);
      await assert.rejects(disk.touch(`${dir}/absent`, 0), unreadable);
    });

    void it('makes what it makes for its owner alone', async t => {
      const { disk, dir } = await make(t);
      await disk.mkdir(`${dir}/sub`);
      await put(disk, `${dir}/sub/file`, '');
      assert.equal((await disk.facts(`${dir}/sub/file`))?.mode, 0o600);
      assert.equal((await disk.facts(`${dir}/sub`))?.mode, 0o700);
    });

    void it('tells of changed names until it need not', async t => {
      const { disk, dir } = await make(t);
      const stop = new AbortController();
      let heard = (): void => undefined;
      const change = new Promise<void>(resolve => (heard = resolve));
      const watching = disk.watch(dir, () => heard(), stop.signal);
      await put(disk, `${dir}/file`, '');
      await change;
      stop.abort();
      await watching;
    });

    void it('knows its own process, which has not ended, and counts free room', async t => {
      const { disk, dir } = await make(t);
      assert.equal(await disk.isGone(await disk.owner()), false);
      for (const line of ['', '\0\0', 'torn']) assert.equal(await disk.isGone(line), undefined);
      assert.ok((await disk.free(dir)) > 0);
    });
  });
}

/** `pinnace pins update`, `check` and `prune`: no pin moves or goes that nobody named, and the serial grows by one. */
import assert from 'node:assert/strict';
import { chmod, stat } from 'node:fs/promises';
import { test } from 'node:test';
import { codeIn, digest, exits, freshFolder, pinnace } from '../support/command-line.ts';

const folder = await freshFolder();
const [A, B, C] = [digest('a'), digest('b'), digest('c')];
const LOCK = `pinnace-pins 1 serial 7
r.test/app:1 ${A} # alice 2026-11-20 release 1
r.test/db:16 ${A}
r.test/web:2 ${B} # bob
`;
let made = 0;
const lock = (): Promise<string> => folder.put(`${made++}.lock`, LOCK);
const textOf = (file: string): Promise<string> => folder.text(file.slice(folder.dir.length + 1));

void test('a dry run shows what would move, writes nothing, and exits with 1', async () => {
  const file = await lock();
  const argv = ['pins', 'update', file, `r.test/app:1@${C}`, `r.test/db:16@${A}`, '--dry-run'];
  const { json } = exits(await pinnace(...argv, '--json'), 1);
  assert.deepEqual(json.left, [{ reference: 'r.test/app:1', pinned: A, found: C, from: 'the command line' }]);
  assert.equal(json.changed, false);
  exits(await pinnace(...argv, '--all'), 1);
  assert.equal(await textOf(file), LOCK);
});

void test('without a name no pin moves', async () => {
  const file = await lock();
  exits(await pinnace('pins', 'update', file, `r.test/app:1@${C}`), 1);
  assert.equal(await textOf(file), LOCK);
});

void test('the pin that is named moves alone, keeps its note, and the serial is the next', async () => {
  const file = await lock();
  const argv = ['pins', 'update', file, `r.test/app:1@${C}`, `r.test/web:2@${C}`, '--move', 'r.test/app:1'];
  const { json } = exits(await pinnace(...argv, '--json'), 1);
  assert.equal(json.serial, 8);
  assert.equal(await textOf(file), LOCK.replace('serial 7', 'serial 8').replace(`app:1 ${A}`, `app:1 ${C}`));
});

void test('all that differ move with --all, under a new note; a file that is not for all stays so', async () => {
  const file = await lock();
  await chmod(file, 0o600);
  const refs = [`r.test/app:1@${C}`, `r.test/web:2@${C}`];
  exits(await pinnace('pins', 'update', file, ...refs, '--all', '--note', 'carol'), 0);
  const text = await textOf(file);
  assert.equal(text.match(/# carol\n/g)?.length, 2);
  assert.ok(text.includes(`r.test/db:16 ${A}\n`));
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

void test('what has no pin is added only where that is wanted, and in its place', async () => {
  const file = await lock();
  exits(await pinnace('pins', 'update', file, `r.test/cache:1@${C}`, '--json'), 0);
  assert.equal(await textOf(file), LOCK);
  const { json } = exits(await pinnace('pins', 'update', file, `r.test/cache:1@${C}`, '--add', '--json'), 0);
  assert.deepEqual(json.added, [{ reference: 'r.test/cache:1', digest: C }]);
  assert.match(await textOf(file), /serial 8\n.*app:1 .*\nr\.test\/cache:1 /);
});

void test('what is as it was is not written again', async () => {
  const file = await lock();
  const { json } = exits(await pinnace('pins', 'update', file, `r.test/app:1@${A}`, '--all', '--json'), 0);
  assert.deepEqual([json.serial, json.changed], [7, false]);
  assert.equal(await textOf(file), LOCK);
});

void test('to move a pin that does not move is a mistake', async () => {
  const printed = await pinnace('pins', 'update', await lock(), `r.test/app:1@${C}`, '--move', 'r.test/ap:1', '--json');
  assert.equal(codeIn(exits(printed, 64)), 'USAGE');
});

void test('check finds images without a pin, and those that are another by now', async () => {
  const file = await lock();
  const manifests = await folder.put(
    'm.yaml',
    `[{image: "r.test/app:1@${C}"}, {image: "r.test/db:16"}, {image: "r.test/web@${B}"}, {image: "r.test/web@${C}"}, {image: "r.test/new:1"}, {image: "nginx:1"}]`,
  );
  const { json } = exits(await pinnace('pins', 'check', file, '--manifests', manifests, '--json'), 1);
  assert.deepEqual(
    (json.unpinned as { image: string }[]).map(({ image }) => image),
    [`r.test/web@${C}`, 'r.test/new:1', 'nginx:1'],
  );
  assert.deepEqual(json.moved, [{ reference: 'r.test/app:1', pinned: A, found: C, from: manifests }]);
  exits(await pinnace('pins', 'check', file, 'r.test/app:1', `r.test/db:16@${A}`), 0);
});

void test('prune takes out what nobody names, by tag or digest, and a dry run only shows it', async () => {
  const file = await lock();
  const argv = ['pins', 'prune', file, 'r.test/app:1', `r.test/web@${B}`];
  exits(await pinnace(...argv, '--dry-run'), 0);
  assert.equal(await textOf(file), LOCK);
  const { json } = exits(await pinnace(...argv, '--json'), 0);
  assert.deepEqual(json.pruned, [{ reference: 'r.test/db:16', digest: A, note: '' }]);
  assert.equal(await textOf(file), LOCK.replace('serial 7', 'serial 8').replace(/r\.test\/db.*\n/, ''));
});

void test('sources that name no image prune nothing', async () => {
  const file = await lock();
  const empty = await folder.put('empty.yaml', 'kind: ConfigMap\n');
  const printed = await pinnace('pins', 'prune', file, '--manifests', empty, '--json');
  assert.equal(codeIn(exits(printed, 4)), 'CONTENT_ABSENT');
  assert.equal(await textOf(file), LOCK);
});

void test('a lock file that is not sorted, or is none, is refused with its line', async () => {
  const file = await folder.put('bad.lock', `pinnace-pins 1 serial 1\nr.test/b:1 ${A}\nr.test/a:1 ${A}\n`);
  const printed = exits(await pinnace('pins', 'check', file, 'r.test/a:1', '--json'), 64);
  assert.equal(codeIn(printed), 'PINS_INVALID');
  assert.match((printed.json.error as { message: string }).message, /bad\.lock:3: /);
});

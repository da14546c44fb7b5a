/** The embedded store beyond the suite: what is removed and what never, damaged files, two writers at once. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { hasCode, MirrorError } from '../../src/errors.ts';
import { type Digest, formatReference, hexOf, parseReference } from '../../src/oci/oci.ts';
import { type Layout, openLayout } from '../../src/store/layout.ts';
import { GRACE_MS } from '../../src/store/layout-blobs.ts';
import { realWorld, type World } from '../../src/world.ts';
import { type BuiltImage, blobPath, buildImage } from '../support/images.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const DIR = '/layout';
const NAME = 'registry.example/app:1';
const OTHER = 'registry.example/app:2';
const LAYER = { randomBytes: 1000, seed: 1 };

void describe('the layout', () => {
  let dir: string;
  let one: BuiltImage;
  let two: BuiltImage;
  let multi: BuiltImage;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pinnace-layout-'));
    one = await buildImage(join(dir, 'one'), { reference: NAME, layers: [LAYER, { randomBytes: 500, seed: 2 }] });
    two = await buildImage(join(dir, 'two'), { reference: OTHER, layers: [LAYER, { randomBytes: 500, seed: 3 }] });
    const platforms = ['linux/amd64', 'linux/arm64'];
    multi = await buildImage(join(dir, 'multi'), { reference: NAME, layers: [{ randomBytes: 300 }], platforms });
  });
  after(() => rm(dir, { recursive: true }));

  /** A layout on a memory disk, with a clock of its own. */
  async function make(): Promise<{ disk: MemoryDisk; layout: Layout; clock: { now: number }; world: World }> {
    const clock = { now: 1_000_000_000 };
    const disk = new MemoryDisk({ now: () => clock.now });
    const world = { ...realWorld, now: () => clock.now };
    return { disk, layout: await openLayout(disk, DIR, world), clock, world };
  }
  async function adopt(disk: MemoryDisk, layout: Layout, image: BuiltImage, contents = image.contents): Promise<void> {
    for (const { digest } of contents) {
      const file = await disk.create('/file');
      await file.write(await readFile(blobPath(image.dir, digest)), 0);
      await file.close();
      await layout.keeping.adopt(digest, '/file');
    }
  }
  /** A disk on which the layout has a file system of its own. */
  class TwoDisks extends MemoryDisk {
    override async rename(from: string, to: string): Promise<void> {
      if (from.startsWith(`${DIR}/`) !== to.startsWith(`${DIR}/`))
        throw new MirrorError('FILE_UNREADABLE', 'another disk', { cause: { code: 'EXDEV' } });
      await super.rename(from, to);
    }
  }
  const pathOf = (digest: Digest): string => `${DIR}/blobs/sha256/${hexOf(digest)}`;
  const names = async (layout: Layout): Promise<string[]> =>
    (await layout.images()).map(({ reference }) => formatReference(reference));

  void it('takes over what lies on another disk, and leaves nothing of it there', async () => {
    const disk = new TwoDisks();
    const layout = await openLayout(disk, DIR, realWorld);
    await adopt(disk, layout, one);
    await layout.keeping.name(parseReference(NAME), one.target);
    for (const { digest, size } of one.contents) {
      const content = await layout.open(digest);
      assert.equal(content?.size, size);
      await content?.close();
    }
    assert.deepEqual([await disk.list(`${DIR}/.pinnace/staging`), await disk.facts('/file')], [[], undefined]);
  });

  void it('keeps nothing half of what it has no room to take over from another disk', async () => {
    const disk = new TwoDisks({ capacity: 4000 });
    const layout = await openLayout(disk, DIR, realWorld);
    const free = await disk.free();
    const file = await disk.create('/file');
    await file.write(new Uint8Array(free - 100), 0);
    await file.close();
    await assert.rejects(layout.keeping.adopt(one.digest, '/file'), { code: 'FILE_UNREADABLE' });
    assert.equal(await disk.free(), free);
    assert.equal(await layout.open(one.digest), undefined);
  });

  void it('removes what no name reaches any more, and nothing else', async () => {
    const { disk, layout, clock } = await make();
    for (const image of [one, two]) {
      await adopt(disk, layout, image);
      await layout.keeping.name(parseReference(image.reference), image.target);
    }
    clock.now += 2 * GRACE_MS;
    await layout.keeping.remove(parseReference(NAME));
    const kept = new Set(two.contents.map(({ digest }) => digest));
    for (const { digest } of [...one.contents, ...two.contents])
      assert.equal(disk.peek(pathOf(digest)) !== undefined, kept.has(digest), digest);
    assert.deepEqual(await names(layout), [OTHER]);
  });

  void it('keeps what is young, since an import may be under way', async () => {
    const { disk, layout, clock } = await make();
    await adopt(disk, layout, two);
    await layout.keeping.name(parseReference(OTHER), two.target);
    clock.now += 2 * GRACE_MS;
    await adopt(disk, layout, one);
    await layout.keeping.remove(parseReference(OTHER));
    for (const { digest } of one.contents)
      if (!two.contents.some(each => each.digest === digest)) assert.ok(disk.peek(pathOf(digest)));
    assert.equal(disk.peek(pathOf(two.digest)), undefined);
  });

  void it('keeps all that an incomplete image reaches', async () => {
    const { disk, layout, clock } = await make();
    for (const image of [one, two]) {
      await adopt(disk, layout, image);
      await layout.keeping.name(parseReference(image.reference), image.target);
    }
    await disk.remove(pathOf(one.manifests[0]!.config.digest));
    clock.now += 2 * GRACE_MS;
    await layout.keeping.remove(parseReference(OTHER));
    for (const layer of one.manifests[0]!.layers) assert.ok(disk.peek(pathOf(layer.digest)));
    assert.equal(disk.peek(pathOf(two.digest)), undefined);
  });

  void it('removes nothing where a manifest rotted: what it reaches is not known', async () => {
    for (const spoil of [
      (bytes: Uint8Array) => bytes.subarray(1),
      (bytes: Uint8Array) => bytes.map(byte => byte ^ 1),
    ]) {
      const { disk, layout, clock } = await make();
      for (const image of [one, two]) {
        await adopt(disk, layout, image);
        await layout.keeping.name(parseReference(image.reference), image.target);
      }
      disk.poke(pathOf(one.digest), spoil(disk.peek(pathOf(one.digest))!));
      clock.now += 2 * GRACE_MS;
      await layout.keeping.remove(parseReference(OTHER));
      assert.deepEqual(await names(layout), [NAME]);
      for (const { digest } of [...one.contents, ...two.contents]) assert.ok(disk.peek(pathOf(digest)));
    }
  });

  void it('names an index of which one platform is held, and none of which no platform is', async () => {
    const { disk, layout } = await make();
    const [first, second] = multi.manifests;
    assert.ok(first && second);
    await adopt(disk, layout, multi, [multi.target, first.manifest, second.manifest]);
    await assert.rejects(layout.keeping.name(parseReference(NAME), multi.target), error =>
      hasCode(error, 'CONTENT_ABSENT'),
    );
    await adopt(disk, layout, multi, [first.config, ...first.layers]);
    await layout.keeping.name(parseReference(NAME), multi.target);
    assert.deepEqual(await names(layout), [NAME]);
  });

  void it('keeps a blob that is right, and replaces one that rotted', async () => {
    const { disk, layout } = await make();
    await adopt(disk, layout, one);
    const { digest } = one.target;
    const before = await disk.facts(pathOf(digest));
    await adopt(disk, layout, one);
    assert.equal((await disk.facts(pathOf(digest)))?.stamp, before?.stamp);
    const right = disk.peek(pathOf(digest))!;
    disk.poke(
      pathOf(digest),
      right.map(byte => byte ^ 1),
    );
    await adopt(disk, layout, one);
    assert.deepEqual(disk.peek(pathOf(digest)), right);
    assert.equal(disk.peek('/file'), undefined);
  });

  void it('loses nothing that it named in a power cut', async () => {
    const { disk, layout, world } = await make();
    await adopt(disk, layout, one);
    await layout.keeping.name(parseReference(NAME), one.target);
    disk.crash();
    const again = await openLayout(disk, DIR, world);
    assert.deepEqual(await names(again), [NAME]);
    for (const { digest, size } of one.contents) assert.equal((await again.open(digest))?.size, size);
  });

  void it('knows when a name was given and whether the mirror fetched it; the same name for the same image changes nothing', async () => {
    const { disk, layout, clock } = await make();
    await adopt(disk, layout, one);
    await adopt(disk, layout, two);
    const given = clock.now;
    await layout.nameImported(parseReference(NAME), one.target);
    clock.now += 5000;
    await layout.keeping.name(parseReference(NAME), one.target);
    const [image] = await layout.images();
    assert.equal(image?.createdAt, given);
    assert.equal(image?.fetched, false);
    await layout.keeping.name(parseReference(NAME), two.target);
    const [moved, ...more] = await layout.images();
    assert.equal(moved?.createdAt, given + 5000);
    assert.equal(moved?.fetched, true);
    assert.equal(moved?.target.digest, two.digest);
    assert.deepEqual(more, []);
  });

  void it('takes names by digest, and leaves out names that are no full references', async () => {
    const { disk, layout } = await make();
    await adopt(disk, layout, one);
    const byDigest = `registry.example/app@${one.digest}`;
    await layout.keeping.name(parseReference(byDigest), one.target);
    assert.deepEqual(await names(layout), [byDigest]);
    const index = JSON.parse(Buffer.from(disk.peek(`${DIR}/index.json`)!).toString()) as { manifests: object[] };
    for (const name of ['app:1', 'team/app:1', '1', '../../etc', 'registry.example/UP:1'])
      index.manifests.push({ ...one.target, annotations: { 'org.opencontainers.image.ref.name': name } });
    index.manifests.push({ mediaType: 1 }, { ...one.target, digest: 'sha256:../../x' }, one.target);
    disk.poke(`${DIR}/index.json`, Buffer.from(JSON.stringify(index)));
    assert.deepEqual(await names(layout), [byDigest]);
    await layout.keeping.remove(parseReference(byDigest));
    const left = JSON.parse(Buffer.from(disk.peek(`${DIR}/index.json`)!).toString()) as { manifests: object[] };
    assert.equal(left.manifests.length, 8);
  });

  void it('loses no name where several processes write at once', async () => {
    const { disk, layout, world } = await make();
    await adopt(disk, layout, one);
    const others = await Promise.all([1, 2, 3].map(() => openLayout(disk, DIR, world)));
    const all = [layout, ...others].flatMap((each, at) =>
      [0, 1, 2].map(round => [each, `registry.example/app:${at}-${round}`] as const),
    );
    await Promise.all(all.map(([each, name]) => each.keeping.name(parseReference(name), one.target)));
    assert.deepEqual(new Set(await names(layout)), new Set(all.map(([, name]) => name)));
  });

  void it('says what to do where index.json or oci-layout was written half, and writes neither', async () => {
    const { disk, layout, world } = await make();
    for (const [file, codes] of [
      ['index.json', ['STATE_INVALID']],
      ['oci-layout', ['STATE_INVALID', 'STATE_NEWER']],
    ] as const) {
      const whole = disk.peek(`${DIR}/${file}`)!;
      const newer = Buffer.from('{"imageLayoutVersion":"2.0.0"}');
      for (const bytes of [
        whole.subarray(0, 0),
        whole.subarray(0, 10),
        Buffer.from('[]'),
        Buffer.from('null'),
        newer,
      ]) {
        disk.poke(`${DIR}/${file}`, bytes);
        await assert.rejects(openLayout(disk, DIR, world), error => hasCode(error, ...codes));
        assert.deepEqual(disk.peek(`${DIR}/${file}`), new Uint8Array(bytes));
        if (file === 'index.json') await assert.rejects(layout.images(), error => hasCode(error, 'STORE_UNAVAILABLE'));
        if (file === 'index.json') assert.equal(await layout.open(one.digest), undefined);
      }
      disk.poke(`${DIR}/${file}`, whole);
    }
    assert.deepEqual(await layout.images(), []);
  });

  void it('removes what a long dead import left, not what one leaves now', async () => {
    const { disk, layout, clock, world } = await make();
    const [old, young] = [layout.stage(), layout.stage()];
    assert.notEqual(old, young);
    await (await disk.create(old)).close();
    clock.now += 25 * 3_600_000;
    await (await disk.create(young)).close();
    await openLayout(disk, DIR, world);
    assert.equal(disk.peek(old), undefined);
    assert.ok(disk.peek(young));
  });

  void it('notices changes where the system tells nothing', async () => {
    const { disk, world } = await make();
    disk.watch = () => Promise.resolve();
    const wakes: (() => void)[] = [];
    const sleep = (_: number, signal?: AbortSignal): Promise<void> =>
      new Promise(resolve => {
        wakes.push(resolve);
        signal?.addEventListener('abort', () => resolve());
      });
    const layout = await openLayout(disk, DIR, { ...world, sleep });
    const stop = new AbortController();
    let changes = 0;
    const watching = layout.watch(() => (changes += 1), stop.signal);
    const polled = async (): Promise<number> => {
      const before = wakes.length;
      wakes.at(-1)?.();
      while (wakes.length === before) await new Promise(resolve => setImmediate(resolve));
      return changes;
    };
    assert.equal(await polled(), 1);
    assert.equal(await polled(), 1);
    await adopt(disk, layout, one);
    assert.equal(await polled(), 2);
    assert.equal(await polled(), 2);
    stop.abort();
    await watching;
  });
});

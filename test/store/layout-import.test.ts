/** Imports: every format gives the image that was exported; no archive, however made, gives more than that. */
import assert from 'node:assert/strict';
import { createWriteStream } from 'node:fs';
import { appendFile, cp, mkdtemp, readdir, readFile, rm, symlink, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import tar from 'tar-stream';
import { type Code, hasCode } from '../../src/errors.ts';
import { digestOf, formatReference, hexOf, parseManifest, parseReference } from '../../src/oci/oci.ts';
import { realDisk } from '../../src/store/disk.ts';
import { type Layout, openLayout } from '../../src/store/layout.ts';
import { importImage, type Imported } from '../../src/store/layout-import.ts';
import { realWorld } from '../../src/world.ts';
import { type BuiltImage, blobPath, buildImage, writeDockerArchive, writeOciArchive } from '../support/images.ts';

const NAME = 'registry.example/team/app:1';
const SHORT = 'team/app:1';
const GIVEN = 'registry.example/given:2';
const live = new AbortController().signal;

interface Entry {
  readonly name: string;
  readonly bytes?: Uint8Array | string;
  readonly link?: string;
  readonly type?: 'symlink' | 'link' | 'fifo' | 'character-device' | 'directory';
}

void describe('an import', () => {
  let dir: string;
  let image: BuiltImage;
  let multi: BuiltImage;
  let count = 0;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pinnace-import-'));
    const layers = [
      { randomBytes: 2_500_000, seed: 1 },
      { files: { 'etc/motd': 'hello\n' } },
      { randomBytes: 10, seed: 2 },
    ];
    image = await buildImage(join(dir, 'image'), { reference: NAME, layers });
    const platforms = ['linux/amd64', 'linux/arm64/v8'];
    multi = await buildImage(join(dir, 'multi'), {
      reference: NAME,
      layers: [{ randomBytes: 2000 }],
      platforms,
      gzip: true,
    });
  });
  after(() => rm(dir, { recursive: true }));

  const fresh = (): string => join(dir, `made-${++count}`);
  const layoutIn = (path: string): Promise<Layout> => openLayout(realDisk, path, realWorld);

  async function archive(entries: readonly Entry[]): Promise<string> {
    const path = fresh();
    const pack = tar.pack();
    for (const { name, bytes = '', link, type } of entries)
      if (type) pack.entry({ name, type, ...(link === undefined ? {} : { linkname: link }) });
      else pack.entry({ name }, Buffer.from(bytes));
    pack.finalize();
    await pipeline(pack, createWriteStream(path));
    return path;
  }

  async function bring(source: string, reference?: string, into = fresh()): Promise<readonly Imported[]> {
    const layout = await layoutIn(into);
    const options = reference ? { reference: parseReference(reference) } : {};
    return importImage(realDisk, layout, source, options, () => undefined, live);
  }

  /** Fails as it should, and leaves neither a name, nor a blob, nor a staged file. */
  async function refused(source: string, code: Code, reference?: string): Promise<void> {
    const into = fresh();
    await assert.rejects(bring(source, reference, into), error => hasCode(error, code), source);
    const layout = await layoutIn(into);
    assert.deepEqual(await layout.images(), []);
    for (const folder of ['blobs/sha256', 'blobs/sha512', '.pinnace/staging'])
      assert.deepEqual(await realDisk.list(join(into, folder)), [], folder);
  }

  /** The layout has exactly this image, byte for byte. */
  async function has(path: string, expected: BuiltImage, contents = expected.contents): Promise<void> {
    const [only, ...more] = await (await layoutIn(path)).images();
    assert.deepEqual(more, []);
    assert.equal(formatReference(only!.reference), NAME);
    assert.equal(only!.target.digest, expected.digest);
    assert.equal(only!.fetched, false);
    for (const { digest } of contents) assert.equal(digestOf(await readFile(blobPath(path, digest))), digest);
    assert.equal((await realDisk.list(join(path, 'blobs/sha256'))).length, contents.length);
    assert.deepEqual(await realDisk.list(join(path, '.pinnace/staging')), []);
  }

  void it('of a layout folder or its tar gives the same image', async () => {
    for (const each of [image, multi]) {
      const path = fresh();
      await writeOciArchive(each, path);
      for (const source of [`oci:${each.dir}`, path]) {
        const into = fresh();
        const [imported, ...more] = await bring(source, undefined, into);
        assert.deepEqual(more, []);
        assert.deepEqual(
          { ...imported, reference: formatReference(imported!.reference) },
          { reference: NAME, digest: each.digest, bytes: each.bytes },
        );
        await has(into, each);
        await bring(source, undefined, into);
        await has(into, each);
      }
    }
  });

  void it('of what docker save wrote gives the same manifest each time, over the same layers', async () => {
    const path = fresh();
    await writeDockerArchive(image, path);
    const into = fresh();
    const [first] = await bring(path, undefined, into);
    const [again] = await bring(path);
    assert.equal(again!.digest, first!.digest);
    const manifest = parseManifest(await readFile(blobPath(into, first!.digest)));
    assert.ok(manifest.kind === 'image');
    assert.equal(manifest.config.digest, image.manifests[0]!.config.digest);
    assert.deepEqual(
      manifest.layers.map(({ digest }) => digest),
      image.manifests[0]!.built.map(({ diffId }) => diffId),
    );
  });

  void it('of what docker save wrote follows links between layers', async () => {
    const path = await archive([
      ...dockerEntries({ Layers: ['a/layer.tar', 'b/layer.tar', 'c/layer.tar'] }, ['same', 'same', 'same']),
      { name: 'a/layer.tar', bytes: 'same' },
      { name: 'b/layer.tar', type: 'symlink', link: '../a/layer.tar' },
      { name: 'c/layer.tar', type: 'link', link: 'a/layer.tar' },
    ]);
    const into = fresh();
    const [imported] = await bring(path, undefined, into);
    const manifest = parseManifest(await readFile(blobPath(into, imported!.digest)));
    assert.ok(manifest.kind === 'image');
    assert.deepEqual(new Set(manifest.layers.map(({ digest }) => digest)), new Set([digestOf(Buffer.from('same'))]));
  });

  void it('takes a name where it is given, and asks for one where the source has no full one', async () => {
    const short = await buildImage(fresh(), { reference: SHORT, layers: [{ randomBytes: 10 }] });
    await refused(`oci:${short.dir}`, 'USAGE');
    const path = fresh();
    await writeDockerArchive(short, path);
    await refused(path, 'USAGE');
    for (const source of [path, `oci:${short.dir}`, `oci:${image.dir}`]) {
      const [imported] = await bring(source, GIVEN);
      assert.equal(formatReference(imported!.reference), GIVEN);
    }
  });

  void it('of several images takes all by their names, but gives no one name to them', async () => {
    const several = fresh();
    await cp(image.dir, several, { recursive: true });
    await buildImage(several, { reference: GIVEN, layers: [{ randomBytes: 10, seed: 9 }] });
    assert.deepEqual(
      new Set((await bring(`oci:${several}`)).map(({ reference }) => formatReference(reference))),
      new Set([NAME, GIVEN]),
    );
    await refused(`oci:${several}`, 'USAGE', GIVEN);
  });

  void it('of an index takes the platforms that are whole, and leaves out the others', async () => {
    const part = fresh();
    await cp(multi.dir, part, { recursive: true });
    const [first, second] = multi.manifests;
    await unlink(blobPath(part, second!.layers[0]!.digest));
    const into = fresh();
    await bring(`oci:${part}`, undefined, into);
    await has(into, multi, [multi.target, first!.manifest, first!.config, ...first!.layers]);
    await unlink(blobPath(part, first!.config.digest));
    await refused(`oci:${part}`, 'CONTENT_ABSENT');
  });

  void it('refuses blobs that have not the digest or size that their names and manifests say', async () => {
    const layer = image.manifests[0]!.layers[0]!;
    const spoilt = async (spoil: (path: string) => Promise<void>): Promise<string> => {
      const path = fresh();
      await cp(image.dir, path, { recursive: true });
      await spoil(blobPath(path, layer.digest));
      return `oci:${path}`;
    };
    await refused(await spoilt(path => truncate(path, 100)), 'SIZE_MISMATCH');
    await refused(await spoilt(path => appendFile(path, 'x')), 'SIZE_MISMATCH');
    const rotten = await spoilt(async path => {
      const bytes = await readFile(path);
      bytes[5]! ^= 1;
      await writeFile(path, bytes);
    });
    await refused(rotten, 'DIGEST_MISMATCH');
    const outside = await spoilt(async path => {
      await unlink(path);
      await symlink(blobPath(image.dir, layer.digest), path);
    });
    await refused(outside, 'FILE_UNREADABLE');
    await refused(await archive([{ name: `blobs/sha256/${hexOf(layer.digest)}`, bytes: 'other' }]), 'DIGEST_MISMATCH');
  });

  void it('refuses archives of docker save whose files are not what they are called', async () => {
    const layers = { Layers: ['a/layer.tar'] };
    await refused(
      await archive([...dockerEntries(layers, ['one']), { name: 'a/layer.tar', bytes: 'two' }]),
      'DIGEST_MISMATCH',
    );
    await refused(await archive(dockerEntries(layers, ['one'])), 'ARCHIVE_INVALID');
    await refused(
      await archive([...dockerEntries(layers, ['one', 'two']), { name: 'a/layer.tar', bytes: 'one' }]),
      'ARCHIVE_INVALID',
    );
    const named = dockerEntries({ ...layers, Config: `${'0'.repeat(64)}.json` }, ['one']);
    await refused(await archive([...named, { name: 'a/layer.tar', bytes: 'one' }]), 'DIGEST_MISMATCH');
    const loop: Entry[] = [
      { name: 'a/layer.tar', type: 'symlink', link: '../b' },
      { name: 'b', type: 'symlink', link: 'a/layer.tar' },
    ];
    await refused(await archive([...dockerEntries(layers, ['one']), ...loop]), 'ARCHIVE_INVALID');
    for (const manifest of [
      '',
      '{}',
      '[null]',
      '[{"Config":1}]',
      '[{"Config":"c","Layers":[1]}]',
      '[{"Config":"c","Layers":"x"}]',
      '[]',
    ])
      await refused(await archive([{ name: 'manifest.json', bytes: manifest }]), 'ARCHIVE_INVALID');
  });

  void it('refuses entries that would lead out of the archive, stand twice, or are no files', async () => {
    const bad: readonly (readonly Entry[])[] = [
      [{ name: '../evil', bytes: 'x' }],
      [{ name: '/etc/evil', bytes: 'x' }],
      [{ name: 'a/../../evil', bytes: 'x' }],
      [{ name: 'a', type: 'symlink', link: '/etc/passwd' }],
      [{ name: 'a', type: 'symlink', link: '../outside' }],
      [{ name: 'a', type: 'link', link: '../outside' }],
      [{ name: 'a', type: 'fifo' }],
      [{ name: 'a', type: 'character-device' }],
      [
        { name: 'a', bytes: '1' },
        { name: './a', bytes: '2' },
      ],
      [{ name: `${'n'.repeat(99)}/`.repeat(11), bytes: '1' }],
    ];
    // Beside a whole image, so that nothing else is wrong.
    const whole: Entry[] = [];
    for (const file of await readdir(image.dir, { recursive: true, withFileTypes: true }))
      if (file.isFile()) {
        const path = join(file.parentPath, file.name);
        whole.push({ name: relative(image.dir, path), bytes: await readFile(path) });
      }
    await bring(await archive(whole), NAME);
    for (const entries of bad) await refused(await archive([...whole, ...entries]), 'ARCHIVE_INVALID', NAME);
    for (const entries of [[], [{ name: 'nothing', bytes: 'of interest' }]])
      await refused(await archive(entries), 'ARCHIVE_INVALID');
  });

  void it('refuses what is compressed, no tar, cut short or not there, and layouts that are none', async () => {
    const whole = fresh();
    await writeOciArchive(image, whole);
    const bytes = await readFile(whole);
    const file = async (content: Uint8Array): Promise<string> => {
      const path = fresh();
      await writeFile(path, content);
      return path;
    };
    await refused(await file(gzipSync(bytes.subarray(0, 5000))), 'ARCHIVE_INVALID');
    await refused(await file(Buffer.from('28b52ffd00000000', 'hex')), 'ARCHIVE_INVALID');
    await refused(await file(Buffer.alloc(2048, 'not a tar')), 'ARCHIVE_INVALID');
    await refused(await file(bytes.subarray(0, bytes.length / 2 + 17)), 'ARCHIVE_INVALID');
    await refused(fresh(), 'FILE_UNREADABLE');
    await refused(dir, 'FILE_UNREADABLE');
    await refused(`oci:${dir}`, 'ARCHIVE_INVALID');
    const newer = fresh();
    await cp(image.dir, newer, { recursive: true });
    await writeFile(join(newer, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}');
    await refused(`oci:${newer}`, 'ARCHIVE_INVALID');
    await writeFile(join(newer, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(join(newer, 'index.json'), '{"schemaVersion":2,"manifests":[{"digest":"x"}]}');
    await refused(`oci:${newer}`, 'ARCHIVE_INVALID');
    await writeFile(join(newer, 'index.json'), '{"schemaVersion":2,"manifests":[');
    await refused(`oci:${newer}`, 'ARCHIVE_INVALID');
  });

  void it('tells its progress to the last byte, and stops when told', async () => {
    const path = fresh();
    await writeOciArchive(image, path);
    for (const source of [path, `oci:${image.dir}`]) {
      const done = new Map<string, number>();
      const layout = await layoutIn(fresh());
      await importImage(realDisk, layout, source, {}, step => done.set(step.digest, step.done), live);
      for (const { digest, size } of image.contents) assert.equal(done.get(digest), size);
      const stop = new AbortController();
      const stopping = importImage(realDisk, await layoutIn(fresh()), source, {}, () => stop.abort(), stop.signal);
      await assert.rejects(stopping, error => hasCode(error, 'STOPPED'));
    }
  });
});

/** manifest.json and a config of `docker save`, whose layers' plain bytes are `layers`. */
function dockerEntries(manifest: Record<string, unknown>, layers: readonly string[]): Entry[] {
  const rootfs = { type: 'layers', diff_ids: layers.map(layer => digestOf(Buffer.from(layer))) };
  const image = { Config: 'config.json', RepoTags: [NAME], ...manifest };
  return [
    { name: 'manifest.json', bytes: JSON.stringify([image]) },
    { name: image.Config, bytes: JSON.stringify({ os: 'linux', rootfs }) },
  ];
}

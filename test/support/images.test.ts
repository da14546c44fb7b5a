/** The test images themselves: a wrong image would make every other test lie. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { childrenOf, digestOf, parseManifest } from '../../src/oci/oci.ts';
import { blobPath, buildImage, buildMachineImage, writeDockerArchive, writeOciArchive } from './images.ts';

const run = promisify(execFile);
const REFERENCE = 'registry.example/test/app:1';

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'pinnace-images-'));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

void describe('test images', () => {
  void it('are the same for the same specification, and another for another seed', async t => {
    const dir = await folder(t);
    const spec = {
      reference: REFERENCE,
      layers: [{ randomBytes: 3_000_000, seed: 7 }, { files: { 'etc/motd': 'hi\n' } }],
    };
    const [one, two] = [await buildImage(join(dir, 'a'), spec), await buildImage(join(dir, 'b'), spec)];
    const other = await buildImage(join(dir, 'a'), {
      reference: REFERENCE,
      layers: [{ randomBytes: 3_000_000, seed: 8 }],
    });
    assert.equal(one.digest, two.digest);
    assert.notEqual(one.digest, other.digest);
  });

  for (const dockerSchema2 of [false, true])
    void it(`consist of contents that have their digests and sizes (${dockerSchema2 ? 'Docker' : 'OCI'}, two platforms)`, async t => {
      const dir = await folder(t);
      const layers = [{ randomBytes: 100_000 }, { files: { 'a/b': new Uint8Array(10) } }];
      const platforms = ['linux/amd64', 'linux/arm64/v8'];
      const image = await buildImage(dir, { reference: REFERENCE, layers, platforms, dockerSchema2, gzip: true });
      for (const { digest, size } of image.contents) {
        const bytes = await readFile(blobPath(dir, digest));
        assert.equal(digestOf(bytes), digest);
        assert.equal(bytes.length, size);
      }
      const index = parseManifest(await readFile(blobPath(dir, image.digest)));
      assert.equal(index.kind, 'index');
      assert.equal(childrenOf(index).length, 2);
      for (const { manifest, layers: given, built } of image.manifests) {
        const parsed = parseManifest(await readFile(blobPath(dir, manifest.digest)));
        assert.deepEqual(childrenOf(parsed).slice(1), given);
        for (const layer of built) {
          const plain = gunzipSync(await readFile(blobPath(dir, layer.digest)));
          assert.equal(digestOf(plain), layer.diffId);
          assert.equal(plain.length, layer.tarSize);
        }
      }
      // The layer of files is shared by the platforms, the random one is not.
      assert.equal(image.contents.length, 1 + 2 + 2 + 3);
    });

  void it('are written as archives that tar can read', async t => {
    const dir = await folder(t);
    const layers = [{ files: { 'bin/x': 'x', 'bin/y': { link: 'x' } } }, { randomBytes: 50_000 }];
    const image = await buildImage(join(dir, 'layout'), { reference: REFERENCE, layers, gzip: true });
    await writeOciArchive(image, join(dir, 'oci.tar'));
    await writeDockerArchive(image, join(dir, 'docker.tar'));
    const list = async (name: string): Promise<string[]> =>
      (await run('tar', ['-tf', join(dir, name)])).stdout.trim().split('\n');
    assert.deepEqual((await list('oci.tar')).slice(0, 2), ['oci-layout', 'index.json']);
    assert.equal((await list('oci.tar')).length, 2 + image.contents.length);
    assert.equal((await list('docker.tar')).at(-1), 'manifest.json');
    await run('tar', ['-xf', join(dir, 'docker.tar'), '-C', dir]);
    const [entry] = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8')) as [{ Layers: string[] }];
    const chunks = await createReadStream(join(dir, entry.Layers[0] ?? '')).toArray();
    assert.equal(digestOf(Buffer.concat(chunks as Buffer[])), image.manifests[0]?.built[0]?.diffId);
  });

  void it('made of machine files have 100 MB or more in three layers', async t => {
    const image = await buildMachineImage(await folder(t), REFERENCE);
    assert.ok(image.bytes >= 100_000_000, String(image.bytes));
    assert.equal(image.manifests[0]?.layers.length, 3);
    for (const { digest, size } of image.contents) assert.equal((await stat(blobPath(image.dir, digest))).size, size);
  });
});

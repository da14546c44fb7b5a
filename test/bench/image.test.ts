/** The images of the benches are images. */
import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { extract } from 'tar-stream';
import { digestOf } from '../../src/oci/oci.ts';
import { blobPath, buildBenchImage } from './image.ts';

const dir = await mkdtemp(join(tmpdir(), 'bench-image-'));
after(() => rm(dir, { recursive: true, force: true }));

void test('the layer is a tar of exactly the size that was asked for, and all digests hold', async () => {
  const image = await buildBenchImage(join(dir, 'a'), 'registry.test/a:1', 1 << 20);
  for (const { digest, size } of [image.manifest, image.config, image.layer]) {
    const bytes = await readFile(blobPath(image, digest));
    assert.deepEqual([digestOf(bytes), bytes.length], [digest, size]);
  }
  assert.equal(image.layer.size, 1 << 20);
  const entries: [string, number | undefined][] = [];
  for await (const entry of createReadStream(blobPath(image, image.layer.digest)).pipe(extract())) {
    entries.push([entry.header.name, entry.header.size]);
    entry.resume();
  }
  assert.deepEqual(entries, [['random', (1 << 20) - 1536]]);
});

void test('two images of one size share no layer', async () => {
  const [one, two] = await Promise.all(
    ['b', 'c'].map(name => buildBenchImage(join(dir, name), 'registry.test/a:1', 4096)),
  );
  assert.notEqual(one!.layer.digest, two!.layer.digest);
  assert.equal((await stat(blobPath(two!, two!.layer.digest))).size, 4096);
});
